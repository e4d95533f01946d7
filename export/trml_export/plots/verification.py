"""Draw how near engines are to their references, beside the limits of their precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trml_export.plots.picture import COLOURS, MARKERS, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["verification_picture"]

_REFERENCES = {"fp32": "against FP32", "golden": "against the golden files"}
_LEAST = 1e-9  # a logarithm has no zero; less than this is drawn here
_HISTOGRAM = 1.5  # inches
_LIMIT = {"color": "black", "linewidth": 1.2}


def verification_picture(record: Mapping[str, Any], model: str) -> dict[str, bytes]:
    """Return the cosine of every tensor, and the scores of every engine set, worst and all.

    Each panel has the limits as lines, and a logarithmic axis. A reference against which
    nothing was measured has no mark. Below is a histogram of all rows for each engine set.

    Args:
        record: what `trml_rt.verify.Verification.to_dict` gives.
        model: the bundle's name.
    """
    sets, limits = record["engine_sets"], record["limits"]
    tensors = list(dict.fromkeys((s, t) for s, _, m in _measured(sets) for t in m["tensors"]))

    def paint(figure: Figure) -> None:
        rows = figure.add_gridspec(2, 1, height_ratios=(height, _HISTOGRAM))
        left, right = rows[0].subgridspec(1, 2, width_ratios=(3, 2)).subplots()
        _logarithmic(left, 1 - limits["cosine"])
        _logarithmic(right, limits["score"])
        _cosines(left, sets, tensors)
        left.axvline(1 - limits["cosine"], linestyle="--", gid="limit_warns", **_LIMIT)
        left.axvline(1 - limits["cosine_fails"], linestyle="-", gid="limit_fails", **_LIMIT)
        left.set_xlabel(
            "1 - least cosine (left is nearer)\n"
            f"a cosine below {limits['cosine']:g} warns, below {limits['cosine_fails']:g} fails"
        )
        _scores(right, sets)
        right.axvline(limits["score"], linestyle="-", gid="limit_score", **_LIMIT)
        right.set_xlabel(f"largest score difference\n{limits['score']:g} allowed")
        below = rows[1].subgridspec(1, len(sets)).subplots(sharex=True, sharey=True, squeeze=False)
        _histograms(below[0], sets, limits["score"])
        _legend(figure)

    height = 1.1 + 0.22 * max(len(tensors), len(sets), 2)
    return draw(paint, _title(record, model), height + _HISTOGRAM + 0.8)


def _measured(sets: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield engine set, reference and numbers, wherever something was measured."""
    for name, verdict in sets.items():
        for reference in _REFERENCES:
            if verdict[reference]:
                yield name, reference, verdict[reference]


def _title(record: Mapping[str, Any], model: str) -> str:
    """Return model and precision, then for each engine set the verdict and its rows."""
    verdict = "passed" if record["passed"] else "FAILED"
    lines = [f"{model}: engines in {record['precision']}: {verdict}"]
    for name, each in record["engine_sets"].items():
        rows = [
            f"{measured['rows']:,} rows {_REFERENCES[reference]}"
            for set_name, reference, measured in _measured({name: each})
        ]
        state = "passed" if each["passed"] else "FAILED"
        lines.append(f"{_words(name)}: {state}, {', '.join(rows) or 'nothing was measured'}")
    return "\n".join(lines)


def _words(engine_set: str) -> str:
    return engine_set.replace("_", " + ")


def _logarithmic(axes: Axes, limit: float) -> None:
    """Give an axis a logarithm, and room about the limit, also where nothing was measured."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.update_datalim([(limit / 100, 0), (limit * 3, 0)], updatey=False)
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _style(reference: str) -> dict[str, Any]:
    number = list(_REFERENCES).index(reference)
    return {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 5, "linestyle": ""}


def _cosines(axes: Axes, sets: Mapping[str, Any], tensors: list[tuple[str, str]]) -> None:
    """Draw a row for each tensor: its least cosine, and a line to the first percentile."""
    for name, reference, measured in _measured(sets):
        for tensor, found in measured["tensors"].items():
            row = tensors.index((name, tensor)) + (0.15 if reference == "golden" else -0.15)
            least, percentile = (
                max(1 - found[key], _LEAST) for key in ("least_cosine", "first_percentile")
            )
            style = _style(reference)
            axes.hlines(row, percentile, least, color=style["color"], linewidth=1.2)
            axes.plot([least], [row], **style)
    axes.set_yticks(range(len(tensors)), [f"{_words(s)}: {tensor}" for s, tensor in tensors])
    axes.set_ylim(max(len(tensors), 1) - 0.5, -0.5)


def _scores(axes: Axes, sets: Mapping[str, Any]) -> None:
    """Draw a row for each engine set: the largest score difference, and a line to the mean."""
    names = list(sets)
    for name, reference, measured in _measured(sets):
        row = names.index(name) + (0.15 if reference == "golden" else -0.15)
        largest, mean = (
            max(measured[f"{key}_score_difference"], _LEAST) for key in ("largest", "mean")
        )
        style = _style(reference)
        axes.hlines(row, mean, largest, color=style["color"], linewidth=1.2)
        axes.plot([largest], [row], **style)
    axes.set_yticks(range(len(names)), [_words(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)


def _histograms(panels: Sequence[Axes], sets: Mapping[str, Any], limit: float) -> None:
    """Draw the share of rows by score difference, a panel for each engine set."""
    for axes, (name, verdict) in zip(panels, sets.items(), strict=True):
        _logarithmic(axes, limit)
        for _, reference, measured in _measured({name: verdict}):
            found, colour = measured["score_differences"], _style(reference)["color"]
            share = [100 * count / measured["rows"] for count in found["counts"]]
            axes.stairs(share, found["edges"], color=colour, linewidth=1.2, gid="histogram")
            axes.stairs(share, found["edges"], color=colour, alpha=0.15, fill=True)
        axes.axvline(limit, linestyle="-", **_LIMIT)
        axes.set_ylim(bottom=0)
        axes.set_title(_words(name))
    panels[0].set_ylabel("rows, %")
    panels[len(panels) // 2].set_xlabel("score difference of a row; 1e-06 and less lie in one bin")


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=words, **_style(r)) for r, words in _REFERENCES.items()]
    handles += [
        Line2D([], [], color="grey", linewidth=1.2, label="to the 1st percentile, or the mean"),
        Line2D([], [], linestyle="--", label="warns", **_LIMIT),
        Line2D([], [], label="fails", **_LIMIT),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
