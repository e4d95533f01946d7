"""Weights that FP16 holds exactly, also where a batch norm follows a filter."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from trml_export.to_bundle.rounding import keep_batch_norms_apart, round_to_fp16


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 8, 1))
    nn.init.normal_(model[1].weight, 1, 0.2)
    nn.init.normal_(model[1].bias)
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    return model.eval()


@torch.inference_mode()
def test_a_batch_norm_kept_apart_answers_the_same():
    before = network()
    after = copy.deepcopy(before)
    keep_batch_norms_apart(after)
    x = torch.randn(2, 3, 8, 8)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in after.modules())
    torch.testing.assert_close(after(x), before(x), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_activation_in_a_norm_of_timm_is_kept():
    norm_act = pytest.importorskip("timm.layers").BatchNormAct2d
    before = nn.Sequential(norm_act(4)).eval()
    after = copy.deepcopy(before)
    keep_batch_norms_apart(after)
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(after(x), before(x))
    assert (after(x) >= 0).all()


def test_matrices_are_rounded_and_vectors_are_not():
    model = network()
    filters, bias = model[0].weight.clone(), model[0].bias.clone()
    round_to_fp16(model)
    assert torch.equal(model[0].weight, filters.half().float())
    assert torch.equal(model[0].bias, bias)


def test_a_weight_beyond_the_range_of_fp16_stays():
    model = nn.Linear(4, 4)
    nn.init.constant_(model.weight, 70_000.1)
    before = model.weight.clone()
    round_to_fp16(model)
    assert torch.equal(model.weight, before)


def test_filters_before_a_batch_norm_are_exported_as_they_were_rounded(tmp_path):
    import onnx
    from onnx import numpy_helper

    from trml_export.to_bundle.graphs import GraphSpec, write_onnx
    from trml_rt.bundle.manifest import TensorSpec

    model = network()
    round_to_fp16(model)
    expected = model[0].weight.detach().numpy()
    keep_batch_norms_apart(model)
    spec = GraphSpec(
        model,
        [TensorSpec(name="x", dtype="float32", shape=["batch", 3, 8, 8])],
        [TensorSpec(name="y", dtype="float32", shape=["batch", 8, 6, 6])],
    )
    write_onnx(spec, tmp_path / "g.onnx")
    weights = [numpy_helper.to_array(t) for t in onnx.load(tmp_path / "g.onnx").graph.initializer]
    assert any(w.shape == expected.shape and (w == expected).all() for w in weights)
