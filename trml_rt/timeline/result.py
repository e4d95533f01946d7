"""What a timeline says: its rows, and what follows from all of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trml_rt.answer import Reason
from trml_rt.bundle.arguments import path_of
from trml_rt.timeline.files import write_timeline

__all__ = ["Period", "Swing", "Timeline", "TimelineRow"]


@dataclass(frozen=True)
class TimelineRow:
    """The answer on one segment.

    Attributes:
        start: of the segment, in seconds from the first frame.
        end: of the segment.
        text: what is said in it; None: nothing is.
        score: as in an `Answer`; None where neither input can be used.
        label: as in an `Answer`; None likewise.
        probabilities: of the labels, for classification.
        presence: "text_video", "text", "video", or "none" where there is no answer.
        reasons: why an input is virtual, for "text" and "video".
        frames: how many frames of the segment were taken.
    """

    start: float
    end: float
    text: str | None
    score: float | None
    label: str | None
    probabilities: Mapping[str, float] | None
    presence: str
    reasons: Mapping[str, Reason]
    frames: int

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values; times to 3 decimals, scores to 6."""
        return {
            **_span(self),
            "text": self.text,
            **_scored(self),
            "presence": self.presence,
            "reasons": {name: str(reason) for name, reason in self.reasons.items()},
            "frames": self.frames,
        }


@dataclass(frozen=True)
class Period:
    """The mean of all answers in a part of the video, weighted by time; None without any."""

    start: float
    end: float
    score: float | None
    label: str | None
    probabilities: Mapping[str, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the period as plain values."""
        return {**_span(self), **_scored(self)}


@dataclass(frozen=True)
class Swing:
    """A change from one answer to the next.

    Attributes:
        t: where the second one begins, in seconds.
        change: of the score; for classification the share of probability that moved, 0 to 1.
        labels: before and after.
        presence: before and after. Where they differ, the inputs changed and not the mood alone.
    """

    t: float
    change: float
    labels: tuple[str, str]
    presence: tuple[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the swing as plain values."""
        return {
            "t": round(self.t, 3),
            "change": round(self.change, 6),
            "labels": list(self.labels),
            "presence": list(self.presence),
        }


@dataclass(frozen=True)
class Timeline:
    """The answers on a long video, segment by segment.

    Attributes:
        video: its path.
        seconds: its length.
        damaged: a part of it could not be decoded; answers there are on frames before.
        bundle: name of the bundle.
        bundle_sha256: of its manifest.
        backend: as in an `Answer`.
        engines: as in an `Answer`.
        verified: all engines were held against their references.
        text: "embedded", "none", or the file of texts.
        segment: "cue", or the seconds of a segment.
        labels: that an answer may have, in order.
        range: what scores lie in, for regression, else None.
        overall: the mean over all segments.
        periods: the mean over each quarter.
        swings: the largest changes, at most five, the largest first.
        presence: the share of time of each presence.
        rows: one a segment, in order.
    """

    video: Path
    seconds: float
    damaged: bool
    bundle: str
    bundle_sha256: str
    backend: str
    engines: str
    verified: bool
    text: str
    segment: str | float
    labels: tuple[str, ...]
    range: tuple[float, float] | None
    overall: Period
    periods: tuple[Period, ...]
    swings: tuple[Swing, ...]
    presence: Mapping[str, float]
    rows: tuple[TimelineRow, ...] = field(repr=False)

    def head(self) -> dict[str, Any]:
        """Return all but the rows as plain values."""
        return {
            "video": str(self.video),
            "seconds": round(self.seconds, 3),
            "damaged": self.damaged,
            "bundle": self.bundle,
            "bundle_sha256": self.bundle_sha256,
            "backend": self.backend,
            "engines": self.engines,
            "verified": self.verified,
            "options": {"text": self.text, "segment": self.segment},
            "labels": list(self.labels),
            "range": None if self.range is None else list(self.range),
            "overall": self.overall.to_dict(),
            "periods": [period.to_dict() for period in self.periods],
            "swings": [swing.to_dict() for swing in self.swings],
            "presence": {name: round(share, 4) for name, share in self.presence.items()},
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the head and the rows as JSON-ready values, as `--json` prints them."""
        return {**self.head(), "rows": [row.to_dict() for row in self.rows]}

    def write(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the timeline whole or not at all, in the format that the ending of `path` names.

        Args:
            path: file to write: .json (`to_dict`), .csv (the rows), .vtt (subtitles with answers),
                or .html (one page with the video, which it finds from where it is written).
            force: replace a file that is there.

        Raises:
            UsageError: the ending names no format, or the file may not be replaced.
            EnvironmentUnfit: it cannot be written.
        """
        write_timeline(self, path_of("path", path), force=force)


def _span(part: TimelineRow | Period) -> dict[str, Any]:
    return {"start": round(part.start, 3), "end": round(part.end, 3)}


def _scored(part: TimelineRow | Period) -> dict[str, Any]:
    record: dict[str, Any] = {
        "score": None if part.score is None else round(part.score, 6),
        "label": part.label,
    }
    if part.probabilities is not None:
        record["probabilities"] = {name: round(p, 6) for name, p in part.probabilities.items()}
    return record
