"""Compute what the frozen encoders say of every sample, once.

Texts and clips go through the same steps as in the runtime: `trml_rt.inputs.video` chooses frames,
`trml_rt.inputs.image` makes pixels. A key of the cache hashes the backbone, the settings and the
content of the input. So a moved file is not encoded again, and a changed file is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trml_export.backbone.backbone import Encoders
from trml_export.backbone.graph_backbone import GraphBackbone
from trml_export.config import Config
from trml_export.data import DataSet, InputProblem, Sample
from trml_export.features.clips import check_length
from trml_export.features.encoding import encode_clips, encode_texts
from trml_export.features.ranks import ALONE, Ranks, refuse_ranks
from trml_export.features.store import Entry, FeatureStore
from trml_rt.errors import InputUnusable

__all__ = ["Features", "compute_features", "compute_split", "refuse_empty"]


@dataclass(frozen=True)
class Features:
    """The encoders' raw vectors of some samples, all of them rows of one array.

    Attributes:
        samples: those with an input that can be used, in the order of the data set.
        vectors: (rows, d) float32, read-only; a map of the cache's file, or in memory.
        text_rows: (samples,) the row of each sample's text; -1 where it has none.
        clip_starts: (samples,) the row of the first frame of each sample's clip.
        clip_lengths: (samples,) how many frames follow each other there; 0 is no clip.
        problems: every input that was unusable, or not whole.
    """

    samples: tuple[Sample, ...]
    vectors: npt.NDArray[np.float32]
    text_rows: npt.NDArray[np.int64]
    clip_starts: npt.NDArray[np.int64]
    clip_lengths: npt.NDArray[np.int64]
    problems: tuple[InputProblem, ...] = ()

    @property
    def size(self) -> int:
        """The size d of a vector."""
        return self.vectors.shape[1]

    @property
    def has_text(self) -> npt.NDArray[np.bool_]:
        """Which samples (samples,) have a text."""
        return self.text_rows >= 0

    @property
    def has_video(self) -> npt.NDArray[np.bool_]:
        """Which samples (samples,) have a clip."""
        return self.clip_lengths > 0

    @cached_property
    def groups(self) -> npt.NDArray[np.int64]:
        """Numbers (samples, 2) for each text and each clip, the same for equal content."""
        numbers: dict[str | None, int] = {}
        texts = [numbers.setdefault(sample.text, len(numbers)) for sample in self.samples]
        return np.stack([np.array(texts, np.int64), self.clip_starts], axis=1)

    @cached_property
    def digest(self) -> str:
        """A hash of all vectors in the order of the samples, wherever they lie in the array.

        A clip that is replaced under its old name changes nothing but this.
        """
        content = hashlib.sha256()
        for text, start, length in zip(
            self.text_rows, self.clip_starts, self.clip_lengths, strict=True
        ):
            if text >= 0:
                content.update(self.vectors[text].tobytes())
            content.update(self.vectors[start : start + length].tobytes())
        return content.hexdigest()

    def take(self, rows: npt.NDArray[np.int64]) -> Features:
        """Return the samples `rows` alone, in that order."""
        return replace(
            self,
            samples=tuple(self.samples[row] for row in rows),
            text_rows=self.text_rows[rows],
            clip_starts=self.clip_starts[rows],
            clip_lengths=self.clip_lengths[rows],
        )

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample],
        texts: Sequence[npt.NDArray[np.float32] | None],
        clips: Sequence[npt.NDArray[np.float32] | None],
        problems: Sequence[InputProblem] = (),
    ) -> Features:
        """Return features of vectors in memory: texts (d,) and clips (n, d), None for absent.

        Equal texts share a row and equal clips their rows, as they do in the store.
        """
        parts: list[npt.NDArray[np.float32]] = []
        places: dict[tuple[str, bytes], int] = {}
        end = 0

        def place(kind: str, vectors: npt.NDArray[np.float32]) -> int:
            nonlocal end
            start = places.setdefault((kind, vectors.tobytes()), end)
            if start == end:
                parts.append(vectors)
                end += len(vectors)
            return start

        text_rows, starts, lengths = [], [], []
        for text, clip in zip(texts, clips, strict=True):
            text_rows.append(-1 if text is None else place("text", text[np.newaxis]))
            starts.append(end if clip is None else place("clip", clip))
            lengths.append(0 if clip is None else len(clip))
        vectors = np.concatenate(parts) if parts else np.zeros((0, 0))
        columns = (np.array(column, np.int64) for column in (text_rows, starts, lengths))
        return cls(tuple(samples), vectors.astype(np.float32), *columns, tuple(problems))

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if isinstance(self.vectors, np.memmap):  # pickled, it would be copied
            state["vectors"] = (self.vectors.filename, self.vectors.shape)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["vectors"], tuple):
            file, shape = state["vectors"]
            state["vectors"] = np.memmap(file, np.float32, "r", shape=shape)
        self.__dict__.update(state)


def compute_features(
    samples: Sequence[Sample],
    backbone: Encoders,
    config: Config,
    *,
    cache: Path,
    ranks: Ranks = ALONE,
) -> Features:
    """Return the features of `samples`, computing those that `cache` does not hold yet.

    An interrupted call goes on where it was, and ends with the very same numbers. A clip that
    cannot be decoded, or is outside of the limits of `config`, counts as a missing modality and is
    reported. A sample without any usable input is dropped. Several processes that make the same
    call share the work, as `ranks` says.

    Raises:
        ArtefactMismatch: the backbone gives vectors that are no numbers, or a damaged cache.
        EnvironmentUnfit: the cache cannot be written.
    """
    if isinstance(backbone, GraphBackbone):
        backbone.check_config(config)
    store = FeatureStore(cache / backbone.fingerprint[:16], backbone.size)
    ranks.wait()  # whoever makes the store holds its lock for a moment
    texts = encode_texts(samples, backbone, store, ranks)
    clips, unread = encode_clips(samples, backbone, config.frames, store, ranks)
    entries = store.find([*texts.values(), *clips.values()])
    usable: list[tuple[Sample, int, int, int]] = []
    problems: list[InputProblem] = []
    for sample in samples:
        row, start, length = -1, 0, 0
        if sample.text is not None:
            row = entries[texts[sample.text]].start
        if sample.video in unread:
            problems.append(_problem(sample, "undecodable", unread[sample.video]))
        elif sample.video is not None:
            entry = entries[clips[sample.video]]
            try:
                _check(sample.video, entry, config)
            except InputUnusable as problem:
                problems.append(_problem(sample, problem.reason, str(problem)))
            else:
                start, length = entry.start, entry.count
                if entry.incomplete:
                    message = f"{sample.video}: damaged or cut off; its readable frames are used"
                    problems.append(_problem(sample, "incomplete", message))
        if row >= 0 or length:
            usable.append((sample, row, start, length))
    columns = (np.array([each[i] for each in usable], np.int64) for i in (1, 2, 3))
    return Features(
        tuple(each[0] for each in usable), store.vectors(), *columns, problems=tuple(problems)
    )


def compute_split(
    dataset: DataSet, split: str, backbone: Encoders, config: Config, *, cache: Path
) -> Features:
    """Return the features of one split; see `compute_features`.

    Raises:
        InputUnusable: no sample of the split has an input that can be used.
        UsageError: a launcher started several processes, which would all do the same.
    """
    refuse_ranks("training and evaluation")
    samples = [sample for sample in dataset.samples if sample.split == split]
    features = compute_features(samples, backbone, config, cache=cache)
    refuse_empty(features, split)
    return features


def refuse_empty(features: Features, split: str) -> None:
    """Raise InputUnusable, with the first problem, where no sample of `split` can be used."""
    if features.samples:
        return
    if not features.problems:
        raise InputUnusable(f"no {split} sample has a text or a video", reason="absent")
    first = features.problems[0]
    message = f"no {split} sample can be used; the first: {first.message}"
    raise InputUnusable(message, reason=first.reason)


def _check(path: Path, entry: Entry, config: Config) -> None:
    check_length(path, entry.seconds, config)
    if entry.failure is not None:
        raise InputUnusable(f"{path}: {entry.failure.message}", reason=entry.failure.reason)


def _problem(sample: Sample, reason: str, message: str) -> InputProblem:
    return InputProblem(sample.id, str(sample.video), reason, message)
