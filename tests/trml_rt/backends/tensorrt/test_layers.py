"""Which precision a network computes in, as parsed and as the inspector tells it.

The inspector's records below are of the form that its documentation and public logs show; none was
read from a GPU by us.
"""

from __future__ import annotations

import enum
import json
from types import SimpleNamespace

import pytest

from trml_rt.backends.tensorrt.layers import (
    computed_in_network,
    computes_in,
    count_layers,
    require,
)
from trml_rt.errors import VerificationFailed


def described(*layers):
    return json.dumps({"Layers": layers, "Bindings": ["ids", "text_vector"]})


def test_layers_count_by_the_narrowest_type_they_touch():
    gemm = {
        "Name": "gemm",
        "Inputs": [{"Name": "a", "Format/Datatype": "Half"}],
        "Outputs": [{"Name": "b", "Format/Datatype": "Float"}],
        "Weights": {"Type": "Half", "Count": 9408},
    }
    norm = {"Name": "norm", "Inputs": [{"Format/Datatype": "Row major linear FP32 format"}]}
    shape = {"Name": "shape", "Outputs": [{"Format/Datatype": "Int32"}]}
    assert count_layers(described(gemm, norm, shape)) == {"fp16": 1, "fp32": 1, "other": 1}


def test_a_kernels_name_tells_where_the_types_do_not():
    blind = [{"Name": "x", "Format/Datatype": "N/A due to dynamic shapes"}]
    kernels = {
        "sm80_xmma_gemm_i8f32_i8i32_f32_tn_n_tilesize64x64x64": "int8",
        "sm80_xmma_gemm_f16f16_f16f16_f16_tn_n": "fp16",
        "ampere_fp16_s16816gemm_fp16_64x64": "fp16",
        "ampere_sgemm_32x32_f32": "fp32",
        "__myl_Resh": "unknown",
    }
    layers = [{"Inputs": blind, "TacticName": name} for name in kernels]
    assert [count_layers(described(layer)) for layer in layers] == [
        {kind: 1} for kind in kernels.values()
    ]


def test_unsigned_bytes_are_not_int8():
    assert count_layers(described({"Inputs": [{"Format/Datatype": "UInt8"}]})) == {"other": 1}


def test_a_build_asked_for_a_precision_that_it_does_not_contain_fails():
    with pytest.raises(VerificationFailed, match=r"asked for int8, but .* \(3 fp16, 1 fp32\)"):
        require("int8", {"fp16": 3, "fp32": 1}, "text.plan")
    with pytest.raises(VerificationFailed, match="1 unknown"):
        require("fp16", {"fp32": 2, "unknown": 1}, "text.plan")
    require("fp16", {"fp16": 1}, "text.plan")
    require("fp32", {"fp32": 1}, "text.plan")


def test_an_inspector_that_tells_no_types_refuses_no_plan():
    require("fp16", {"unknown": 61, "other": 3}, "text.plan")
    assert computes_in("fp16", {"unknown": 61, "other": 3}) is None
    assert computes_in("fp16", {"unknown": 61, "fp16": 3}) is True
    assert computes_in("int8", {"unknown": 61, "fp16": 3}) is False


class Network:
    """A product of what lies behind DQ and one more layer."""

    def __init__(self, kinds, between):
        def tensor(name):
            return SimpleNamespace(name=name, dtype="half")

        def layer(kind, inputs, output):
            return SimpleNamespace(
                type=kind,
                num_inputs=len(inputs),
                num_outputs=1,
                get_input=lambda number: tensor(inputs[number]),
                get_output=lambda number: tensor(output),
            )

        self.layers = [
            layer(kinds.DEQUANTIZE, ["x"], "a"),
            layer(between, ["a"], "b"),
            layer(kinds.MATRIX_MULTIPLY, ["b", "b"], "y"),
        ]
        self.num_layers = len(self.layers)

    def get_layer(self, index):
        return self.layers[index]


@pytest.mark.parametrize("between", ["SHUFFLE", "CAST", "SQUEEZE", "UNSQUEEZE"])
def test_a_quantised_operand_is_one_behind_a_layer_that_moves_it(between):
    heavy = "MATRIX_MULTIPLY CONVOLUTION DECONVOLUTION EINSUM"
    old = f"{heavy} SHUFFLE IDENTITY CONSTANT CAST DEQUANTIZE"
    kinds = enum.Enum("LayerType", f"{old} SQUEEZE UNSQUEEZE")
    types = SimpleNamespace(HALF="half", FLOAT="float", INT8="int8")
    trt = SimpleNamespace(LayerType=kinds, DataType=types)
    assert computed_in_network(trt, Network(kinds, kinds[between])) == {"int8": 1}
    if between in old.split():  # 10.3, which has no other layers
        kinds = trt.LayerType = enum.Enum("LayerType", old)
        assert computed_in_network(trt, Network(kinds, kinds[between])) == {"int8": 1}
