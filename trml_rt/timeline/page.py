"""Write a timeline as one HTML file: video, curve, transcript and table; it loads nothing else.

Every text of a bundle, a path or a subtitle is escaped. Beside that, the page's own policy lets no
script run but this one, and nothing be loaded but the video.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from trml_rt.timeline.curve import HATCHED, clock, colour_of, curve_of, spoken_of

if TYPE_CHECKING:
    from trml_rt.timeline.result import Timeline, TimelineRow

__all__ = ["page_of"]

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 1rem auto; padding: 0 1rem }
video { display: block; max-width: 100%; max-height: 45vh; margin: 0 auto }
svg#curve { width: 100%; cursor: crosshair; border: 1px solid #8886 }
svg text { font-size: 12px; fill: currentColor; opacity: .7 }
.scale { stroke: currentColor; opacity: .2; fill: none }
.hatch { stroke: currentColor; opacity: .35; stroke-width: 2; fill: none }
.curve { fill: none; stroke: currentColor; stroke-width: 2 }
#now { stroke: #d00; stroke-width: 2 }
.legend svg { width: 2em; height: 1em; vertical-align: middle; border: 1px solid #8886 }
.legend span { margin-right: 1.5em }
button { font: inherit; color: inherit; border: 0; cursor: pointer; padding: 0 .3em }
table button { background: none; text-decoration: underline; font-variant-numeric: tabular-nums }
#transcript button { background: color-mix(in srgb, var(--c) 25%, transparent); margin: .1em;
  border-bottom: 3px solid var(--c); text-align: left }
#transcript .quiet { opacity: .7; font-style: italic }
.current { outline: 2px solid #d00 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .15em .5em; border-bottom: 1px solid #8884 }
"""

_SCRIPT = """
"use strict";
const video = document.querySelector("video");
const curve = document.getElementById("curve"), now = document.getElementById("now");
const end = Number(curve.dataset.end), width = curve.viewBox.baseVal.width;
const rows = [...document.querySelectorAll("#rows tr[data-t]")];
const words = [...document.querySelectorAll("#transcript [data-t]")];
const starts = rows.map(row => Number(row.dataset.t));
let current = -1;
function show(t) {
  const x = Math.min(t / end, 1) * width;
  now.setAttribute("x1", x);
  now.setAttribute("x2", x);
  let place = -1, after = starts.length;
  while (after - place > 1) {
    const middle = (place + after) >> 1;
    if (starts[middle] <= t + 0.001) place = middle; else after = middle;
  }
  if (place === current) return;
  for (const list of [rows, words]) {
    if (current >= 0) list[current].classList.remove("current");
    if (place >= 0) list[place].classList.add("current");
  }
  current = place;
}
function seek(t) {
  video.currentTime = t;
  show(t);
}
document.addEventListener("click", event => {
  const place = event.target.closest("[data-t]");
  if (place) seek(Number(place.dataset.t));
});
curve.addEventListener("click", event => {
  const box = curve.getBoundingClientRect();
  seek(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * end);
});
video.addEventListener("timeupdate", () => show(video.currentTime));
video.addEventListener("error", () => { document.getElementById("absent").hidden = false; });
if (video.error) document.getElementById("absent").hidden = false;
"""


def page_of(found: Timeline, folder: Path) -> str:
    """Return the page of a timeline.

    Args:
        found: the timeline.
        folder: in which the page will lie, from where it finds the video.
    """
    source = os.path.relpath(found.video.absolute(), folder.absolute())
    name = escape(found.video.name)
    policy = (
        "default-src 'none'; img-src data:; media-src 'self' file:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{_digest(_SCRIPT)}'"
    )
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width">',
            '<link rel="icon" href="data:,">',
            f"<title>{name}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{name}</h1>",
            f'<video controls preload="metadata" src="{quote(os.fsencode(source))}"></video>',
            f'<p id="absent" hidden>The video cannot be played from {escape(source)}, where this '
            "page looks for it.</p>",
            curve_of(found),
            f'<p class="legend">{_legend(found)}</p>',
            "<p>Click the curve, a text or a time to go there.</p>",
            f"<h2>Overall</h2>{_overall(found)}",
            f'<h2>Transcript</h2><p id="transcript">{" ".join(_transcript(found))}</p>',
            f'<h2>Segments</h2><table id="rows">{_table(found)}</table>',
            f"<h2>Made from</h2><table>{''.join(_head(found))}</table>",
            f"<script>{_SCRIPT}</script></body></html>",
        ]
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _cells(values: Iterable[str], tag: str = "td") -> str:
    return "".join(f"<{tag}>{value}</{tag}>" for value in values)


