from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from tests.pictures import words_of
from trml_export.plots.bench import bench_picture

TIMES = {"p50_ms": 4.0, "p90_ms": 5.0, "p99_ms": 9.0, "calls": 40}
REPORT = {
    "bundle": "mini",
    "backend": "onnxruntime",
    "device": {"cpus": 2},
    "threads": 1,
    "recommended": "int8",
    "engine_sets": {
        "text": {
            "portable": TIMES | {"speed_up": 1.0},
            "int8": TIMES | {"p50_ms": 3.0, "speed_up": 1.31},
        },
        "text_video": {"portable": TIMES | {"p50_ms": 7.0, "speed_up": 1.0}},
    },
}


def test_the_picture_has_each_engine_sets_median_and_speed_up_beside_it():
    words = words_of(bench_picture(REPORT)["svg"])
    assert {"text", "text + video", "portable", "int8"} <= words
    assert {"4.00 ms, 1.00x", "3.00 ms, 1.31x", "7.00 ms, 1.00x"} <= words


def test_the_picture_says_what_was_timed_and_what_follows():
    words = words_of(bench_picture(REPORT)["svg"])
    assert "mini: time of a call on onnxruntime, 40 calls of each" in words
    assert "2 CPUs, threads: 1; recommended here: int8" in words
    on_gpu = REPORT | {"device": {"cpus": 2, "gpu": "Orin"}, "threads": None}
    assert "2 CPUs, Orin; recommended here: int8" in words_of(bench_picture(on_gpu)["svg"])
