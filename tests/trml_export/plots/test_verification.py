from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from tests.pictures import words_of
from trml_export.plots.verification import verification_picture

COSINES = {"least_cosine": 0.995, "first_percentile": 0.9999, "mean_cosine": 1.0}
MEASURED = {
    "rows": 1200,
    "tensors": {"text_vector": COSINES},
    "largest_score_difference": 0.01,
    "mean_score_difference": 0.0,
    "score_differences": {"edges": [1e-4, 1e-3, 1e-2], "counts": [900, 300]},
}


def record(**engine_sets):
    passed = all(each["passed"] for each in engine_sets.values())
    limits = {"cosine": 0.99, "cosine_fails": 0.98, "score": 0.05}
    return {
        "passed": passed,
        "precision": "int8",
        "limits": limits,
        "engine_sets": engine_sets,
    }


def drawn(content):
    return verification_picture(content, "mini")


def test_the_picture_names_tensors_limits_verdicts_and_rows():
    both = {"passed": True, "fp32": MEASURED, "golden": MEASURED | {"rows": 4}}
    svg = drawn(record(text=both))["svg"]
    words = words_of(svg)
    assert {"mini: engines in int8: passed", "text: text_vector", "0.05 allowed"} <= words
    assert "a cosine below 0.99 warns, below 0.98 fails" in words
    assert "text: passed, 1,200 rows against FP32, 4 rows against the golden files" in words
    assert all(f'id="limit_{name}"' in svg.decode() for name in ("warns", "fails", "score"))


def test_what_was_not_measured_has_no_mark():
    nothing = {"passed": False, "fp32": {}, "golden": {}}
    words = words_of(drawn(record(text_video=nothing))["svg"])
    assert {"mini: engines in int8: FAILED", "text + video: FAILED, nothing was measured"} <= words
    alone = {"passed": True, "fp32": MEASURED, "golden": {}}
    marks = [drawn(record(text=each))["svg"].count(b"<use ") for each in (alone, nothing)]
    both = drawn(record(text=alone | {"golden": MEASURED}))["svg"].count(b"<use ")
    assert both - marks[0] == 2  # a cosine and a score


def test_each_engine_set_has_a_histogram_of_each_reference():
    both = {"passed": True, "fp32": MEASURED, "golden": MEASURED}
    svg = drawn(record(text=both, video=both | {"golden": {}}))["svg"]
    assert svg.count(b'id="histogram"') == 3
    assert {"text", "video", "rows, %"} <= words_of(svg)


def test_equal_tensors_fit_on_the_logarithmic_axis():
    exact = {"least_cosine": 1.0000001, "first_percentile": 1.0, "mean_cosine": 1.0}
    same = MEASURED | {"tensors": {"text_vector": exact}, "largest_score_difference": 0.0}
    picture = drawn(record(text={"passed": True, "fp32": same, "golden": {}}))
    assert "text: text_vector" in words_of(picture["svg"])
