"""Feed a stream from sources: video and texts, each in a thread of its own.

Threads only push. What a source gives is taken in its order, so with the policy "every" answers do
not depend on how fast a thread is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import GeneratorType
from typing import Any, Literal

from trml_rt.answer import Reason
from trml_rt.errors import InputUnusable, TrmlError, UsageError
from trml_rt.inputs.frames import Order
from trml_rt.inputs.in_turn import frames_in_turn
from trml_rt.inputs.limits import MediaLimits
from trml_rt.inputs.live import Dropped, Event, Frame, LiveSource
from trml_rt.inputs.live.address import parse_address
from trml_rt.inputs.subtitles import Cue, cue_of_line, read_cues
from trml_rt.stream.intake import Change, Intake
from trml_rt.stream.words import MOST

__all__ = ["LONGEST", "Pumps", "TextSource", "VideoSource", "cues_of", "frames_of", "is_live"]

VideoSource = str | os.PathLike[str] | Iterable[tuple[float, Any]]
"""A path or an address (`trml_rt.inputs.live.address.parse_address`); or frames, each with its
time."""

TextSource = str | os.PathLike[str] | Iterable[Any]
"""The path of SRT, VTT or JSON lines; or texts: each a str, a line of UTF-8 as bytes, a tuple
(t, text) or (t, end, text), or a dict with the keys `t`, `end` and `text`."""

LONGEST = 1_000_000
"""Bytes that a line of texts may have."""

Frames = Iterable[tuple[float, Any]]

_JOIN = 0.5  # second in which a thread is expected to end
_ROOM = 1.0  # second between two looks whether there is room


def is_live(source: VideoSource) -> bool:
    """Say whether frames of a source are worthless when nobody takes them in time.

    Raises:
        UsageError: it is no source.
    """
    if isinstance(source, str | os.PathLike):
        return parse_address(source).live
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | Mapping):
        return False
    raise UsageError(
        f"video: must be a path, or pairs of a time and a frame, not {type(source).__name__}"
    )


def frames_of(
    source: VideoSource,
    threads: int,
    limits: MediaLimits,
    open_live: Callable[[str], LiveSource],
    *,
    isolate: bool,
) -> Frames | LiveSource:
    """Return the frames of a source, each with its time; or what tells of a live one.

    Args:
        source: the source, for which `is_live` did not raise.
        threads: that decode a file.
        limits: of a file and its frames.
        open_live: opens what is no file, to be read by a process of its own.
        isolate: open a file so, too.
    """
    if not isinstance(source, str | os.PathLike):
        return source
    if parse_address(source).kind == "file" and not isolate:
        return frames_in_turn(source, threads=threads, limits=limits)
    return open_live(os.fspath(source))


def cues_of(source: TextSource) -> Iterable[Cue | InputUnusable]:
    """Return the texts of a source.

    A source that gives texts one by one has an error in place of a line that cannot be read.

    Raises:
        InputUnusable: a file is none that has texts with times; a text of a list cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        return read_cues(Path(source))
    if isinstance(source, list | tuple):
        return [_readable(cue) for cue in _cues(source)]
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | Mapping):
        return _cues(source)
    raise UsageError(
        f"text: must be a path, or texts one after another, not {type(source).__name__}"
    )


def _readable(cue: Cue | InputUnusable) -> Cue:
    if isinstance(cue, InputUnusable):
        raise cue
    return cue


def _cues(items: Iterable[Any]) -> Iterator[Cue | InputUnusable]:
    for number, item in enumerate(items, 1):
        try:
            cue = _cue(item, number)
        except InputUnusable as error:
            yield error.with_traceback(None)
            continue
        if cue is not None:
            yield cue


def _cue(item: Any, number: int) -> Cue | None:
    if isinstance(item, Cue):
        return item
    if isinstance(item, bytes):
        item = _decoded(item, number)
    if isinstance(item, str):
        return cue_of_line(item, f"text {number}")
    if isinstance(item, tuple) and len(item) in (2, 3):
        return Cue(item[-1], *item[:-1])
    if isinstance(item, Mapping) and item.keys() <= {"t", "end", "text"} and "text" in item:
        return Cue(item["text"], item.get("t"), item.get("end"))
    raise UsageError(
        f"text {number}: must be a str, (t, text), (t, end, text) or a dict with t, end and text, "
        f"not {item!r}"
    )


