from __future__ import annotations

import sys

import pytest

pytest.importorskip("matplotlib")

from tests.pictures import words_of
from trml_export.plots.picture import check_drawing, draw
from trml_rt.errors import EnvironmentUnfit


def paint(figure):
    figure.subplots().plot([0, 1], [1, 0], label="$x$")


def test_the_bytes_hold_no_date_no_version_and_no_chance():
    first, second = draw(paint, "title", 2.0), draw(paint, "title", 2.0)
    assert first == second
    assert first["png"].startswith(b"\x89PNG")
    assert b"atplotlib" not in first["png"]
    assert b"<dc:date>" not in first["svg"]
    assert b"Matplotlib v" not in first["svg"]


def test_words_stay_words_dollars_included():
    assert "costs $5, not $6" in words_of(draw(paint, "costs $5, not $6", 2.0)["svg"])


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentUnfit, match=r"^drawing needs the package matplotlib.*\[train\]"):
        check_drawing()
