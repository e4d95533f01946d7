"""Rows become the very tensors that the runtime would run on them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import trml_rt
from trml_rt.bundle.folder import Bundle
from trml_rt.inputs.rows import Row, Rows
from trml_rt.proof.cases import encoder_inputs, row_cases


@pytest.fixture
def folder(tmp_path):
    """Six frame pictures of noise."""
    make = np.random.default_rng(0)
    for number in range(6):
        pixels = make.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


def rows(*inputs):
    return Rows(
        tuple(
            Row(f"r{number}", "train", text, video, number / 10, None)
            for number, (text, video) in enumerate(inputs)
        ),
        "",
    )


def assert_equal(tensors, others):
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == others[name].dtype
        np.testing.assert_array_equal(tensor, others[name])


def test_a_case_has_the_tensors_that_the_runtime_makes_of_its_row(folder, tiny_bundle):
    cases, unusable = row_cases(
        Bundle(tiny_bundle), rows(("bad", None), (None, folder), ("what a day", folder)), 9
    )
    assert unusable == []
    assert [case.score for case in cases] == [0.2, 0.0, 0.1]  # both inputs, text, video
    samples = [("what a day", folder), ("bad", None), (None, folder)]
    names = ["ids", "frames", "frame_mask"]
    with trml_rt.load(tiny_bundle) as rt:
        for case, (text, video) in zip(cases, samples, strict=True):
            engine_sets = rt.trace(text, video)
            tensors = next(t for t in engine_sets.values() if case.inputs.keys() <= t.keys())
            assert_equal(case.inputs, {n: tensors[n] for n in names if n in tensors})


def test_an_encoder_gets_its_own_tensors_and_no_others(folder, tiny_bundle):
    bundle = Bundle(tiny_bundle)
    table = rows(("bad", None), ("what a day", folder))
    prepared = encoder_inputs(bundle, table, 9)
    [both, text], _ = row_cases(bundle, table, 9)
    assert prepared.samples.keys() == {"text", "frame"}
    for sample, case in zip(prepared.samples["text"], [text, both], strict=True):
        assert_equal(sample, {"ids": case.inputs["ids"]})
    [frames] = prepared.samples["frame"]
    assert_equal(frames, {"frames": both.inputs["frames"]})


def test_so_many_of_each_kind_are_taken_evenly(tiny_bundle, folder):
    table = rows(*[("bad", None)] * 9, *[(None, folder)] * 2)
    cases, _ = row_cases(Bundle(tiny_bundle), table, 3)
    assert [case.score for case in cases] == [0.0, 0.3, 0.6, 0.9, 1.0]
    samples = encoder_inputs(Bundle(tiny_bundle), table, 3).samples
    assert {name: len(inputs) for name, inputs in samples.items()} == {"text": 3, "frame": 2}


def test_a_row_of_no_use_is_left_out_and_named(tiny_bundle, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    table = rows(("bad", tmp_path / "broken.mp4"), ("bad", None))
    cases, unusable = row_cases(Bundle(tiny_bundle), table, 9)
    assert [case.score for case in cases] == [0.1]
    [line] = unusable
    assert line.startswith(f"r0: {tmp_path / 'broken.mp4'}: ")
    prepared = encoder_inputs(Bundle(tiny_bundle), table, 9)
    assert prepared.unusable == unusable
    assert len(prepared.samples["text"]) == 2  # its text is of use
