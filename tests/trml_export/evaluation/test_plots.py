"""The plot shows the statistics of the record, on three panels that start alike."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
matplotlib = pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from trml_export.evaluation.masks import CASES
from trml_export.evaluation.plots import missing_rate_plot


@pytest.fixture
def axes(protocol, monkeypatch):
    """The three panels of a plot, as they were drawn."""
    figures = []

    def keep(self, file, **_):
        figures.append(self)

    monkeypatch.setattr(Figure, "savefig", keep)
    missing_rate_plot(protocol, 0.5)
    return figures[0].axes


def test_the_same_record_gives_the_same_picture(protocol):
    picture = missing_rate_plot(protocol, 1.0)
    assert picture.startswith(b"\x89PNG")
    assert picture == missing_rate_plot(protocol, 1.0)
    assert picture != missing_rate_plot(protocol, 0.5)


def test_each_line_is_the_mean_of_one_method_over_the_rates(protocol, axes):
    for panel, kind in zip(axes, ("random", "video", "text"), strict=True):
        cases = [c for c in CASES if c.kind == kind or c.name == "random_0.0"]
        assert [line.get_label() for line in panel.lines] == [
            protocol.title(method) for method in protocol.methods
        ]
        for method, line in zip(protocol.methods, panel.lines, strict=True):
            statistics = [protocol.statistic(method, 0.5, c.name, "mae") for c in cases]
            assert list(line.get_xdata()) == [c.rate for c in cases]
            assert list(line.get_ydata()) == [statistic.mean for statistic in statistics]


def test_every_panel_starts_where_nothing_is_missing(axes):
    starts = {(line.get_label(), line.get_ydata()[0]) for panel in axes for line in panel.lines}
    assert len(starts) == len(axes[0].lines)
    assert {line.get_xdata()[0] for panel in axes for line in panel.lines} == {0.0}


def test_the_axis_says_which_way_is_better(axes):
    assert axes[0].get_ylabel() == "mae (lower is better)"
