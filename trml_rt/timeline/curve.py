"""Draw the curve of a timeline as SVG, with the stretches hatched in which an input was virtual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trml_rt.timeline.result import Timeline, TimelineRow

__all__ = ["HATCHED", "WIDTH", "clock", "colour_of", "curve_of", "spoken_of"]

WIDTH, _HEIGHT, _STRIP = 1000.0, 220.0, 10.0
_LOW, _MIDDLE, _HIGH = (208, 92, 22), (140, 140, 140), (33, 102, 172)  # told apart by anyone
_CLASSES = (
    *((33, 102, 172), (208, 92, 22), (27, 138, 90), (150, 60, 160), (190, 150, 0)),
    *((120, 90, 60), (0, 150, 170), (200, 40, 90)),
)
_JOINED = 1e-6  # seconds
HATCHED = {
    "video": "text is virtual",
    "text": "video is virtual",
    "none": "no input can be used",
}
"""What each presence says that is hatched."""


def clock(seconds: float) -> str:
    """Return a time as people read it: 1:05.2, or 1:01:05.2."""
    tenths = round(10 * seconds)
    hours, rest = divmod(tenths, 36000)
    minutes, rest = divmod(rest, 600)
    ending = f"{rest // 10:02}.{rest % 10}"
    return f"{hours}:{minutes:02}:{ending}" if hours else f"{minutes}:{ending}"


def spoken_of(found: Timeline, label: str | None, score: float | None) -> str:
    """Return a label with its score, or with its probability, for people."""
    if label is None or score is None:
        return "no answer"
    return f"{label} {100 * score:.0f} %" if found.range is None else f"{label} {score:+.2f}"


def colour_of(found: Timeline, row: TimelineRow) -> tuple[int, int, int]:
    """Return the colour of an answer, as red, green and blue."""
    if row.score is None or row.label is None:
        return _MIDDLE
    if found.range is None:
        return _CLASSES[found.labels.index(row.label) % len(_CLASSES)]
    low, high = found.range
    place = 2 * (row.score - low) / (high - low or 1.0) - 1
    end, share = (_HIGH, place) if place > 0 else (_LOW, -place)
    red, green, blue = (
        round(middle + share * (far - middle)) for middle, far in zip(_MIDDLE, end, strict=True)
    )
    return red, green, blue


def curve_of(found: Timeline) -> str:
    """Return the curve as an SVG element; of classes there is one curve each."""
    end = found.rows[-1].end or 1.0
    low, high = found.range or (0.0, 1.0)
    parts = [_PATTERNS, *_stretches(found.rows, end), *_scale(low, high)]
    parts += [
        f'<rect x="{_x(row.start, end)}" y="{_HEIGHT:g}" height="{_STRIP:g}" '
        f'width="{_wide(row, end)}" fill="rgb{colour_of(found, row)}"/>'
        for row in found.rows
    ]
    if found.range is not None:
        parts.append(_path([row.score for row in found.rows], found.rows, end, low, high, ""))
    else:
        for number, label in enumerate(found.labels):
            values = [(row.probabilities or {}).get(label) for row in found.rows]
            stroke = f' style="stroke:rgb{_CLASSES[number % len(_CLASSES)]}"'
            parts.append(_path(values, found.rows, end, low, high, stroke, label))
    parts.append(f'<line id="now" x1="0" x2="0" y1="0" y2="{_HEIGHT + _STRIP:g}"/>')
    return (
        f'<svg id="curve" viewBox="0 0 {WIDTH:g} {_HEIGHT + _STRIP:g}" data-end="{end:.3f}" '
        'role="img" aria-label="the curve of answers over time">' + "".join(parts) + "</svg>"
    )


def _hatch(name: str, turn: int) -> str:
    return (
        f'<pattern id="virtual-{name}" width="8" height="8" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate({turn})"><path d="M0 0V8" class="hatch"/></pattern>'
    )


_PATTERNS = f"<defs>{_hatch('video', 45)}{_hatch('text', -45)}{_hatch('none', 90)}</defs>"


def _stretches(rows: Sequence[TimelineRow], end: float) -> Iterator[str]:
    """Yield a hatched rectangle for each stretch of one presence in which an input is virtual."""
    place = 0
    while place < len(rows):
        first = last = rows[place]
        place += 1
        while place < len(rows) and _follows(last, rows[place], first.presence):
            last = rows[place]
            place += 1
        if first.presence in HATCHED:
            words = f"{clock(first.start)} to {clock(last.end)}: {HATCHED[first.presence]}"
            width = max(0.0, (last.end - first.start) / end * WIDTH)
            yield (
                f'<rect class="virtual" data-presence="{first.presence}" '
                f'x="{_x(first.start, end)}" y="0" width="{width:.2f}" height="{_HEIGHT:g}" '
                f'fill="url(#virtual-{first.presence})"><title>{escape(words)}</title></rect>'
            )


def _follows(last: TimelineRow, row: TimelineRow, presence: str) -> bool:
    return row.presence == presence and row.start - last.end < _JOINED


def _path(
    values: Sequence[float | None],
    rows: Sequence[TimelineRow],
    end: float,
    low: float,
    high: float,
    style: str,
    label: str = "",
) -> str:
    """Return steps through `values`; they break off where there is no answer or no segment."""
    steps: list[str] = []
    before: float | None = None  # where the last step ended
    for value, row in zip(values, rows, strict=True):
        if value is None:
            before = None
            continue
        y = f"{(1 - (value - low) / (high - low or 1.0)) * _HEIGHT:.2f}"
        goes_on = before is not None and row.start - before < _JOINED
        steps.append(f"{'L' if goes_on else 'M'}{_x(row.start, end)} {y}L{_x(row.end, end)} {y}")
        before = row.end
    title = f"<title>{escape(label)}</title>" if label else ""
    return f'<path class="curve" d="{"".join(steps)}"{style}>{title}</path>'


def _scale(low: float, high: float) -> Iterator[str]:
    """Yield the lines of the lowest, the middle and the highest score."""
    for value in (low, (low + high) / 2, high):
        y = (1 - (value - low) / (high - low or 1.0)) * _HEIGHT
        text = min(max(y - 4, 12.0), _HEIGHT - 4)
        yield f'<path class="scale" d="M0 {y:.1f}H{WIDTH:g}"/>'
        yield f'<text x="4" y="{text:.1f}">{value:g}</text>'


def _x(seconds: float, end: float) -> str:
    return f"{seconds / end * WIDTH:.2f}"


def _wide(row: TimelineRow, end: float) -> str:
    return f"{(row.end - row.start) / end * WIDTH:.2f}"
