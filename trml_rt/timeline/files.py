"""Write a timeline whole or not at all: as JSON, CSV, VTT, or a page of HTML."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trml_rt.bundle.atomic import check_writable, write_bytes
from trml_rt.errors import UsageError, cannot_write
from trml_rt.timeline.curve import spoken_of
from trml_rt.timeline.page import page_of

if TYPE_CHECKING:
    from trml_rt.timeline.result import Timeline, TimelineRow

__all__ = ["check_out", "write_timeline"]

_INSTEAD = "name another file"


def check_out(out: Path, *, force: bool) -> None:
    """Refuse a file that cannot be written in a format of ours; call it before any work.

    Raises:
        UsageError: its ending names no format, or it exists and `force` is not given.
        EnvironmentUnfit: nothing can be written there.
    """
    if out.suffix.lower() not in _FORMATS:
        raise UsageError(f"{out}: names no format; let it end in {', '.join(_FORMATS)}")
    if os.path.lexists(out) and not (force and out.is_file()):
        what = "is no file" if force else "exists already"
        raise UsageError(
            f"{out}: {what}; name another file" + ("" if force else ", or pass --force")
        )
    check_writable(out.absolute().parent, _INSTEAD, out)


def write_timeline(found: Timeline, out: Path, *, force: bool) -> None:
    """Write `out`; its ending says in which format.

    Raises:
        UsageError: as `check_out`; or it is the video or the file of texts.
        EnvironmentUnfit: `out` cannot be written.
    """
    check_out(out, force=force)
    for read in (found.video, Path(found.text)):
        if out.exists() and read.exists() and out.samefile(read):
            raise UsageError(f"{out}: the timeline is made from it; name another file")
    content = _FORMATS[out.suffix.lower()](found, out)
    try:
        # Half of a surrogate pair, as JSON lines may hold, is no character of any file.
        write_bytes(out, content.encode(errors="backslashreplace"))
    except OSError as error:
        raise cannot_write(out, error, _INSTEAD) from None


def _json(found: Timeline, _: Path) -> str:
    return json.dumps(found.to_dict(), indent=1, ensure_ascii=False) + "\n"


def _csv(found: Timeline, _: Path) -> str:
    text = io.StringIO(newline="")
    classes = found.labels if found.range is None else ()
    table = csv.writer(text)
    chances = [f"probability_{label}" for label in classes]
    reasons = ["text_reason", "video_reason"]
    table.writerow(
        ["start", "end", "text", "label", "score", *chances, "presence", *reasons, "frames"]
    )
    for row in found.rows:
        record = row.to_dict()
        named: dict[str, Any] = record.get("probabilities", {})
        table.writerow(
            [record[name] for name in ("start", "end", "text", "label", "score")]
            + [named.get(label) for label in classes]
            + [row.presence, row.reasons.get("text"), row.reasons.get("video"), row.frames]
        )
    return text.getvalue()


def _vtt(found: Timeline, _: Path) -> str:
    return "WEBVTT\n" + "".join(f"\n{_cue(found, row)}\n" for row in found.rows)


def _cue(found: Timeline, row: TimelineRow) -> str:
    missing = "".join(
        f" ({name}: {str(reason).replace('_', ' ')})"
        for name, reason in sorted(row.reasons.items())
    )
    lines = [f"{_stamp(row.start)} --> {_stamp(row.end)}"]
    lines.append(_plain(spoken_of(found, row.label, row.score) + missing))
    lines += [] if row.text is None else [_plain(row.text)]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return a text in which nothing is markup of VTT, nor the arrow between times."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stamp(seconds: float) -> str:
    rest, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}.{thousandths:03}"


_FORMATS: dict[str, Callable[[Timeline, Path], str]] = {
    ".json": _json,
    ".csv": _csv,
    ".vtt": _vtt,
    ".html": lambda found, out: page_of(found, out.absolute().parent),
}
