from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from tests.pictures import words_of
from trml_export.plots.training import training_picture


def epochs(*numbers):
    return [
        {
            "epoch": number,
            "train_loss": 1 / number,
            "valid": {"loss": 2 / number, "text_mae": 0.5, "text_video_mae": 0.25},
        }
        for number in numbers
    ]


def test_the_picture_names_the_losses_the_cases_and_the_epoch_that_was_kept():
    svg = training_picture(epochs(1, 2, 3), 2, "mini: training")["svg"]
    words = words_of(svg)
    assert {"mini: training", "train", "valid", "text alone", "both inputs"} <= words
    assert {"kept: epoch 2", "MAE on valid (lower is better)"} <= words
    assert "video alone" not in words
    assert svg.count(b'id="kept"') == 2


def test_an_epoch_that_is_not_known_leaves_a_gap(monkeypatch):
    figures = []
    save = Figure.savefig

    def keep(self, *args, **options):
        figures.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    training_picture(epochs(1, 2, 5), 2, "")
    line = figures[0].axes[0].lines[0]
    assert [math.isnan(x) for x in line.get_xdata()] == [False, False, True, False]