def _decoded(line: bytes, number: int) -> str:
    if len(line) > LONGEST:
        why = "is longer than 1 MB; pass one utterance a line"
        raise InputUnusable(f"text {number}: {why}", reason=Reason.UNDECODABLE.value)
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"is not UTF-8 at byte {error.start}; convert it to UTF-8"
        raise InputUnusable(f"text {number}: {why}", reason=Reason.UNDECODABLE.value) from None


class Pumps:
    """The threads that feed one stream; the stream ends when all of them have.

    Args:
        intake: of the stream.
        video: frames with their times; None: none.
        texts: texts; a list is taken before the first frame. None: none.
        order: of the colours in arrays.
    """

    def __init__(
        self,
        intake: Intake,
        video: Frames | LiveSource | None,
        texts: Iterable[Cue | InputUnusable] | None,
        order: Order,
    ) -> None:
        self._intake, self._order = intake, order
        self._sources = [source for source in (video, texts) if source is not None]
        work: list[tuple[Callable[[Any], None], Iterable[Any]]] = []
        if isinstance(texts, list):
            if len(texts) > MOST:
                raise UsageError(f"text: {len(texts)} texts are more than {MOST}; give a part")
            self._pump_texts(texts)
        elif texts is not None:
            work.append((self._pump_texts, texts))
        if isinstance(video, LiveSource):
            work.append((self._pump_live, video))
        elif video is not None:
            intake.change(Change("connecting", Reason.CONNECTING))
            work.append((self._pump_video, video))
        self._left = len(work)
        self._lock = threading.Lock()
        if not work:
            intake.end()
        self._threads = [
            threading.Thread(target=self._run, args=job, daemon=True, name="trml-rt stream")
            for job in work
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads. One whose source never gives anything again ends with the program."""
        for source in self._sources:
            # A generator that runs in its thread cannot be closed from here; its thread does it.
            if hasattr(source, "close") and not isinstance(source, Iterator):
                source.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN)

    def _run(self, pump: Callable[[Any], None], source: Iterable[Any]) -> None:
        try:
            pump(source)
        except BaseException as error:  # noqa: BLE001 - it is raised where answers are polled
            if not self._intake.over:
                message = str(error) if isinstance(error, TrmlError) else repr(error)
                whose: Literal["text", "video"] = "video"
                if pump == self._pump_texts:
                    whose = "text"
                self._intake.change(Change("failed", Reason.LOST, message, error, whose))
        finally:
            if isinstance(source, GeneratorType):
                source.close()
            with self._lock:
                self._left -= 1
                if not self._left and not self._intake.over:
                    self._intake.end()

    def _pump_video(self, frames: Frames) -> None:
        for item in frames:
            if not (isinstance(item, tuple) and len(item) == 2):
                raise UsageError(
                    f"video: must be pairs of a time and a frame, not {type(item).__name__}"
                )
            t, frame = item
            self._wait_for_room(partial(self._intake.frame, frame, t, self._order))
        self._intake.change(Change("ended", Reason.ENDED))

    def _pump_live(self, source: Iterable[Event]) -> None:
        began = False
        for event in source:
            if isinstance(event, Frame):
                began = True
                push = partial(
                    self._intake.frame,
                    *(event.pixels, event.t, "rgb"),
                    arrived=event.arrived,
                    source_epoch=event.epoch,
                )
                self._wait_for_room(push)
            elif isinstance(event, Dropped):
                self._intake.lost(event.cause, event.count)
            elif event.name != "running":  # frames tell that
                reason = Reason.ENDED if event.name == "ended" else Reason(event.reason)
                # Who never gave a frame cannot be read at all, and that is an error.
                unread = event.name == "failed" and not began
                error = InputUnusable(event.message, reason=reason.value) if unread else None
                self._intake.change(Change(event.name, reason, event.message, error))

    def _pump_texts(self, cues: Iterable[Cue | InputUnusable]) -> None:
        for cue in cues:
            if isinstance(cue, InputUnusable):
                push = partial(self._intake.refuse_text, cue)
            else:
                push = partial(self._intake.text, cue.text, cue.start, cue.end)
            self._wait_for_room(push)
        self._intake.end_of_texts()

    def _wait_for_room(self, push: Callable[[], bool]) -> None:
        while True:
            mark = self._intake.mark
            if push():
                return
            self._intake.wait(_ROOM, mark)
