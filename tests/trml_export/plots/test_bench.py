from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from tests.pictures import words_of
from trml_export.plots.bench import bench_picture

TIMES = {"p25_ms": 3.5, "p50_ms": 4.0, "p75_ms": 4.5, "p90_ms": 5.0, "p99_ms": 9.0, "calls": 40}
TIMES |= {"joules_a_call": None}
REPORT = {
    "bundle": "mini",
    "backend": "onnxruntime",
    "device": {"cpus": 2},
    "threads": 1,
    "recommended": "int8",
    **{"batches": {}, "callers": {}},
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


def shapes_of(svg: bytes) -> int:
    """Return how many filled shapes an SVG has."""
    return svg.count(b"<path")


def test_parts_batches_callers_and_energy_are_drawn_where_they_were_measured():
    plain = bench_picture(REPORT)
    shares = {"decode": 2.0, "frame": 1.0, "fuse_video": 0.5, "rest": 0.5}
    measured = TIMES | {"speed_up": 1.0, "shares_ms": shares, "joules_a_call": 0.25}
    table = {
        number: {
            "portable": TIMES | {"rows_a_second": 10.0 * place, "calls_a_second": 5.0 * place},
            "int8": TIMES | {"rows_a_second": 20.0 * place, "calls_a_second": 9.0 * place},
        }
        for place, number in enumerate(("1", "32"), 1)
    }
    whole = REPORT | {
        "engine_sets": {"video": {"portable": measured}},
        "batches": {"video": table},
        "callers": {"video": table},
    }
    words = words_of(bench_picture(whole)["svg"])
    assert "4.00 ms, 1.00x, 0.250 J" in words
    assert {"where the time of a call goes", "video: portable"} <= words
    assert {"decode", "frame", "fuse", "rest"} <= words
    assert {"1", "32", "int8"} <= words
    assert "rows a second, by rows a call; the line: p25 to p75" in words
    assert "calls a second, by callers at once; the line: p25 to p75" in words
    assert not [word for word in words_of(plain["svg"]) if "a second" in word or "goes" in word]
    fewer = bench_picture(whole | {"callers": {}})
    assert shapes_of(bench_picture(whole)["svg"]) - shapes_of(fewer["svg"]) >= 4  # its bars
