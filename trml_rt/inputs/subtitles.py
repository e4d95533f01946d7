"""Read texts that have times: SRT, VTT and JSON lines; what is not said aloud is taken out."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trml_rt.bundle.arguments import is_finite
from trml_rt.errors import InputUnusable
from trml_rt.inputs.text import read_text

__all__ = ["Cue", "cue_of_line", "read_cues", "spoken"]

_LIMIT = 32_000_000  # bytes: a day of subtitles, word by word

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_NOT_CUES = ("NOTE", "STYLE", "REGION", "WEBVTT")
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_SOUNDS = re.compile(r"\[[^\[\]]*\]")
_ONLY_SOUNDS = re.compile(r"\(.*\)|.*[♪♫].*")
_DASH = re.compile(r"^(?:-|>>)\s*")
_KEYS = ("t", "end", "text")


@dataclass(frozen=True)
class Cue:
    """A text and when it was said, in seconds; without a start it counts from its arrival."""

    text: str
    start: float | None = None
    end: float | None = None


def read_cues(path: Path) -> list[Cue]:
    """Return the cues of a file in the order of the file: SRT, VTT, or JSON lines.

    The content tells which it is. Cues in which nothing is said are left out: see `spoken`.

    Raises:
        InputUnusable: the file cannot be read, is none of these, or a line of it is wrong.
        EnvironmentUnfit: the machine lacks memory or open files.
    """
    lines = read_text(path, limit=_LIMIT).splitlines()
    if lines[0].startswith("WEBVTT") or any(_TIMES.fullmatch(line) for line in lines[:50]):
        return list(_blocks(lines, path))
    if next(line for line in lines if line.strip()).lstrip().startswith("{"):
        cues = (cue_of_line(line, f"{path}: line {n}") for n, line in enumerate(lines, 1))
        return [cue for cue in cues if cue is not None]
    raise InputUnusable(
        f"{path}: is neither SRT, VTT nor JSON lines; give times to its texts, or pass lines on "
        "standard input",
        reason="undecodable",
    )


def cue_of_line(line: str, place: str) -> Cue | None:
    """Return the cue of one line: the text itself, or JSON with `t`, `end` and `text`.

    Args:
        line: the line.
        place: what an error calls it.

    Returns:
        The cue; None where nothing is said in it.

    Raises:
        InputUnusable: it begins as JSON and is none, or its values make no sense.
    """
    if not line.lstrip().startswith("{"):
        text = " ".join(line.split())
        return Cue(text) if text else None
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(place, f"is no JSON ({error})") from None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise _wrong(place, "has no text")
    if strangers := [key for key in record if key not in _KEYS]:
        raise _wrong(place, f"has the key {strangers[0]!r}")
    start, end = record.get("t"), record.get("end")
    for value in (start, end):
        if value is not None and not is_finite(value):
            raise _wrong(place, f"{value!r:.40} is no time in seconds")
    if end is not None and (start is None or end < start):
        raise _wrong(place, "ends before it begins")
    text = " ".join(record["text"].split())
    return Cue(text, start, end) if text else None


def spoken(text: str) -> str:
    r"""Return what is said aloud in the text of a subtitle, on one line.

    1. Markup is taken out: `<i>`, `<v Ann>`, `{\an8}`. Entities such as `&amp;` are replaced.
    2. So are sounds: `[music]`; a line in round brackets; a line with a note (♪).
    3. So is the dash or `>>` before a line, by which speakers change.
    """
    kept = []
    for line in html.unescape(_MARKUP.sub("", text)).splitlines():
        words = _DASH.sub("", _SOUNDS.sub(" ", line).strip())
        if not _ONLY_SOUNDS.fullmatch(words):
            kept += words.split()
    return " ".join(kept)


def _blocks(lines: list[str], path: Path) -> Iterator[Cue]:
    """Yield the cues of SRT or VTT: times on a line, then text up to an empty line."""
    times: tuple[float, float] | None = None
    words: list[str] = []
    skipping = False
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            if match := _TIMES.fullmatch(line):
                if times is not None and (text := spoken("\n".join(words[:-1]))):
                    yield Cue(text, *times)  # the empty line before a cue is missing
                times, words, skipping = _times(match, f"{path}: line {number}"), [], False
            elif "-->" in line and not skipping:
                raise _wrong(f"{path}: line {number}", "has times that cannot be read")
            elif times is None:
                skipping = skipping or line.startswith(_NOT_CUES)
            else:
                words.append(line)
            continue
        if times is not None and (text := spoken("\n".join(words))):
            yield Cue(text, *times)
        times, words, skipping = None, [], False


def _times(match: re.Match[str], place: str) -> tuple[float, float]:
    parts = match.groups(default="0")
    start, end = (
        int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(part.ljust(3, "0")) / 1000
        for hours, minutes, seconds, part in (parts[:4], parts[4:])
    )
    if end < start:
        raise _wrong(place, "ends before it begins")
    return start, end


def _wrong(place: str, fault: str) -> InputUnusable:
    return InputUnusable(f"{place}: {fault}; correct it", reason="undecodable")
