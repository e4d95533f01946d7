"""Load a bundle and answer on text and video, either of which may be absent.

This module prepares inputs and shapes answers; which engines run is the dispatcher's
business, and how they run the back end's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trml_rt.answer import Answer, InputReport, Reason, read_prediction
from trml_rt.backends import Tensors
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle import Bundle, default_bundle
from trml_rt.compiled import find_compiled
from trml_rt.dispatch import Dispatcher
from trml_rt.errors import ArtefactMismatch, InputUnusable, TrmlError, UsageError
from trml_rt.image import Preprocessing, to_pixels
from trml_rt.modality import Modality
from trml_rt.text import read_text
from trml_rt.tokenizer import Tokenizer, Tokens, pad
from trml_rt.video import Clip, frames_from_array, read_frames

__all__ = ["Runtime", "Sample", "TextLike", "VideoLike", "load"]

TextLike = str | os.PathLike[str]
"""A text itself (str), or the path of a UTF-8 file (a Path)."""

VideoLike = str | os.PathLike[str] | NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
"""The path of a video or picture, frames as one (n, height, width, 3) uint8 array, RGB, or a
sequence of (height, width, 3) arrays."""


@dataclass(frozen=True)
class Sample:
    """One row of a batch; either input may be None, not both."""

    text: TextLike | None = None
    video: VideoLike | None = None


@dataclass
class _Prepared:
    """A sample as tensors: ids (tokens,), pixels (frames, height, width, 3)."""

    tokens: Tokens | None = None
    pixels: NDArray[np.uint8] | None = None
    reports: dict[str, InputReport] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)

    @property
    def present(self) -> Modality:
        text = Modality(0) if self.tokens is None else Modality.TEXT
        return text if self.pixels is None else text | Modality.VIDEO


def load(
    bundle: str | os.PathLike[str] | None = None,
    *,
    backend: Literal["auto", "onnxruntime"] = "auto",
    precision: Literal["fp32", "fp16"] | None = None,
    threads: int | None = None,
) -> Runtime:
    """Open a bundle for inference; use the result as a context manager.

    Args:
        bundle: folder of the bundle; None takes `TRML_RT_BUNDLE` from the environment, else the
            bundle that ships inside the package.
        backend: `auto` takes the best one that fits this device (ONNX Runtime so far).
        precision: engines of this precision, which `trml-rt build` made for this device; None
            takes the portable graphs of the bundle.
        threads: CPU threads an engine may use; None leaves it to the back end.

    Raises:
        ArtefactMismatch: the bundle is damaged, or has no fitting engines of `precision`.
        UsageError: `backend` is not known.
    """
    if backend not in ("auto", "onnxruntime"):
        raise UsageError(f"no back end {backend!r}; choose auto or onnxruntime")
    if precision not in (None, "fp32", "fp16"):
        raise UsageError(f"no precision {precision!r}; choose fp32 or fp16")
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be 1 or more, not {threads}")
    folder = bundle or os.environ.get("TRML_RT_BUNDLE") or default_bundle()
    return Runtime(Bundle(folder), precision=precision, threads=threads)


class Runtime:
    """One model, ready to answer. Engines load on first need; calls may come from several
    threads. Made by `load`.
    """  # noqa: D205

    def __init__(
        self, bundle: Bundle, *, precision: str | None = None, threads: int | None = None
    ) -> None:
        manifest = bundle.manifest
        backend = OnnxRuntimeBackend(threads)
        if precision is None:
            engines, locate = "portable", lambda name: bundle.path(manifest.engines[name].file)
        else:
            compiled = find_compiled(bundle, precision)
            engines, locate = compiled.folder.name, compiled.path
        self.bundle = bundle
        self._backend_name, self._engines_name = backend.name, engines
        self._dispatcher = Dispatcher(manifest, backend, locate)
        self._tokenizer: Tokenizer | None = None
        self._preprocessing = Preprocessing(
            height=manifest.video.height,
            width=manifest.video.width,
            resize=manifest.video.resize,
            interpolation=manifest.video.interpolation,
            fill=manifest.video.fill,
        )

    def infer(
        self,
        text: TextLike | None = None,
        video: VideoLike | None = None,
        *,
        degrade: bool = False,
    ) -> Answer:
        """Answer on one text, one video, or both.

        Args:
            text: a str is the text itself, a Path a UTF-8 file.
            video: path of a video or picture, or RGB frames (n, height, width, 3) uint8.
            degrade: count an unusable input as missing, and say so in the answer, where it
                would be an error otherwise. At least one input must be usable.

        Raises:
            UsageError: neither is given, or the bundle does not serve the combination.
            InputUnusable: an input is given but cannot be used.
            ArtefactMismatch: a file of the bundle is damaged.
        """
        prepared = self._prepare(Sample(text, video), degrade)
        return self._answer([prepared])[0]

    def infer_batch(self, samples: Sequence[Sample], *, degrade: bool = False) -> list[Answer]:
        """Answer on many samples, each with its own inputs present; see `infer`.

        Rows are grouped by their modalities, so every row gets the answer that it would get
        alone, to float32 rounding. In a row's `ms` an engine's time is that of the
        whole group the row ran in.
        """
        prepared = []
        for number, sample in enumerate(samples):
            try:
                prepared.append(self._prepare(sample, degrade))
            except TrmlError as error:
                error.args = (f"sample {number}: {error}",)
                raise
        answers: dict[int, Answer] = {}
        for group in self._groups(prepared):
            answers |= zip(group, self._answer([prepared[i] for i in group]), strict=True)
        return [answers[i] for i in range(len(prepared))]

    def close(self) -> None:
        """Free the engines; closing twice is fine."""
        self._dispatcher.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _prepare(self, sample: Sample, degrade: bool) -> _Prepared:
        if sample.text is None and sample.video is None:
            raise UsageError("neither text nor video is given; give at least one")
        prepared = _Prepared()
        refused: list[InputUnusable] = []
        for name, given, prepare in (
            ("text", sample.text, self._prepare_text),
            ("video", sample.video, self._prepare_video),
        ):
            reason = Reason.NOT_GIVEN
            if given is not None:
                try:
                    prepare(given, prepared)
                    continue
                except InputUnusable as error:
                    if not degrade:
                        raise
                    refused.append(error)
                    reason = Reason(error.reason)
            prepared.reports[name] = InputReport("virtual", reason)
        if not prepared.present:
            raise InputUnusable(
                "no input can be used: " + "; ".join(str(error) for error in refused),
                reason=refused[0].reason,
            )
        return prepared

    def _prepare_text(self, given: Any, prepared: _Prepared) -> None:
        text = given if isinstance(given, str) else read_text(given)
        if self._tokenizer is None:
            self._tokenizer = self._load_tokenizer()
        start = time.perf_counter()
        tokens = self._tokenizer.encode(text)
        _add_ms(prepared, "preprocess", start)
        prepared.tokens = tokens
        prepared.reports["text"] = InputReport(
            "real", tokens=len(tokens.ids), truncated=tokens.truncated
        )

    def _load_tokenizer(self) -> Tokenizer:
        settings = self.bundle.manifest.text
        path = self.bundle.path(settings.tokenizer)
        tokenizer = Tokenizer.from_file(path)
        if tokenizer.context != settings.context:
            raise ArtefactMismatch(
                f"{path}: cuts to {tokenizer.context} tokens, the manifest says "
                f"{settings.context}; export the bundle again"
            )
        return tokenizer

    def _prepare_video(self, given: Any, prepared: _Prepared) -> None:
        start = time.perf_counter()
        count = self.bundle.manifest.video.frames
        clip: Clip = (
            read_frames(given, count)
            if isinstance(given, str | os.PathLike)
            else frames_from_array(given, count)
        )
        _add_ms(prepared, "decode", start)
        start = time.perf_counter()
        prepared.pixels = np.stack([to_pixels(f, self._preprocessing) for f in clip.frames])
        _add_ms(prepared, "preprocess", start)
        prepared.reports["video"] = InputReport(
            "real", frames=len(clip.frames), incomplete=clip.incomplete
        )

    def _groups(self, prepared: list[_Prepared]) -> list[list[int]]:
        """Split rows into groups of one presence, none larger than the engines' axes allow."""
        axes = self.bundle.manifest.axes
        groups: list[list[int]] = []
        for present in dict.fromkeys(row.present for row in prepared):
            group: list[int] = []
            frames = 0
            for index, row in enumerate(prepared):
                if row.present != present:
                    continue
                more = 0 if row.pixels is None else len(row.pixels)
                if len(group) == axes.batch.max or frames + more > axes.frames.max:
                    groups.append(group)
                    group, frames = [], 0
                group.append(index)
                frames += more
            groups.append(group)
        return groups

    def _answer(self, rows: list[_Prepared]) -> list[Answer]:
        """Run rows of one presence together."""
        engine_set = self._dispatcher.select(rows[0].present)
        start = time.perf_counter()
        inputs = self._tensors(rows)
        shaping = (time.perf_counter() - start) * 1e3
        tensors, engines_ms = self._dispatcher.run(engine_set.present, inputs)
        answers = []
        for row, prediction in zip(rows, tensors["prediction"], strict=True):
            label, score, probabilities = read_prediction(prediction, self.bundle.manifest.task)
            ms = {"decode": 0.0, **row.ms}
            ms["preprocess"] += shaping
            ms |= engines_ms
            answers.append(
                Answer(
                    label=label,
                    score=score,
                    probabilities=probabilities,
                    inputs={name: row.reports[name] for name in ("text", "video")},
                    engine_set=engine_set.name,
                    backend=self._backend_name,
                    engines=self._engines_name,
                    # Export and build both refuse to finish without their check.
                    verified=True,
                    ms=ms | {"total": sum(ms.values())},
                )
            )
        return answers

    def _tensors(self, rows: list[_Prepared]) -> Tensors:
        """Stack rows into the input tensors of an engine set, by the names of the format."""
        tensors: Tensors = {}
        tokens = [row.tokens for row in rows if row.tokens is not None]
        if tokens:
            settings = self.bundle.manifest.text
            length = None if settings.cut else settings.context
            tensors["ids"] = pad(tokens, settings.pad_id, length)  # (batch, tokens)
        clips = [row.pixels for row in rows if row.pixels is not None]
        if clips:
            places = np.arange(self.bundle.manifest.video.frames)
            lengths = np.array([[len(clip)] for clip in clips])
            tensors["frames"] = np.concatenate(clips)  # (frames, height, width, 3)
            tensors["frame_mask"] = places < lengths  # (batch, n)
        return tensors


def _add_ms(prepared: _Prepared, name: str, start: float) -> None:
    prepared.ms[name] = prepared.ms.get(name, 0.0) + (time.perf_counter() - start) * 1e3
