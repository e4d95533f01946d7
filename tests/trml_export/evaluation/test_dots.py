"""Rows of dots: sorted gains over the constant, with the interval and what they stand on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from tests.pictures import words_of
from trml_export.evaluation.dots import dots
from trml_export.evaluation.intervals import over_seeds
from trml_export.evaluation.paired import gains

CASES = ("random_0.0", "video_missing_1.0", "text_missing_1.0", "random_0.5")


@pytest.fixture
def drawn(monkeypatch):
    """Return the panels of an evaluation's rows."""

    def panels(evaluation):
        figures = []
        monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
        with pytest.raises(OSError, match="cannot identify"):  # no PNG was saved
            dots(evaluation, 1.0, "")
        return figures[0].axes

    return panels


def test_each_row_is_a_methods_gain_with_its_interval_over_seeds(protocol, drawn):
    panels = drawn(protocol)
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    methods = {protocol.title(m): m for m in protocol.methods}
    assert sorted(names) == sorted(t for t, m in methods.items() if m != "constant")
    for panel, case in zip(panels, CASES, strict=True):
        for height, name in enumerate(names):
            found = gains(protocol, 1.0, methods[name], case)
            dot = [x for line in panel.lines for x, y in line.get_xydata() if y == height]
            assert float(np.mean(found)) in dot
            (segment,) = panel.collections[height].get_segments()
            assert tuple(segment[:, 0]) == over_seeds(found)


def test_the_best_row_is_on_top(protocol, drawn):
    names = [label.get_text() for label in drawn(protocol)[0].get_yticklabels()]
    methods = {protocol.title(m): m for m in protocol.methods}
    means = [np.mean([np.mean(gains(protocol, 1.0, methods[n], c)) for c in CASES]) for n in names]
    assert means == sorted(means)


def test_the_picture_says_what_the_constant_and_the_floors_reach(protocol):
    words = words_of(dots(protocol, 1.0, "the title")["svg"])
    constant = protocol.statistic("constant", 1.0, "text_missing_1.0", "mae").mean
    assert {"the title", "video alone", f"constant {constant:.3f}"} <= words
    assert f"training mean {protocol.floors['training_mean']['complete']['mae']:.3f}" in words
    assert "gain in MAE over the learned constant (right is better)" in words


def test_without_a_constant_the_metric_itself_is_drawn_the_best_on_top(protocol, drawn):
    runs = [run for run in protocol.runs if run["method"] != "constant"]
    alone = replace(protocol, runs=runs)
    names = [label.get_text() for label in drawn(alone)[0].get_yticklabels()]
    methods = {protocol.title(m): m for m in protocol.methods}
    means = [
        np.mean([np.mean(alone.values(methods[n], 1.0, c, "mae")) for c in CASES]) for n in names
    ]
    assert means == sorted(means, reverse=True)


def test_one_seed_has_a_dot_and_no_interval(protocol, drawn):
    runs = [run for run in protocol.runs if run["seed"] == protocol.runs[0]["seed"]]
    panels = drawn(replace(protocol, runs=runs))
    assert all(not panel.collections for panel in panels)
    assert all(len(panel.lines) == 1 + 2 for panel in panels)  # the zero, and two methods
