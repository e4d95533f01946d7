"""Play the steps of streams.json on a stream, in whatever language it is written.

A case has the bundle, the rules of the stream, and perhaps the seconds by the clock that encoding a
frame `takes`. A step is a list: what is done, and with what.

    ["frame", t, [width, height, seed]]   push the picture of pictures.py; a seed of null: black
    ["frame", t, [...], "bgr"]            in another format
    ["text", words, t, end]               push a text; null: without that time
    ["state", state, message]             push_state
    ["end_texts"], ["end"], ["close"]
    ["clock", seconds]                    let the clock go on
    ["poll"]                              poll once
    ["drain"]                             poll until there is no answer

A time may be the word "nan" or "inf", for which JSON has no number. What a step gives is whether
something was taken, an error as [status, sentence], or of polls the events and answers in order.
"""

from __future__ import annotations

import contextlib
from typing import Any, Protocol
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import trml_rt
from tests.conformance.pictures import picture
from trml_rt.engines.dispatch import Dispatcher

__all__ = ["Clock", "StreamLike", "pixels_of", "play", "play_python"]

Record = dict[str, Any]


class Clock:
    """A clock that stands still until a step moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class StreamLike(Protocol):
    """A stream of either language; `told` has the events since it was last cleared."""

    told: list[Record]

    def push_frame(self, frame: NDArray[np.uint8], t: float, format: str) -> bool: ...
    def push_text(self, text: str, t: float | None, end: float | None) -> bool: ...
    def push_state(self, state: str, message: str | None) -> None: ...
    def end_texts(self) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...
    def poll(self) -> Record | None: ...
    def totals(self) -> Record: ...


def pixels_of(width: int, height: int, seed: int | None, format: str) -> NDArray[np.uint8]:
    """Return the picture of a step."""
    made = picture(width, height, seed or 0, format)
    return np.zeros_like(made) if seed is None else made


def play(stream: StreamLike, case: Record, clock: Clock) -> Record:
    """Return what each step of a case gives, and the totals once the stream is closed."""
    gives = [_step(stream, step, clock) for step in case["steps"]]
    stream.close()
    stream.close()  # twice is fine
    return {"gives": gives, "totals": stream.totals()}


def play_python(rt: trml_rt.Runtime, case: Record, *, bits: bool = False) -> Record:
    """Play a case on a stream of the Python package; `bits` adds scores to the last bit."""
    clock, encode, takes = Clock(), Dispatcher.encode, case.get("takes")

    def slow(self: Dispatcher, encoder: str, inputs: Any) -> Any:
        clock.now += takes if "frames" in inputs else 0.0
        return encode(self, encoder, inputs)

    with patch.object(Dispatcher, "encode", slow) if takes else contextlib.nullcontext():
        try:
            stream = _Python(rt, case["rules"], clock, bits)
        except trml_rt.TrmlError as error:
            return {"error": [error.exit_code, str(error)]}
        return play(stream, case, clock)


def _step(stream: StreamLike, step: list[Any], clock: Clock) -> Any:
    what, *rest = step
    if what in ("poll", "drain"):
        return _polled(stream, every=what == "drain")
    if what == "clock":
        clock.now += rest[0]
        return None
    try:
        if what == "frame":
            form = rest[2] if len(rest) > 2 else "rgb"
            return stream.push_frame(pixels_of(*rest[1], form), _time(rest[0]), form)
        if what == "text":
            return stream.push_text(rest[0], _time(rest[1]), _time(rest[2]))
        return getattr(stream, {"state": "push_state"}.get(what, what))(*rest)
    except Exception as error:
        if not hasattr(error, "status") and not isinstance(error, trml_rt.TrmlError):
            raise
        return {"error": [getattr(error, "status", None) or error.exit_code, str(error)]}


def _polled(stream: StreamLike, *, every: bool) -> list[Record]:
    found = []
    while True:
        answer = stream.poll()
        found += [*stream.told, *([] if answer is None else [answer])]
        stream.told.clear()
        if answer is None or not every:
            return found


def _time(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


class _Python:
    """A stream of the Python package as `play` takes it."""

    def __init__(self, rt: trml_rt.Runtime, rules: Record, clock: Clock, bits: bool) -> None:
        self.told: list[Record] = []
        self._bits = bits
        self._stream = rt.stream(
            clock=clock, on_event=lambda event: self.told.append(event.to_dict()), **rules
        )
        self.push_state, self.end_texts = self._stream.push_state, self._stream.end_texts
        self.end, self.close = self._stream.end, self._stream.close

    def push_frame(self, frame: NDArray[np.uint8], t: float, format: str) -> bool:
        return self._stream.push_frame(frame, t, order="bgr" if format == "bgr" else "rgb")

    def push_text(self, text: str, t: float | None, end: float | None) -> bool:
        return self._stream.push_text(text, t, end=end)

    def poll(self) -> Record | None:
        answer = self._stream.poll()
        if answer is None:
            return None
        record = answer.to_dict()
        record["ms"] = list(record["ms"])
        if self._bits:
            named = {name: p.hex() for name, p in (answer.probabilities or {}).items()}
            record["bits"] = {"score": answer.score.hex(), "probabilities": named}
        return record

    def totals(self) -> Record:
        return self._stream.totals.to_dict()
