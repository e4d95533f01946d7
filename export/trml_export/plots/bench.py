"""Draw how fast each engine set is in each precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trml_export.plots.picture import COLOURS, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bench_picture"]


def bench_picture(report: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a panel for each engine set: the median of each precision, with p90 and p99.

    Args:
        report: what `trml_rt.bench.BenchReport.to_dict` gives.
    """
    sets: Mapping[str, Mapping[str, Mapping[str, Any]]] = report["engine_sets"]
    rows = sum(len(contenders) for contenders in sets.values())

    def paint(figure: Figure) -> None:
        heights = [len(contenders) + 1 for contenders in sets.values()]
        panels = figure.subplots(len(sets), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, contenders) in zip(panels, sets.items(), strict=True):
            _panel(axes, contenders)
            axes.set_title(name.replace("_", " + "), loc="left")
        panels[-1].set_xlabel("milliseconds a call, each panel from 0 on (left is faster)")
        _legend(figure)

    return draw(paint, _title(report), 1.6 + 0.55 * len(sets) + 0.2 * rows)


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


def _panel(axes: Axes, contenders: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the contenders of one engine set, the reference on top."""
    for row, measured in enumerate(contenders.values()):
        p50, p90, p99 = (measured[f"p{q}_ms"] for q in (50, 90, 99))
        axes.hlines(row, p50, p99, color=COLOURS[0], linewidth=1)
        axes.hlines(row, p50, p90, color=COLOURS[0], linewidth=4, alpha=0.5)
        axes.plot([p50], [row], "o", color=COLOURS[0], markersize=5)
        axes.plot([p99], [row], "|", color=COLOURS[0], markersize=7)
        words = f"{p50:.2f} ms, {measured['speed_up']:.2f}x"
        axes.annotate(words, (1.01, row), xycoords=("axes fraction", "data"), va="center")
    axes.set_yticks(range(len(contenders)), list(contenders))
    axes.set_ylim(len(contenders) - 0.5, -0.5)
    axes.set_xlim(left=0)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    style = {"color": COLOURS[0]}
    handles = [
        Line2D([], [], marker="o", linestyle="", label="median (p50)", **style),
        Line2D([], [], linewidth=4, alpha=0.5, label="to p90", **style),
        Line2D([], [], marker="|", linewidth=1, label="to p99", **style),
        Line2D([], [], linestyle="", label="...x: speed-up over the portable graphs"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
