"""Fill the feature store: decode in threads, encode in this one, store chunk after chunk.

The list of all inputs is cut into chunks, stored inputs included, and each chunk is stored whole
or not at all. A run that was killed therefore goes on with the same chunks, and its sums have the
same bits.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from trml_export.backbone.backbone import Encoders
from trml_export.backbone.cutting import cut, cutting_is_exact
from trml_export.data import Sample
from trml_export.features.clips import digest, seconds
from trml_export.features.ranks import ALONE, Ranks
from trml_export.features.store import Failure, FeatureStore, Stored
from trml_export.features.tower import Tower
from trml_rt.errors import InputUnusable
from trml_rt.inputs.image import to_pixels
from trml_rt.inputs.video import read_frames
from trml_rt.progress import counted

__all__ = ["encode_clips", "encode_texts"]

_log = logging.getLogger(__name__)

_VERSION = 3  # raise it when frames are chosen, pixels made or batches cut in another way
_CHUNK = 32  # texts or clips
_FRAMES = 4  # pictures in one call of the encoder, few enough for the cache of a CPU
_FRAMES_OF_GPU = 64
_WORKERS = os.cpu_count() or 1
_AHEAD = 2 * _CHUNK  # the most clips decoded and not yet encoded, for the sake of memory
In = TypeVar("In")
Out = TypeVar("Out")


def encode_texts(
    samples: Sequence[Sample], backbone: Encoders, store: FeatureStore, ranks: Ranks = ALONE
) -> dict[str, str]:
    """Store the vector of every new text, and return the key of each text."""
    # Texts of like length share a chunk, which is cut to the longest of them.
    texts = sorted({s.text for s in samples if s.text is not None}, key=lambda t: (len(t), t))
    keys = {text: _key(backbone, "text", text.encode()) for text in texts}
    with _missing(store, keys.values(), "texts", ranks) as missing:

        def missing_of(chunk: Sequence[str]) -> int:
            return sum(keys[text] in missing for text in chunk)

        exact = bool(missing) and cutting_is_exact(backbone)
        tower = Tower(backbone, "texts", backbone.encode_text, _CHUNK)
        chunks = _chunks(texts, ranks)
        total = sum(map(missing_of, chunks))
        for chunk in counted(chunks, total, "encoding texts", _log, missing_of):
            new = [text for text in chunk if keys[text] in missing]
            if not new:
                continue
            ids = backbone.tokenize(new)
            vectors = tower(cut(backbone, ids) if exact else ids)
            store.add({keys[t]: Stored(v[np.newaxis]) for t, v in zip(new, vectors, strict=True)})
    return keys


def encode_clips(
    samples: Sequence[Sample],
    backbone: Encoders,
    frames: int,
    store: FeatureStore,
    ranks: Ranks = ALONE,
) -> tuple[dict[Path, str], dict[Path, str]]:
    """Store the vectors of every new clip, or why it has none.

    Returns:
        The key of each path, and a sentence for each path that cannot be read.
    """
    paths = list(dict.fromkeys(s.video for s in samples if s.video is not None))
    keys, unread = {}, {}
    by_key: dict[str, Path] = {}
    batch = _FRAMES if backbone.placement.device.type == "cpu" else _FRAMES_OF_GPU
    tower = Tower(backbone, "frames", backbone.encode_frames, batch)

    def decode(key: str) -> _Decoded:
        return _decode(by_key[key], backbone, frames)

    with ThreadPoolExecutor(max(1, _WORKERS // ranks.count)) as pool:
        content = zip(paths, _ahead(pool, _digest, paths), strict=True)
        for path, digest in counted(content, len(paths), "reading clips", _log):
            if isinstance(digest, OSError):
                unread[path] = f"{path}: cannot be read ({digest.strerror})"
            else:
                keys[path] = _key(backbone, f"clip {frames}", digest)
                by_key.setdefault(keys[path], path)
        with _missing(store, by_key, "clips", ranks) as missing:

            def missing_of(chunk: Sequence[str]) -> int:
                return sum(key in missing for key in chunk)

            chunks = _chunks(list(by_key), ranks)
            mine = [key for chunk in chunks for key in chunk if key in missing]
            with closing(_ahead(pool, decode, mine)) as decoded:
                for chunk in counted(chunks, len(mine), "encoding clips", _log, missing_of):
                    new = {key: next(decoded) for key in chunk if key in missing}
                    if new:
                        vectors = _encode(list(new.values()), tower)
                        store.add(dict(zip(new, vectors, strict=True)))
    return keys, unread


@contextmanager
def _missing(
    store: FeatureStore, keys: Collection[str], what: str, ranks: Ranks
) -> Iterator[dict[str, None]]:
    """Yield those of `keys` that the store lacks, in order; it is locked while there are any.

    The first of several processes holds the lock for all of them. All leave the block together.
    """

    def missing() -> dict[str, None]:
        stored = store.find(keys)
        return {key: None for key in keys if key not in stored}

    new = missing()
    if not new and ranks.count == 1:
        yield new
        return
    with store.writing() if ranks.first else nullcontext():
        ranks.wait()
        new = missing()  # another process may have made them while this one waited
        ranks.wait()  # none adds before all have looked
        if new:
            _log.info("%s to encode: %d; in the cache: %d", what, len(new), len(keys) - len(new))
        yield new
        ranks.wait()


@dataclass(frozen=True)
class _Decoded:
    """A clip for the encoder: pixels (frames, height, width, 3) uint8, or why it has none."""

    pixels: npt.NDArray[np.uint8]
    incomplete: bool = False
    seconds: float | None = None
    failure: Failure | None = None


def _digest(path: Path) -> bytes | OSError:
    try:
        return digest(path)
    except OSError as problem:
        return problem


def _decode(path: Path, backbone: Encoders, frames: int) -> _Decoded:
    preprocessing = backbone.preprocessing
    empty = np.zeros((0, preprocessing.height, preprocessing.width, 3), np.uint8)
    length = seconds(path)
    try:
        shape = partial(to_pixels, preprocessing=preprocessing)
        clip = read_frames(path, frames, shape, threads=1)  # other clips are decoded beside it
    except InputUnusable as problem:
        failure = Failure(problem.reason, str(problem).removeprefix(f"{path}: "))
        return _Decoded(empty, False, length, failure)
    return _Decoded(np.stack(clip.frames), clip.incomplete, length)


def _encode(clips: Sequence[_Decoded], tower: Tower) -> Iterator[Stored]:
    """Yield what to store of each clip."""
    pixels = torch.from_numpy(np.concatenate([clip.pixels for clip in clips]))
    vectors, start = tower(pixels), 0
    for clip in clips:
        of_clip = vectors[start : start + len(clip.pixels)]
        start += len(of_clip)
        yield Stored(of_clip, clip.incomplete, clip.seconds, clip.failure)


def _ahead(
    pool: ThreadPoolExecutor, call: Callable[[In], Out], items: Iterable[In]
) -> Generator[Out, None, None]:
    """Yield `call(item)` in order, at most `_AHEAD` of them under way or waiting."""
    running: deque[Future[Out]] = deque()
    try:
        for item in items:
            running.append(pool.submit(call, item))
            if len(running) >= _AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:  # after Ctrl-C, cancel what is still queued
            future.cancel()


def _chunks(items: Sequence[In], ranks: Ranks) -> list[Sequence[In]]:
    """Return the chunks of `items` that this process encodes."""
    starts = range(0, len(items), _CHUNK)
    return [items[s : s + _CHUNK] for number, s in enumerate(starts) if ranks.mine(number)]


def _key(backbone: Encoders, kind: str, content: bytes) -> str:
    if backbone.placement.half is not None:
        kind += f" {backbone.placement.type_name}"
    digest = hashlib.sha256(f"{_VERSION} {backbone.fingerprint} {kind}\0".encode())
    digest.update(content)
    return digest.hexdigest()
