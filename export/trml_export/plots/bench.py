"""Draw what `trml-rt bench` measured: calls, their parts, batches, and callers at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trml_export.plots.picture import COLOURS, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

__all__ = ["bench_picture"]

Contended = Mapping[str, Mapping[str, Any]]

_TABLES = {
    "batches": ("rows a second, by rows a call", "rows_a_second"),
    "callers": ("calls a second, by callers at once", "calls_a_second"),
}
_TABLE_HEIGHT = 1.9  # inches


def bench_picture(report: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a panel for each engine set and each thing that was measured of it.

    Calls have their median, the middle half, p90 and p99. Their parts are stacked. Batches and
    callers are bars, with the middle half as a line.

    Args:
        report: what `trml_rt.bench.BenchReport.to_dict` gives.
    """
    sets: Mapping[str, Contended] = report["engine_sets"]
    rows = sum(len(contenders) for contenders in sets.values())
    shared = {
        f"{_words(name)}: {contender}": measured["shares_ms"]
        for name, contenders in sets.items()
        for contender, measured in contenders.items()
        if "shares_ms" in measured
    }
    tables = [field for field in _TABLES if report[field]]
    heights = [1.1 + 0.55 * len(sets) + 0.2 * rows]
    heights += [0.9 + 0.2 * len(shared)] if shared else []
    heights += [_TABLE_HEIGHT] * len(tables)

    def paint(figure: FigureBase) -> None:
        parts = iter(figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
        _calls(next(parts), sets)
        if shared:
            _shares(next(parts), shared)
        for field in tables:
            _table(next(parts), report[field], *_TABLES[field])

    return draw(paint, _title(report), 0.5 + sum(heights))


def _words(engine_set: str) -> str:
    return engine_set.replace("_", " + ")


def _title(report: Mapping[str, Any]) -> str:
    """Return what was timed, on what, and what follows from it."""
    calls = next(c["calls"] for s in report["engine_sets"].values() for c in s.values())
    device = report["device"]
    gpu = f", {device['gpu']}" if "gpu" in device else ""
    threads = f", threads: {report['threads']}" if report["threads"] else ""
    return (
        f"{report['bundle']}: time of a call on {report['backend']}, {calls} calls of each\n"
        f"{device['cpus']} CPUs{gpu}{threads}; recommended here: {report['recommended']}"
    )


def _calls(figure: FigureBase, sets: Mapping[str, Contended]) -> None:
    """Draw a panel of single calls for each engine set."""
    heights = [len(contenders) + 1 for contenders in sets.values()]
    panels = figure.subplots(len(sets), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, contenders) in zip(panels, sets.items(), strict=True):
        _panel(axes, contenders)
        axes.set_title(_words(name), loc="left")
    panels[-1].set_xlabel("milliseconds a call, each panel from 0 on (left is faster)")
    _legend(figure)


def _panel(axes: Axes, contenders: Contended) -> None:
    """Draw the contenders of one engine set, the reference on top."""
    for row, measured in enumerate(contenders.values()):
        p25, p50, p75, p90, p99 = (measured[f"p{q}_ms"] for q in (25, 50, 75, 90, 99))
        axes.hlines(row, p50, p99, color=COLOURS[0], linewidth=1)
        axes.hlines(row, p50, p90, color=COLOURS[0], linewidth=3, alpha=0.5)
        axes.hlines(row, p25, p75, color=COLOURS[0], linewidth=6, alpha=0.5)
        axes.plot([p50], [row], "o", color=COLOURS[0], markersize=5)
        axes.plot([p99], [row], "|", color=COLOURS[0], markersize=7)
        joules = measured["joules_a_call"]
        words = f"{p50:.2f} ms, {measured['speed_up']:.2f}x"
        words += "" if joules is None else f", {joules:.3f} J"
        axes.annotate(words, (1.01, row), xycoords=("axes fraction", "data"), va="center")
    _name_rows(axes, list(contenders))
    axes.set_xlim(left=0)


def _legend(figure: FigureBase) -> None:
    from matplotlib.lines import Line2D

    style = {"color": COLOURS[0]}
    handles = [
        Line2D([], [], marker="o", linestyle="", label="median (p50)", **style),
        Line2D([], [], linewidth=6, alpha=0.5, label="p25 to p75", **style),
        Line2D([], [], linewidth=3, alpha=0.5, label="to p90", **style),
        Line2D([], [], marker="|", linewidth=1, label="to p99", **style),
        Line2D([], [], linestyle="", label="...x: speed-up over the portable graphs"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)


def _shares(figure: FigureBase, shared: Mapping[str, Mapping[str, float]]) -> None:
    """Draw the parts of a call side by side, a bar for each contender of each engine set."""
    axes = figure.subplots()
    colours: dict[str, str] = {}
    for row, shares in enumerate(shared.values()):
        left = 0.0
        for part, ms in shares.items():
            kind = "fuse" if part.startswith("fuse_") else part
            colour = colours.setdefault(kind, COLOURS[len(colours) % len(COLOURS)])
            axes.barh(row, ms, left=left, color=colour, height=0.7)
            left += ms
    _name_rows(axes, list(shared))
    axes.set_title("where the time of a call goes", loc="left")
    axes.set_xlabel("milliseconds, median of each part")
    _name_colours(figure, colours)


def _table(
    figure: FigureBase, table: Mapping[str, Mapping[str, Contended]], title: str, figure_name: str
) -> None:
    """Draw a panel for each engine set: bars for each number, a colour for each contender."""
    panels = figure.subplots(1, len(table), squeeze=False)[0]
    colours: dict[str, str] = {}
    for axes, (name, by_number) in zip(panels, table.items(), strict=True):
        width = 0.8 / len(next(iter(by_number.values())))
        for place, contenders in enumerate(by_number.values()):
            for index, (contender, measured) in enumerate(contenders.items()):
                colour = colours.setdefault(contender, COLOURS[len(colours) % len(COLOURS)])
                height = measured[figure_name]
                x = place - 0.4 + width * (index + 0.5)
                axes.bar(x, height, width, color=colour)
                ends = (height * measured["p50_ms"] / measured[f"p{q}_ms"] for q in (75, 25))
                axes.vlines(x, *ends, color="black", linewidth=1)
        axes.set_xticks(range(len(by_number)), list(by_number))
        axes.set_title(_words(name), loc="left")
    panels[0].set_ylabel(title.split(",")[0])
    figure.suptitle(f"{title}; the line: p25 to p75", x=0.01, ha="left", fontsize=8)
    _name_colours(figure, colours)


def _name_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _name_colours(figure: FigureBase, colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))
