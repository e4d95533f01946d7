"""The check: what an INT8 encoder does to the answers of the whole model."""

from __future__ import annotations

import re

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import numpy_helper

from tests.trml_calibration.tiny_cases import cases
from trml_calibration.judge import Check, MaxDrop
from trml_rt.bundle.folder import Bundle
from trml_rt.proof.compare import LIMITS


@pytest.fixture
def harmed(bundle_copy):
    """Return the FP32 graphs of both encoders, and one of `text` with other words."""
    graphs = {name: onnx.load(bundle_copy / "onnx" / f"{name}.onnx") for name in ("text", "frame")}
    other = onnx.load(bundle_copy / "onnx" / "text.onnx")
    table = next(t for t in other.graph.initializer if len(t.dims) == 2)
    value = numpy_helper.to_array(table)
    table.CopyFrom(numpy_helper.from_array(np.roll(value, 1, axis=0).copy(), table.name))
    return graphs, other


def test_a_graph_that_equals_fp32_passes_the_check(bundle_copy, harmed):
    graphs, _ = harmed
    judged = Check(Bundle(bundle_copy), cases(), MaxDrop()).judge("text", graphs["text"])
    assert judged.passed
    assert (judged.vectors, judged.scores) == (
        pytest.approx(0, abs=1e-6),
        pytest.approx(0, abs=1e-6),
    )


def test_a_graph_that_drifts_misses_it_on_every_set_that_runs_it(bundle_copy, harmed):
    judged = Check(Bundle(bundle_copy), cases(), MaxDrop()).judge("text", harmed[1])
    assert not judged.passed
    assert list(judged.measured) == ["text", "text_video"]
    assert judged.vectors > 0.05


def test_the_line_of_progress_names_the_limits_that_were_missed(bundle_copy, harmed):
    graphs, other = harmed
    check = Check(Bundle(bundle_copy), cases(), MaxDrop(cosine=0.02))
    assert "missed" not in check.judge("text", graphs["text"]).summary
    missed = check.judge("text", other).summary.partition("; missed: ")[2]
    assert re.search(r"text_vector least cosine -?0\.\d+, 0\.98 needed", missed)
    assert re.search(r"score differs by [\d.]+, 0\.03 allowed", missed)
    assert missed.count("score differs") == 1


def test_a_graph_that_gives_nan_misses_it_and_is_as_bad_as_can_be(bundle_copy, harmed):
    (table,) = (t for t in harmed[1].graph.initializer if len(t.dims) == 2)
    value = numpy_helper.to_array(table)
    table.CopyFrom(numpy_helper.from_array(np.full_like(value, np.nan), table.name))
    check = Check(Bundle(bundle_copy), cases(), MaxDrop())
    judged = check.judge("text", harmed[1])
    assert not judged.passed
    assert (judged.vectors, judged.scores) == (2.0, 2.0)  # opposite vectors, the whole range
    assert "text/text_vector: NaN or infinity" in judged.summary
    assert check.judge("text", harmed[0]["text"]).passed  # its cases are hard ones, and count


def test_an_encoder_is_judged_together_with_those_that_are_in_int8_already(bundle_copy, harmed):
    graphs, other = harmed
    check = Check(Bundle(bundle_copy), cases(), MaxDrop())
    check.settle("text", other)
    together = check.judge("frame", graphs["frame"]).measured
    assert together["video"]["mean_score_difference"] < 1e-6
    assert together["text_video"]["mean_score_difference"] > 1e-4
    check.restart()
    assert check.judge("frame", graphs["frame"]).passed


def test_the_gate_of_the_check_is_stricter_than_that_of_verification():
    limits, allowed = MaxDrop(points=0.5).limits, LIMITS["int8"]
    assert limits.points == 0.5
    assert limits.score < allowed.score
    assert limits.flips < allowed.flips
    assert limits.cosine_fails >= allowed.cosine


def test_graphs_after_the_first_run_on_a_few_cases_and_fail_there(bundle_copy, harmed):
    graphs, other = harmed
    check = Check(Bundle(bundle_copy), cases(150), MaxDrop())
    assert check.judge("text", graphs["text"]).measured["text"]["rows"] == 150
    missed = check.judge("text", other)
    assert not missed.passed
    assert missed.measured["text"]["rows"] < 75
    assert check.judge("text", graphs["text"]).measured["text"]["rows"] == 150


def test_cases_that_were_hard_before_are_among_the_few(bundle_copy, harmed):
    _, other = harmed
    check = Check(Bundle(bundle_copy), cases(150), MaxDrop())
    worst = check.judge("text", other).measured["text"]["largest_score_difference"]
    few = check.judge("text", other, few=True).measured["text"]
    assert few["largest_score_difference"] == worst
