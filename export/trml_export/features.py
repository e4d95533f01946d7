"""Compute what the frozen encoders say of every sample, once.

Texts and clips go through the same steps as in the runtime: `trml_rt.video` chooses frames,
`trml_rt.image` makes pixels. A key of the cache hashes the backbone, the settings and the
content itself, so a file that moves is found again and a file that changes is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from trml_export.backbone import Backbone
from trml_export.cutting import cut, cutting_is_exact
from trml_export.data import InputProblem, Sample
from trml_export.feature_store import FeatureStore, Stored
from trml_rt.errors import ArtefactMismatch, InputUnusable
from trml_rt.image import Preprocessing, to_pixels
from trml_rt.video import Clip, choose_indices, read_frames

__all__ = ["Features", "compute_features", "read_clip"]

_VERSION = 1  # raise it when frames are chosen or pixels made in another way
_TEXT_BATCH = 32
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
T = TypeVar("T")


@dataclass(frozen=True)
class Features:
    """The raw vectors of samples, in their order; memory-mapped, so not to be written to.

    `text[i]` is (d,) and `video[i]` (frames, d) with 1 to n frames; None where absent. A
    sample of which nothing can be used is left out and stands in `problems` alone.
    """

    samples: tuple[Sample, ...]
    text: tuple[npt.NDArray[np.float32] | None, ...]
    video: tuple[npt.NDArray[np.float32] | None, ...]
    problems: tuple[InputProblem, ...]


def compute_features(
    samples: Sequence[Sample], backbone: Backbone, *, frames: int, cache: Path
) -> Features:
    """Return the features of `samples`, computing those that `cache` does not hold yet.

    An interrupted call goes on where it was. Progress is shown on stderr when that is a
    terminal. A video that cannot be decoded counts as a missing modality and is reported.
    """
    with FeatureStore(cache / backbone.fingerprint[:16]) as store:
        _encode_texts(samples, backbone, store)
        clips, problems = _encode_clips(samples, backbone, frames, store)
    # Looked up after the store has written all, so that every array is a map of a file.
    rows = []
    for sample in samples:
        text = None if sample.text is None else store.get(_text_key(backbone, sample.text))
        key = clips.get(sample.id)
        video = None if key is None else store.get(key)
        if text is not None or video is not None:
            vectors = None if video is None else video.vectors
            rows.append((sample, None if text is None else text.vectors[0], vectors))
    kept, texts, videos = zip(*rows, strict=True) if rows else ((), (), ())
    return Features(kept, texts, videos, tuple(problems))


def read_clip(path: Path, count: int) -> Clip:
    """Return at most `count` frames of a video, a picture, or a folder of frame pictures.

    A folder's pictures follow each other by name, and are chosen as untimed frames are.

    Raises:
        InputUnusable: nothing can be decoded, or a folder holds no picture.
    """
    if not path.is_dir():
        return read_frames(path, count)
    pictures = _pictures(path)
    if not pictures:
        raise InputUnusable(f"{path}: no picture in this folder", reason="too_short")
    chosen = [read_frames(pictures[i], 1) for i in choose_indices(len(pictures), count)]
    return Clip(tuple(clip.frames[0] for clip in chosen), any(clip.incomplete for clip in chosen))


def _encode_texts(samples: Sequence[Sample], backbone: Backbone, store: FeatureStore) -> None:
    texts = {sample.text: None for sample in samples if sample.text is not None}
    missing = [text for text in texts if store.get(_text_key(backbone, text)) is None]
    # Texts of like length together, without the padding that all of them share.
    missing.sort(key=len)
    exact = bool(missing) and cutting_is_exact(backbone)
    for start in _progress(range(0, len(missing), _TEXT_BATCH), "texts"):
        batch = missing[start : start + _TEXT_BATCH]
        with torch.inference_mode():
            ids = backbone.tokenize(batch)
            vectors = _checked(backbone.encode_text(cut(backbone, ids) if exact else ids), backbone)
        for text, vector in zip(batch, vectors, strict=True):
            store.add(_text_key(backbone, text), Stored(vector[np.newaxis].copy()))


def _encode_clips(
    samples: Sequence[Sample], backbone: Backbone, frames: int, store: FeatureStore
) -> tuple[dict[str, str], list[InputProblem]]:
    """Fill the store; return the key of each sample's clip and what was wrong with others."""
    keys: dict[str, str] = {}
    problems: list[InputProblem] = []
    for sample in _progress([s for s in samples if s.video is not None], "clips"):
        assert sample.video is not None
        try:
            key = _clip_key(backbone, sample.video, frames)
            stored = store.get(key)
            if stored is None:
                clip = read_clip(sample.video, frames)
                stored = Stored(_encode_frames(clip.frames, backbone), clip.incomplete)
                store.add(key, stored)
        except InputUnusable as problem:
            problems.append(_problem(sample, problem.reason, str(problem)))
        except OSError as problem:  # of reading the bytes to hash
            problems.append(_problem(sample, "undecodable", f"{sample.video}: {problem.strerror}"))
        else:
            keys[sample.id] = key
            if stored.incomplete:
                message = f"{sample.video}: damaged or cut off; its readable frames are used"
                problems.append(_problem(sample, "incomplete", message))
    return keys, problems


def _encode_frames(frames: Sequence[Image.Image], backbone: Backbone) -> npt.NDArray[np.float32]:
    """Return raw vectors (n, d); scaling is `(x / 255 - mean) / std`, as in the frame graph."""
    p = backbone.config.preprocess
    preprocessing = Preprocessing(
        height=p.height,
        width=p.width,
        resize=p.resize,
        interpolation=p.interpolation,
        fill=p.fill,
    )
    pixels = torch.from_numpy(np.stack([to_pixels(frame, preprocessing) for frame in frames]))
    scaled = (pixels.float() / 255 - torch.tensor(p.mean)) / torch.tensor(p.std)
    with torch.inference_mode():
        return _checked(backbone.encode_image(scaled.permute(0, 3, 1, 2)), backbone)


def _checked(vectors: Tensor, backbone: Backbone) -> npt.NDArray[np.float32]:
    if not vectors.isfinite().all():
        name = backbone.config.name
        raise ArtefactMismatch(f"{name}: gives vectors that are no numbers; check its weights")
    array: npt.NDArray[np.float32] = vectors.numpy()
    return array


def _text_key(backbone: Backbone, text: str) -> str:
    return _key(backbone, "text", [text.encode()])


def _clip_key(backbone: Backbone, path: Path, frames: int) -> str:
    if path.is_dir():
        parts = [p.name.encode() + hashlib.sha256(p.read_bytes()).digest() for p in _pictures(path)]
        return _key(backbone, f"folder {frames}", parts)
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return _key(backbone, f"file {frames}", [digest.digest()])


def _key(backbone: Backbone, kind: str, parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256(f"{_VERSION} {backbone.fingerprint} {kind}".encode())
    for part in parts:
        digest.update(b"\0" + part)
    return digest.hexdigest()


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)


def _problem(sample: Sample, reason: str, message: str) -> InputProblem:
    return InputProblem(sample.id, str(sample.video), reason, message)


def _progress(items: Sequence[T], what: str) -> Iterable[T]:
    bar: Iterable[T] = tqdm(items, desc=what, disable=None, leave=False)  # None: no terminal
    return bar
