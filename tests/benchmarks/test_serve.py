"""The scheduler that a server is held against ends a batch where the inputs change."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from trml_rt.inputs.prepare import Prepared
from trml_rt.inputs.tokenizer import Tokens
from trml_rt.serve.costs import Costs


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        yield importlib.import_module("serve")
    for name in ("serve", "machine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("lane", "expected"),
    [
        ("by_engine_set", ["t", "ttttt", "vvv"]),
        ("cut_where_inputs_change", ["t", "t", "v", "ttt", "vv", "t"]),
    ],
)
def test_the_same_rows_make_other_batches(script, lane, expected):
    groups, free, began = [], threading.Event(), threading.Event()

    def answer(rows):
        began.set()
        free.wait(10)
        groups.append("".join("v" if row.tokens is None else "t" for row in rows))
        return rows

    scheduler = script.LANES[lane](answer, Costs(lambda _: 8))
    for kind in "t" + "tvtttvvt":
        tokens = Tokens(np.zeros(2, np.int32), truncated=False)
        pixels = np.zeros((1, 2, 2, 3), np.uint8)
        scheduler.put(Prepared(tokens=tokens) if kind == "t" else Prepared(pixels=pixels))
        began.wait(10)  # the first one runs alone, and the others gather meanwhile
    free.set()
    scheduler.close()
    assert groups == expected


def test_a_third_of_the_rows_has_a_text_a_third_a_picture_and_a_third_both(script):
    kinds = [(text is not None, picture is not None) for text, picture in script.rows()]
    assert {kinds.count(kind) for kind in {*kinds}} == {len(kinds) // 3}
    assert len({*kinds}) == 3
