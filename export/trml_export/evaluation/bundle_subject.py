"""Evaluate a bundle on the runtime that a caller opened; this package imports no runtime."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trml_export.config import Config
from trml_export.data import InputProblem, Sample, config_for
from trml_export.evaluation.predictions import Predictions
from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.rows import row_answers
from trml_export.evaluation.split import DataSplit
from trml_export.evaluation.subject import assemble, model_run
from trml_export.features.clips import check_length, seconds
from trml_export.features.features import Features, refuse_empty
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import InputUnusable
from trml_rt.inputs.video import read_frames
from trml_rt.progress import counted

__all__ = ["BundleSubject", "Tracing"]

_log = logging.getLogger(__name__)

SetTensors = Mapping[str, Mapping[str, NDArray[np.generic]]]
"""The tensors of each engine set by name; the batch is 1."""


class Tracing(Protocol):
    """A runtime that gives every tensor of every engine set, as `trml_rt.runtime.Runtime` does."""

    @property
    def bundle(self) -> Bundle:
        """What runs."""
        ...

    @property
    def provenance(self) -> Mapping[str, str | bool]:
        """The back end, the engines, and whether they are verified."""
        ...

    def trace(self, text: str | None, video: list[NDArray[np.uint8]] | None) -> SetTensors:
        """Take a text and RGB frames, each (height, width, 3) uint8, either of them None."""
        ...


@dataclass(frozen=True)
class BundleSubject:
    """A bundle on an open runtime."""

    runtime: Tracing

    def evaluate(self, split: DataSplit) -> Evaluation:
        """Evaluate the engines on `split`; see `evaluate` for the errors."""
        manifest, provenance = self.runtime.bundle.manifest, self.runtime.provenance
        config = config_for(manifest.task, split.layout)
        config = config.model_copy(update={"frames": manifest.video.frames})
        dataset = split.read(config)
        traced = _trace(self.runtime, split.samples_of(dataset), config)
        features = _features(traced)
        refuse_empty(features, split.name)
        predictions = _predictions(traced, config, features.size)
        subject = {
            "kind": "bundle",
            "name": manifest.name,
            **provenance,
            "methods": {"bundle": provenance["engines"]},
        }
        run = model_run("bundle", predictions, features, config)
        rows = row_answers(predictions, features, config)
        return assemble(subject, config, split, dataset, features, [run], rows)


@dataclass(frozen=True)
class _Traced:
    """The samples that could be used, the tensors of each, and what was wrong with the others."""

    samples: list[Sample]
    sets: list[SetTensors]
    problems: list[InputProblem]


def _trace(runtime: Tracing, samples: Sequence[Sample], config: Config) -> _Traced:
    """Run every sample; an unusable clip counts as missing, as it does in `compute_features`."""
    traced = _Traced([], [], [])
    for sample in counted(samples, len(samples), "samples", _log):
        frames = None
        if sample.video is not None:
            try:
                check_length(sample.video, seconds(sample.video), config)
                clip = read_frames(sample.video, config.frames)
            except InputUnusable as problem:
                path = str(sample.video)
                traced.problems.append(InputProblem(sample.id, path, problem.reason, str(problem)))
            else:
                frames = [np.asarray(frame) for frame in clip.frames]
        if sample.text is not None or frames is not None:
            traced.samples.append(sample)
            traced.sets.append(runtime.trace(sample.text, frames))
    return traced


def _features(traced: _Traced) -> Features:
    """Return the encoders' vectors as features: those of the text set and of the video set."""
    texts = [sets.get("text", {}).get("text_vector") for sets in traced.sets]
    clips = [sets.get("video", {}).get("frame_vectors") for sets in traced.sets]
    vectors = [None if batch is None else batch[0] for batch in texts]
    return Features.of(traced.samples, vectors, clips, traced.problems)


def _predictions(traced: _Traced, config: Config, size: int) -> Predictions:
    """Gather each tensor over the samples; NaN where a sample does not allow the engine set."""

    def column(engine_set: str, tensor: str, width: int) -> NDArray[np.float32]:
        rows = np.full((len(traced.sets), width), np.nan, np.float32)
        for row, sets in zip(rows, traced.sets, strict=True):
            if tensor in sets.get(engine_set, {}):
                row[:] = sets[engine_set][tensor][0]
        return rows

    return Predictions(
        text=column("text", "prediction", config.outputs),
        video=column("video", "prediction", config.outputs),
        both=column("text_video", "prediction", config.outputs),
        virtual_text=column("video", "virtual_text", size),
        virtual_video=column("text", "virtual_video", size),
        real_text=column("text", "text_vector", size),
    )
