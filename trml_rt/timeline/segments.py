"""Cut a video into segments: along its texts and their gaps, or into parts of one length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trml_rt.errors import InputUnusable
from trml_rt.inputs.subtitles import Cue

__all__ = ["PAUSE", "QUIET", "Segment", "by_cue", "by_seconds"]

PAUSE = 0.5
"""Seconds; a shorter pause belongs to the text before it, and is no gap."""
QUIET = 10.0
"""Seconds that a segment without a text has at most."""


@dataclass(frozen=True)
class Segment:
    """A part of a video, in seconds, and what is said in it; None: nothing is."""

    start: float
    end: float
    text: str | None = None


def by_cue(cues: Sequence[Cue], length: float) -> list[Segment]:
    """Return a segment for each text, and some for each gap; they follow each other.

    1. A text ends where the next one begins, if not before. Texts of one start are one.
    2. A pause of less than `PAUSE` belongs to the text before it; the first one, to that behind.
    3. A longer one is a gap. It is cut into equal parts of at most `QUIET`.
    4. Beyond the end of the video there are texts and no gaps.

    Args:
        cues: the texts, in any order.
        length: of the video, in seconds.

    Raises:
        InputUnusable: a text has no time.
    """
    segments: list[Segment] = []
    now = 0.0
    for cue in _one_after_another(cues, length):
        pause = min(cue.start, length) - now
        if pause >= PAUSE:
            segments += _quiet(now, min(cue.start, length))
        elif pause > 0 and segments:
            segments[-1] = replace(segments[-1], end=min(cue.start, length))
        elif pause > 0:
            cue = replace(cue, start=0.0)
        segments.append(cue)
        now = cue.end
    if length - now >= PAUSE or not segments:
        segments += _quiet(now, length)
    elif length > now:
        segments[-1] = replace(segments[-1], end=length)
    return segments


def by_seconds(cues: Sequence[Cue], length: float, seconds: float) -> list[Segment]:
    """Return segments of `seconds`; a rest of less than half of that belongs to the last one.

    A text belongs to the segment in which its middle lies. Beyond the end of the video, segments
    without a text are left out.

    Args:
        cues: the texts, in any order.
        length: of the video, in seconds.
        seconds: of a segment.

    Raises:
        InputUnusable: a text has no time.
    """
    texts = _one_after_another(cues, length)
    extent = max([length, *(text.end for text in texts)])
    count = max(1, math.floor(extent / seconds + 0.5))
    said: list[list[str]] = [[] for _ in range(count)]
    for text in texts:
        said[min(count - 1, int((text.start + text.end) / 2 / seconds))].append(text.text or "")
    segments = []
    for number, words in enumerate(said):
        start = number * seconds
        end = extent if number == count - 1 else (number + 1) * seconds
        if words or start < length:
            segments.append(Segment(start, end, " ".join(words) or None))
    return segments


def _one_after_another(cues: Sequence[Cue], length: float) -> list[Segment]:
    """Return the texts by their start, none of which overlap."""
    texts: list[Segment] = []
    for number, cue in enumerate(cues, 1):
        if cue.start is None or cue.start < 0:
            raise InputUnusable(
                f"text {number}: has no time from 0 s on; say when it begins", reason="undecodable"
            )
        texts.append(Segment(cue.start, -1.0 if cue.end is None else cue.end, cue.text))
    texts.sort(key=lambda text: text.start)
    joined: list[Segment] = []
    for text in texts:
        if joined and joined[-1].start == text.start:
            both = f"{joined[-1].text} {text.text}"
            joined[-1] = Segment(text.start, max(joined[-1].end, text.end), both)
        else:
            joined.append(text)
    nexts = [*(text.start for text in joined[1:]), math.inf]
    return [
        replace(
            text, end=min(following, text.end if text.end > text.start else _open(text, length))
        )
        for text, following in zip(joined, nexts, strict=False)
    ]


def _open(text: Segment, length: float) -> float:
    """Return where a text ends that does not say so: with the video, and not before it begins."""
    return max(length, text.start)


def _quiet(start: float, end: float) -> list[Segment]:
    count = max(1, math.ceil((end - start) / QUIET))
    bounds = [start + (end - start) * number / count for number in range(count)] + [end]
    return [Segment(*pair) for pair in itertools.pairwise(bounds)]
