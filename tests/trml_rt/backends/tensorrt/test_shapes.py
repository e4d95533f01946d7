"""Texts of many lengths on a back end that keeps a CUDA graph a shape, on stand-ins for the GPU."""

from __future__ import annotations

import numpy as np
import pytest

import trml_rt
from tests.trml_rt.backends.tensorrt.fake_device import make

TEXTS = ["bad", "good day", "a good day", "what a good day"]
CLIP = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.fixture
def rt(device, bundle_copy):
    make(bundle_copy)
    with trml_rt.load(bundle_copy, backend="tensorrt") as rt:
        yield rt


def contexts(device):
    return sum(len(engine.contexts) for engine in device.trt.engines)


def test_texts_of_many_lengths_share_one_graph(rt, device):
    answers = [rt.infer(text).score for text in TEXTS * 3]
    assert device.cuda.launches == len(TEXTS) * 3 - 2
    with trml_rt.load(rt.bundle.folder, backend="onnxruntime") as cpu:
        assert answers[:4] == pytest.approx([cpu.infer(text).score for text in TEXTS], abs=1e-5)


def test_after_warming_up_no_call_makes_a_context_or_a_graph(rt, device):
    rt.warm_up()
    before, launched = contexts(device), device.cuda.launches
    for text in TEXTS:
        rt.infer(text)
        rt.infer(text, CLIP)
    rt.infer(video=CLIP)
    assert contexts(device) == before
    assert device.cuda.launches == launched + 9
