from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from trml_export.evaluation.paired import paired
from trml_export.evaluation.statistic import Statistic


def test_gains_over_the_constant_are_taken_seed_by_seed(protocol):
    def mae(method: str) -> list[float]:
        return [
            next(c["mae"] for c in run["cases"] if c["case"] == "video_missing_1.0")
            for run in protocol.runs
            if (run["method"], run["completeness"]) == (method, 1.0)
        ]

    gains = [b - a for a, b in zip(mae("trml"), mae("constant"), strict=True)]  # lower is better
    wins = sum(gain > 0 for gain in gains)
    line = next(x for x in paired(protocol).splitlines() if x.startswith("| TRML |"))
    assert line.split(" | ")[2] == f"{Statistic.of(gains)} ({wins}/2)"


def test_there_is_nothing_to_pair_without_the_constant(protocol):
    runs = [run for run in protocol.runs if run["method"] != "constant"]
    assert paired(replace(protocol, runs=runs)) is None
