"""Prepare inputs: a text becomes ids, a clip pixels, and a report says what became of each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trml_rt.answer import InputReport, Reason
from trml_rt.backends import Tensors
from trml_rt.backends.shaping import DeviceFrame, Shaping
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.modality import Modality
from trml_rt.errors import ArtefactMismatch, InputUnusable, UsageError, blames_machine
from trml_rt.inputs.apart.clips import Decoders
from trml_rt.inputs.frames import Order, frames_from_array
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.limits import DEFAULT_LIMITS, MediaLimits
from trml_rt.inputs.picture import read_frame_picture
from trml_rt.inputs.resize import shaping_of
from trml_rt.inputs.text import read_text
from trml_rt.inputs.tokenizer import Tokenizer, Tokens, few_lengths, pad
from trml_rt.inputs.video import read_encoded, read_frames

__all__ = ["Inputs", "Prepared", "Sample", "SampleLike", "TextLike", "VideoLike", "sample_of"]

TextLike = str | os.PathLike[str]
"""A text itself (str), or the path of a UTF-8 file (a Path)."""


class ArrayLike(Protocol):
    """What numpy can read: a tensor of torch in the CPU's memory, for one."""

    def __array__(self, *arguments: Any, **options: Any) -> NDArray[Any]: ...


Frame = NDArray[np.uint8] | Image.Image | ArrayLike | str | os.PathLike[str]

VideoLike = str | os.PathLike[str] | bytes | bytearray | BinaryIO | Frame | Iterable[Frame]
"""The path of a video, a picture or a folder of frame pictures; a video or picture as encoded bytes
or a binary file object; or frames: see `trml_rt.inputs.frames.frames_from_array`."""


@dataclass(frozen=True)
class Sample:
    """One row of a batch; either input may be None, not both."""

    text: TextLike | None = None
    video: VideoLike | None = None


SampleLike = Sample | str | Mapping[str, Any] | tuple[TextLike | None, VideoLike | None]
"""One row of a batch: a `Sample`, a text, a dict with the keys `text` and `video`, of which one may
be left out, or a tuple (text, video)."""


def sample_of(row: SampleLike) -> Sample:
    """Return the sample that a row of a batch stands for.

    Raises:
        UsageError: it stands for none.
    """
    if isinstance(row, Sample):
        return row
    if isinstance(row, str):
        return Sample(text=row)
    if isinstance(row, tuple) and len(row) == 2:
        return Sample(*row)
    if isinstance(row, Mapping) and row.keys() <= {"text", "video"}:
        return Sample(**row)
    what = f"a dict with the keys {[*row]}" if isinstance(row, Mapping) else type(row).__name__
    raise UsageError(
        "must be a Sample, a text, a dict with the keys text and video, or a tuple (text, video), "
        f"not {what}"
    )


@dataclass
class Prepared:
    """A sample as tensors: ids (tokens,), pixels (frames, height, width, 3)."""

    tokens: Tokens | None = None
    pixels: NDArray[np.uint8] | None = None
    reports: dict[str, InputReport] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)

    @property
    def present(self) -> Modality:
        """The modalities that can be used."""
        return _PRESENT[self.tokens is not None, self.pixels is not None]


# Looked up rather than computed: arithmetic on flags is slow for the rate of calls here.
_PRESENT = {
    (False, False): Modality(0),
    (True, False): Modality.TEXT,
    (False, True): Modality.VIDEO,
    (True, True): Modality.TEXT | Modality.VIDEO,
}


_TEXT_TYPES = (str, type(None), os.PathLike)