def _go(seconds: float, words: str) -> str:
    return f'<button type="button" data-t="{seconds:.3f}">{words}</button>'


def _legend(found: Timeline) -> str:
    shown = [
        f'<span><svg viewBox="0 0 32 16"><rect width="32" height="16" '
        f'fill="url(#virtual-{presence})"/></svg> {words}: '
        f"{100 * found.presence[presence]:.0f} % of the time</span>"
        for presence, words in HATCHED.items()
        if presence in found.presence
    ]
    both = 100 * found.presence.get("text_video", 0.0)
    return "".join([f"<span>both inputs are real: {both:.0f} % of the time</span>", *shown])


def _overall(found: Timeline) -> str:
    overall = spoken_of(found, found.overall.label, found.overall.score)
    periods = "".join(
        f"<li>{_go(each.start, f'{clock(each.start)} to {clock(each.end)}')} "
        f"{escape(spoken_of(found, each.label, each.score))}</li>"
        for each in found.periods
    )
    swings = "".join(
        f"<li>{_go(each.t, clock(each.t))} {each.change:+.2f}: "
        f"{escape(each.labels[0])} to {escape(each.labels[1])}"
        + ("" if each.presence[0] == each.presence[1] else ", where the inputs change, too")
        + "</li>"
        for each in found.swings
    )
    return (
        f"<p>{escape(overall)}, weighted by time</p><ul>{periods}</ul>"
        f"<h3>Largest changes</h3><ul>{swings or '<li>none</li>'}</ul>"
    )


def _transcript(found: Timeline) -> Iterator[str]:
    for row in found.rows:
        words = escape(row.text) if row.text is not None else "no text"
        kind = ' class="quiet"' if row.text is None else ""
        yield (
            f'<button type="button" data-t="{row.start:.3f}"{kind} '
            f'style="--c:rgb{colour_of(found, row)}" '
            f'title="{escape(spoken_of(found, row.label, row.score))}">{words}</button>'
        )


def _table(found: Timeline) -> str:
    names = ("start", "end", "answer", "present", "missing, because", "frames", "text")
    body = "".join(
        f'<tr data-t="{row.start:.3f}">{_cells(_row(found, row))}</tr>' for row in found.rows
    )
    return f"<thead><tr>{_cells(names, 'th')}</tr></thead><tbody>{body}</tbody>"


def _row(found: Timeline, row: TimelineRow) -> list[str]:
    missing = ", ".join(
        f"{name}: {str(reason).replace('_', ' ')}" for name, reason in sorted(row.reasons.items())
    )
    return [
        _go(row.start, clock(row.start)),
        clock(row.end),
        escape(spoken_of(found, row.label, row.score)),
        escape(row.presence.replace("_", " and ")),
        escape(missing),
        str(row.frames),
        escape(row.text or ""),
    ]


def _head(found: Timeline) -> Iterator[str]:
    engines = f"{found.engines} engines on {found.backend}"
    cut = "by its texts" if found.segment == "cue" else f"every {found.segment} s"
    for name, value in (
        ("length", clock(found.seconds) + (", damaged in parts" if found.damaged else "")),
        ("bundle", f"{found.bundle}, SHA-256 {found.bundle_sha256}"),
        ("engines", engines + ("" if found.verified else " (unverified)")),
        ("texts", found.text),
        ("cut", cut),
    ):
        yield f"<tr>{_cells((name, escape(value)))}</tr>"
