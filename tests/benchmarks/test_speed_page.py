"""The table of README and the pictures of the speed page say what the committed results say."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torch")  # a sign of the training environment, which draws

from tests.pictures import words_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("speed_page")
    sys.modules.pop("speed_page")


def test_the_table_of_readme_is_that_of_the_committed_results(page):
    readme = (ROOT / "README.md").read_text()
    assert page.filled(readme, page.table_of(page.read_results())) == readme


def test_each_committed_result_has_its_picture_and_no_picture_is_of_another(page):
    results = page.read_results()
    assert {path.stem for path in page.PICTURES.glob("*")} == results.keys()
    for name, result in results.items():
        drawn = words_of(page.DRAWN[name](result)["svg"])
        assert words_of((page.PICTURES / f"{name}.svg").read_bytes()) == drawn


MACHINE = {"machine": {"cpus": 2, "cpu": "A"}}
ARCHIVE = MACHINE | {
    "clips": 1000,
    "clip": "2 s of 320 x 180",
    "contenders": {
        "plain": {"clips_a_second": 2.0, "speed_up": 1.0},
        "one onnxruntime portable": {"clips_a_second": 4.0, "speed_up": 2.0},
        "callers openvino int8": {"clips_a_second": 12.25, "speed_up": 6.12},
    },
}
BATCHES = MACHINE | {
    "kinds": {
        "text": {
            rows: {
                "open_clip": {"rows_a_second": 100.0 * place, "speed_up": 1.0},
                "openvino int8": {"rows_a_second": 1234.0 * place, "speed_up": 12.34},
            }
            for place, rows in enumerate(("1", "32"), 1)
        }
    }
}
PRODUCT = MACHINE | {
    "contenders": {
        "product torch fp32": {"gigaops_a_second": 200.0},
        "engine onnxruntime portable": {"gigaops_a_second": 150.0, "share_of_product": 0.75},
    }
}


def test_results_that_are_still_to_come_get_rows_and_pictures(page):
    table = page.table_of({"archive": ARCHIVE, "batches": BATCHES})
    assert table.splitlines()[2:] == [
        "| archive of 1,000 short clips | 2 clips/s | **12.2 clips/s** | 6.1x |",
        "| 32 texts in a call | 200 /s | **2468 /s** | 12.3x |",
    ]
    words = words_of(page.archive_picture(ARCHIVE)["svg"])
    assert {"eager open_clip, decord", "callers openvino int8", "12.2"} <= {
        word.strip() for word in words
    }
    assert {"1", "32", "rows a second", "eager open_clip"} <= words_of(
        page.batches_picture(BATCHES)["svg"]
    )
    drawn = words_of(page.product_picture(PRODUCT)["svg"])
    assert "engine onnxruntime portable (75%)" in drawn