class Inputs:
    """Prepares samples for one bundle; reads the tokenizer when the first text comes.

    May be used from several threads.

    Args:
        bundle: the bundle.
        threads: that decode a video at once.
        limits: of what a clip may cost.
        few_shapes: texts are padded to few lengths, for a back end that works by shape.
        read_device: reads frames on a GPU; None: they are refused.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        limits: MediaLimits = DEFAULT_LIMITS,
        *,
        few_shapes: bool = False,
        read_device: Callable[[DeviceFrame, Shaping], NDArray[np.uint8]] | None = None,
    ) -> None:
        self._bundle = bundle
        self._read_device = read_device
        self.limits = limits
        self.threads = threads
        self.few_shapes = few_shapes
        text = bundle.manifest.text
        self.lengths = few_lengths(text.context) if few_shapes and text.cut else [text.context]
        """The lengths that `ids` may have, the longest last; texts that are cut have more."""
        self._pads = few_shapes or not text.cut
        self._tokenizer: Tokenizer | None = None
        self.preprocessing = Preprocessing(
            height=bundle.manifest.video.height,
            width=bundle.manifest.video.width,
            resize=bundle.manifest.video.resize,
            interpolation=bundle.manifest.video.interpolation,
            fill=bundle.manifest.video.fill,
        )
        count = bundle.manifest.video.frames
        shape = partial(to_pixels, preprocessing=self.preprocessing)  # no method: a cycle
        self._read_here = partial(
            read_frames, count=count, shape=shape, threads=threads, limits=limits
        )
        self._decoders = Decoders(self.preprocessing, count, threads, limits)

    def prepare(
        self, sample: Sample, *, degrade: bool, order: Order = "rgb", isolate: bool = False
    ) -> Prepared:
        """Return `sample` as tensors.

        Args:
            sample: what to prepare.
            degrade: count an unusable input as missing.
            order: of the colours in arrays.
            isolate: decode in a process of its own.

        Raises:
            UsageError: neither input is given.
            InputUnusable: an input cannot be used; with `degrade` only if none can. A text whose
                tokens are all unknown counts as missing always.
            EnvironmentUnfit: the machine lacks memory, threads or open files, also with `degrade`.
            ArtefactMismatch: the bundle's tokenizer is damaged.
        """
        if not isinstance(sample.text, _TEXT_TYPES):
            raise UsageError(f"text must be a str or a Path, not {type(sample.text).__name__}")
        if sample.text is None and sample.video is None:
            raise UsageError("neither text nor video is given; give at least one")
        prepared = Prepared()
        refused: list[InputUnusable] = []
        for name, value, prepare in (
            ("text", sample.text, self._text),
            ("video", sample.video, partial(self._video, order=order, isolate=isolate)),
        ):
            reason = Reason.NOT_GIVEN
            if value is not None:
                try:
                    prepare(value, prepared)
                    continue
                except InputUnusable as error:
                    # A text of unknown tokens alone is sound; it says nothing to this model.
                    if not (degrade or error.reason == Reason.UNKNOWN_TEXT):
                        raise
                    refused.append(error)
                    reason = Reason(error.reason)
            prepared.reports[name] = InputReport("virtual", reason)
        if prepared.tokens is None and prepared.pixels is None:
            raise InputUnusable(
                "no input can be used: " + "; ".join(str(error) for error in refused),
                reason=refused[0].reason,
            )
        return prepared

    def pixels(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Return one picture as the image encoder takes it, (height, width, 3).

        Raises:
            InputUnusable: it is so narrow that resizing it would exhaust memory.
        """
        return to_pixels(picture, self.preprocessing)

    def blank(self, present: Modality, tokens: int | None = None) -> Prepared:
        """Return a text of padding and black frames, as long as may be, where `present`.

        `tokens` is the length of the text; None: as long as may be.
        """
        prepared = Prepared()
        if Modality.TEXT in present:
            settings = self._bundle.manifest.text
            self._tokenizer = self._tokenizer or self._load_tokenizer()
            padding = np.full(tokens or settings.context, settings.pad_id, np.int32)
            prepared.tokens = Tokens(padding, truncated=False)
        if Modality.VIDEO in present:
            video = self._bundle.manifest.video
            black = np.zeros((video.frames, video.height, video.width, 3), np.uint8)
            self._video(black, prepared, order="rgb", isolate=False)
        return prepared

    def stack(self, rows: Sequence[Prepared]) -> Tensors:
        """Stack prepared rows of one presence into the input tensors of an engine set.

        Returns:
            By the names of the format: `ids` (batch, tokens) int32, `frames` (frames, height,
            width, 3) uint8, the clips one after another, and `frame_mask` (batch, n) bool.
        """
        manifest = self._bundle.manifest
        tensors: Tensors = {}
        tokens = [row.tokens for row in rows if row.tokens is not None]
        if tokens:
            longest = max(len(row) for row in tokens)
            length = next(n for n in self.lengths if n >= longest) if self._pads else None
            tensors["ids"] = pad(tokens, manifest.text.pad_id, length)
        clips = [row.pixels for row in rows if row.pixels is not None]
        if clips:
            places = np.arange(manifest.video.frames)
            lengths = np.array([[len(clip)] for clip in clips])
            tensors["frames"] = np.concatenate(clips)
            tensors["frame_mask"] = places < lengths
        return tensors

    def _read_picture(self, path: Path) -> Image.Image:
        """Return a picture in the size of the encoder, in which it stays when shaped again."""
        [pixels] = read_frame_picture(path, self.pixels, self.limits).frames
        return Image.fromarray(pixels)

    def _device_picture(self, frame: DeviceFrame) -> Image.Image:
        """Return a frame on a GPU as such a picture."""
        if self._read_device is None:
            raise UsageError(
                "video: this back end takes frames in the CPU's memory only; copy them there, or "
                'load the bundle with backend="tensorrt"'
            )
        shaping = shaping_of(frame.height, frame.width, self.preprocessing)
        return Image.fromarray(self._read_device(frame, shaping))

    def close(self) -> None:
        """End the processes that decode; the next call that needs one starts it anew."""
        self._decoders.close()

    def _text(self, source: Any, prepared: Prepared) -> None:
        text = source if isinstance(source, str) else read_text(source)
        self._tokenizer = self._tokenizer or self._load_tokenizer()
        start = time.perf_counter()
        tokens = self._tokenizer.encode(text)
        _add_ms(prepared, "preprocess", start)
        prepared.tokens = tokens
        prepared.reports["text"] = InputReport(
            "real",
            tokens=len(tokens.ids),
            truncated=tokens.truncated,
            unknown=tokens.unknown,
        )

    def _load_tokenizer(self) -> Tokenizer:
        settings = self._bundle.manifest.text
        path = self._bundle.path(settings.tokenizer)
        tokenizer = Tokenizer.from_file(path)
        if tokenizer.context != settings.context:
            raise ArtefactMismatch(
                f"{path}: cuts to {tokenizer.context} tokens, the manifest says "
                f"{settings.context}; export the bundle again"
            )
        return tokenizer

    def _video(self, source: Any, prepared: Prepared, order: Order, isolate: bool) -> None:
        start = time.perf_counter()
        read = self._decoders.read_frames if isolate else self._read_here
        if isinstance(source, str | os.PathLike):
            step, clip = "decode", read(source)
        elif isinstance(source, bytes | bytearray | memoryview) or hasattr(source, "read"):
            step, clip = "decode", read_encoded(source, read, self.limits)
        else:
            step = "preprocess"
            with blames_machine("video"):
                count = self._bundle.manifest.video.frames
                picture = self._decoders.read_picture if isolate else self._read_picture
                given = frames_from_array(
                    source, count, order=order, read=picture, read_device=self._device_picture
                )
                clip = given.map(self.pixels)
        prepared.pixels = np.stack(clip.frames)
        _add_ms(prepared, step, start)
        prepared.reports["video"] = InputReport(
            "real", frames=len(clip.frames), incomplete=clip.incomplete
        )


def _add_ms(prepared: Prepared, name: str, start: float) -> None:
    prepared.ms[name] = prepared.ms.get(name, 0.0) + (time.perf_counter() - start) * 1e3
