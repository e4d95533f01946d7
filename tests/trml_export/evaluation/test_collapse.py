from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.trml_export.learnable import UNALIGNED, UNALIGNED_SIZE, unaligned
from trml_export.evaluation.collapse import case_remarks, control_remarks, model_remarks
from trml_export.evaluation.predictions import predict
from trml_export.evaluation.record import Evaluation
from trml_export.method.model import TRML

FLOORS = {"both inputs": 0.244, "text alone": 0.244, "video alone": 0.244}


def test_a_case_near_its_floor_is_named_with_both_numbers():
    values = {"both inputs": 0.256, "text alone": 0.516, "video alone": 0.473}
    floor, far = case_remarks(values, FLOORS, "macro_f1")
    assert floor == "both inputs: macro F1 0.256 is near its floor 0.244, which needs no input"
    assert far == (
        "both inputs: macro F1 0.256 is far below text alone (0.516); a second input should not "
        "cost anything"
    )


def test_an_error_is_near_its_floor_from_above():
    values, lowest = {"text alone": 1.02, "video alone": 0.5}, dict.fromkeys(FLOORS, 1.0)
    assert list(case_remarks(values, lowest, "mae")) == [
        "text alone: MAE 1.020 is near its floor 1.000, which needs no input"
    ]


def test_nothing_is_said_of_a_model_that_learned():
    values = {"both inputs": 0.55, "text alone": 0.516, "video alone": 0.473}
    assert not list(case_remarks(values, FLOORS, "macro_f1"))


def test_an_untrained_model_is_near_the_floor_of_each_case():
    rows = unaligned(60, seed=0)
    model = TRML(UNALIGNED, UNALIGNED_SIZE)
    torch.nn.init.zeros_(model.head.out.weight)  # one answer, whatever the input
    remarks = model_remarks(predict(model.eval(), rows), rows, rows, UNALIGNED)
    assert [remark.partition(":")[0] for remark in remarks] == [
        "both inputs",
        "text alone",
        "video alone",
    ]


def _with(protocol: Evaluation, method: str, case: str, value: float) -> Evaluation:
    """Return the protocol with another metric of a method in a case."""
    runs = json.loads(json.dumps(protocol.runs))
    for run in runs:
        for each in run["cases"]:
            if run["method"] == method and each["case"] == case:
                each["mae"] = value
    return replace(protocol, runs=runs)


def test_the_table_says_which_method_is_far_below_another(protocol):
    floor = min(part["complete"]["mae"] for part in protocol.floors.values())
    changed = _with(protocol, "trml", "random_0.0", 0.9 * floor)
    changed = _with(changed, "constant", "random_0.0", 0.5 * floor)
    remark = f"TRML, both inputs: MAE {0.9 * floor:.3f} is far below learned constant"
    assert any(each.startswith(remark) for each in control_remarks(changed, 1.0))
    assert f"\nRemark: {remark}" in changed.to_markdown()


def test_the_table_names_the_best_method_of_each_case(protocol):
    changed = _with(_with(protocol, "trml", "as_is", 0.1), "constant", "random_0.0", 0.1)
    best = next(line for line in changed.to_markdown().split("\n") if line.startswith("| **best**"))
    assert best.startswith("| **best** | TRML | learned constant | ")


def test_lengths_stand_in_every_run_and_in_the_table(protocol):
    for run in protocol.runs:
        lengths = run["lengths"].values()
        assert len(lengths) == (0 if run["method"] == "separate" else 4)
        np.testing.assert_allclose(list(lengths), 1, atol=1e-5)
    assert "| length of vectors | real text | real video | " in protocol.to_markdown()
