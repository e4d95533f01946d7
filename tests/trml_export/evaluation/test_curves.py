"""Curves show the statistics of the record, and no line where nothing was measured."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from tests.pictures import words_of
from trml_export.evaluation.curves import curves
from trml_export.evaluation.masks import CASES
from trml_export.plots.picture import COLOURS, DASHES, MARKERS


@pytest.fixture
def figure(protocol, monkeypatch):
    """A plot as it was drawn."""
    figures = []
    save = Figure.savefig

    def keep(self, *args, **options):
        figures.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    curves(protocol, 0.5, "title")
    return figures[0]


def panels(figure):
    return [axes for axes in figure.axes if axes.get_legend_handles_labels()[1]]


def lines_of(axes):
    return [line for line in axes.lines if not line.get_label().startswith("_")]


def test_each_line_is_the_mean_of_one_method_over_the_rates(protocol, figure):
    for panel, kind in zip(panels(figure), ("random", "video", "text"), strict=True):
        cases = [c for c in CASES if c.kind == kind or c.name == "random_0.0"]
        assert [line.get_label() for line in lines_of(panel)] == [
            protocol.title(method) for method in protocol.methods
        ]
        for method, line in zip(protocol.methods, lines_of(panel), strict=True):
            points = [(x, y) for x, y in line.get_xydata().tolist() if not math.isnan(x)]
            expected = [protocol.statistic(method, 0.5, c.name, "mae").mean for c in cases]
            assert points == [(c.rate, y) for c, y in zip(cases, expected, strict=True)]


def test_no_line_runs_through_rates_that_were_not_measured(figure):
    for panel in panels(figure):
        for line in lines_of(panel):
            rates = line.get_xdata()
            steps = [b - a for a, b in pairwise(rates)]
            assert all(math.isnan(step) or step < 0.11 for step in steps)
            assert line.get_xdata()[0] == 0.0
    assert [sum(map(math.isnan, lines_of(p)[0].get_xdata())) for p in panels(figure)] == [0, 1, 1]


def test_methods_differ_in_colour_marker_and_dashes():
    assert len({*COLOURS}) == len({*MARKERS}) == len({*DASHES}) == len(COLOURS)


def test_the_picture_names_methods_bands_floors_and_which_way_is_better(protocol):
    words = words_of(curves(protocol, 0.5, "the title")["svg"])
    assert "MAE (lower is better)" in words
    assert {"the title", *(protocol.title(m) for m in protocol.methods)} <= words
    assert "band: one standard deviation over seeds (TRML and learned constant)" in words
    for name, parts in protocol.floors.items():
        shown = f"{name.replace('_', ' ')}, {parts['complete']['mae']:.3f}"
        assert f"floor, looks at no input: {shown}" in words


@pytest.mark.parametrize("floor", [0.5, 9.0, 0.01])
def test_every_floor_is_a_line_in_each_panel_however_far_it_lies(protocol, floor):
    far = {"training_mean": {"complete": {"mae": floor}}}
    svg = curves(replace(protocol, floors=far), 0.5, "")["svg"].decode()
    assert svg.count('id="floor_training_mean"') == 3


def test_one_model_has_its_name_and_the_interval_of_every_case(protocol):
    run = next(run for run in protocol.runs if run["method"] == "trml")
    cases = [{**c, "interval": [c["mae"] - 0.1, c["mae"] + 0.2]} for c in run["cases"]]
    subject = {"kind": "bundle", "name": "mini", "engines": "int8", "methods": {"trml": "int8"}}
    runs = [{**run, "completeness": 1.0, "cases": cases}]
    words = words_of(curves(replace(protocol, subject=subject, runs=runs), 1.0, "")["svg"])
    assert "95% interval, bootstrap over rows" in words
    assert "mini, int8" in words
    assert not any("standard deviation" in word for word in words)
