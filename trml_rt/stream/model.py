"""What a stream asks of the model: vectors of one frame or one text, kept, and answers on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trml_rt.answer import Answer, InputReport, Reason
from trml_rt.backends import Tensors
from trml_rt.bundle.modality import Modality
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.errors import InputUnusable
from trml_rt.inputs.prepare import Inputs, Prepared, Sample, TextLike

__all__ = ["Model", "ReadText", "Shown"]


@dataclass
class ReadText:
    """A text as the model takes it; `row` is None where it cannot be used, for `reason`."""

    row: Prepared | None
    reason: Reason | None = None
    kept: Tensors = field(default_factory=dict)
    sure: bool | None = None
    """Whether it needs no video; None: nobody has asked."""


@dataclass
class Shown:
    """A frame of a window: pixels (height, width, 3), and what the encoder made of them."""

    t: float
    epoch: int
    arrived: float
    pixels: NDArray[np.uint8]
    number: int
    ms: float = 0.0
    """What making the pixels took, until an answer states it."""
    answered: bool = False
    kept: Tensors | None = None


class Model:
    """Answers on the window of a stream.

    Args:
        inputs: prepares texts and frames.
        dispatcher: runs encoders.
        answer: answers on one prepared row, and on what encoders made of it before.
        keep: keep what encoders make of frames.
        sure: says whether an answer on a text alone needs no video; None: video is always taken.
    """

    def __init__(
        self,
        inputs: Inputs,
        dispatcher: Dispatcher,
        answer: Callable[[list[Prepared], Tensors], list[Answer]],
        *,
        keep: bool,
        sure: Callable[[Answer], bool] | None = None,
    ) -> None:
        self._inputs, self._dispatcher, self._answer = inputs, dispatcher, answer
        self._sure = sure
        self._of_frames = dispatcher.encoder("frames") if keep else None
        self._of_text = dispatcher.encoder("ids") if keep else None

    def pixels(self, picture: Image.Image) -> tuple[NDArray[np.uint8], float]:
        """Return a picture as the encoder takes it, (height, width, 3), and the milliseconds.

        Raises:
            InputUnusable: it cannot be resized.
        """
        start = time.perf_counter()
        pixels = self._inputs.pixels(picture)
        return pixels, (time.perf_counter() - start) * 1e3

    def is_sure(self, text: ReadText) -> bool:
        """Say whether a text needs no video, where the caller asks for that."""
        if self._sure is None or text.row is None:
            return False
        if text.sure is None:
            answer = self.answer(text, (), Reason.NOT_NEEDED)
            text.sure = self._sure(answer)
            text.row.ms = {name: ms for name, ms in answer.ms.items() if name != "total"}
        return text.sure

    def read(self, text: TextLike) -> ReadText:
        """Return a text as the model takes it."""
        try:
            return ReadText(self._inputs.prepare(Sample(text=text), degrade=False))
        except InputUnusable as error:
            return ReadText(None, Reason(error.reason))

    def answer(
        self, text: ReadText, window: Sequence[Shown], reason: Reason | None = None
    ) -> Answer:
        """Answer on a text and a window, of which one may be missing.

        Args:
            text: the text; its row is None where it is missing.
            window: the frames; none where video is virtual.
            reason: why it is.
        """
        row, kept = Prepared(), Tensors()
        if text.row is None:
            row.reports["text"] = InputReport("virtual", text.reason)
        else:
            row.tokens, row.reports["text"] = text.row.tokens, text.row.reports["text"]
            row.ms, text.row.ms = dict(text.row.ms), {}  # the time of a text counts once
            kept |= self._vectors_of_text(text, row)
        if window:
            row.pixels = np.stack([shown.pixels for shown in window])
            row.ms["preprocess"] = row.ms.get("preprocess", 0.0) + _spent(window)
            row.reports["video"] = InputReport("real", frames=len(window))
            kept |= self._vectors_of_frames(window, row)
        else:
            row.reports["video"] = InputReport("virtual", reason)
        return self._answer([row], kept)[0]

    def serves(self, present: Modality) -> bool:
        """Say whether the bundle answers on `present` alone."""
        return self._dispatcher.serves(present)

    def _vectors_of_text(self, text: ReadText, row: Prepared) -> Tensors:
        if self._of_text is not None and not text.kept:
            ids = {"ids": self._inputs.stack([Prepared(tokens=row.tokens)])["ids"]}
            text.kept, row.ms[self._of_text] = self._dispatcher.encode(self._of_text, ids)
        return text.kept

    def _vectors_of_frames(self, window: Sequence[Shown], row: Prepared) -> Tensors:
        if self._of_frames is None:
            return {}
        for shown in window:
            if shown.kept is None:
                shown.kept, ms = self._dispatcher.encode(
                    self._of_frames, {"frames": shown.pixels[None]}
                )
                row.ms[self._of_frames] = row.ms.get(self._of_frames, 0.0) + ms
        parts = [shown.kept for shown in window if shown.kept is not None]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _spent(window: Sequence[Shown]) -> float:
    """Return what making the pixels of frames took that no answer has stated yet."""
    spent = sum(shown.ms for shown in window)
    for shown in window:
        shown.ms = 0.0
    return spent
