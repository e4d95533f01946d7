"""The search for an INT8 graph that holds the gate: what is refined, and what stays in FP32."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

from tests.trml_calibration import onnx_graphs
from tests.trml_calibration.onnx_graphs import cosines, outputs
from trml_calibration.graph import load_basic
from trml_calibration.int8 import layers, tensors_to_watch
from trml_calibration.ranges import collect_ranges
from trml_calibration.search import Judged, Source, guard

FEEDS = onnx_graphs.texts()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    graph = load_basic(onnx_graphs.transformer(tmp_path_factory.mktemp("graphs") / "t.onnx"))
    return Source(graph, collect_ranges(graph, tensors_to_watch(graph), FEEDS, "max"))


@pytest.fixture(scope="module")
def harmed(plain):
    """The same graph with ranges that cut off most of what the second product takes."""
    narrow = {name: (low / 20, high / 20) for name, (low, high) in plain.ranges.items()}
    return Source(plain.graph, narrow | {"normed": plain.ranges["normed"]})


def judge(plain, least):
    """Return a judge that asks for a cosine, and counts what it has seen in full."""
    reference, seen = outputs(plain.graph, FEEDS), []

    def judged(model, few):
        found = cosines(reference, outputs(model, FEEDS))
        if not few:
            seen.append(model)
        lost = float(1 - found.mean())
        return Judged(bool(found.min() >= least), lost, lost, f"{found.min():.4f}", {})

    return judged, seen


def never():
    raise AssertionError("nothing was to be refined")


def test_a_graph_that_holds_the_gate_is_taken_as_it_is(plain):
    made = guard(plain, never, "cpu", judge(plain, 0.98)[0])
    assert (made.kept, made.table, made.refined) == ([], [], False)


def test_a_graph_that_holds_the_gate_once_it_is_refined_keeps_all_layers_in_int8(plain, harmed):
    made = guard(harmed, lambda: plain, "portable", judge(plain, 0.98)[0])
    assert (made.kept, made.table, made.refined) == ([], [], True)
    assert made.model is not None


def test_the_worst_layer_stays_in_fp32_where_refining_does_not_help(plain, harmed):
    made = guard(harmed, lambda: harmed, "portable", judge(plain, 0.99)[0])
    assert made.kept == ["n_back"]
    assert [harm.layer for harm in made.table] == ["n_back", "n_product"]
    assert made.table[0].scores > 10 * made.table[1].scores
    assert made.judged.passed


def test_of_the_plain_and_the_refined_graph_the_better_one_is_searched(plain, harmed):
    worse = Source(harmed.graph, {n: (lo / 9, hi / 9) for n, (lo, hi) in harmed.ranges.items()})
    assert not guard(harmed, lambda: worse, "portable", judge(plain, 0.99)[0]).refined


def test_a_graph_that_needs_more_than_half_of_its_layers_in_fp32_has_no_int8_form(plain):
    judged, seen = judge(plain, 1.1)
    made = guard(plain, lambda: plain, "cpu", judged)
    assert made.model is None
    assert len(seen) == 3  # plain, refined, and one of two layers in FP32
    assert len(made.kept) == len(layers(plain.graph)) // 2


def test_as_few_layers_as_possible_stay_in_fp32(plain, monkeypatch):
    """Among ten layers the search finds the three that the gate needs, and no more."""
    monkeypatch.setattr("trml_calibration.search.layers", lambda _: list("abcdefghij"))
    monkeypatch.setattr("trml_calibration.search.quantise", lambda *_, only, **__: frozenset(only))
    harm = dict(zip("abcdefghij", np.arange(10.0), strict=True))

    def judged(names, few):
        return Judged(not few and len(names) <= 7, *[max(map(harm.get, names))] * 2, "", {})

    made = guard(plain, lambda: plain, "cpu", judged)
    assert made.kept == ["j", "i", "h"]
    assert made.model == frozenset("abcdefg")
