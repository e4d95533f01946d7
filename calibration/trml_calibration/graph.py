"""Look into a graph: load it with folded constants, run it and watch its inner tensors."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from trml_rt.backends.onnxruntime import OnnxRuntimeBackend

__all__ = ["Feed", "load_basic", "watch"]

Feed = dict[str, NDArray[np.generic]]
"""The inputs of one sample by name, such as `ids` (1, tokens)."""


def load_basic(path: Path) -> ModelProto:
    """Load a graph after ONNX Runtime's basic optimisation, every node with a name.

    It folds constants, widens weights stored in FP16 and merges batch norms into
    convolutions, so that what is quantised is what runs. The same file gives the same names.

    Raises:
        ArtefactMismatch: ONNX Runtime refuses the graph.
        OSError: the folder for temporary files cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "basic.onnx"
        OnnxRuntimeBackend().optimise(path, target, basic=True)
        model = onnx.load(target)
    taken = {node.name for node in model.graph.node}
    for number, node in enumerate(model.graph.node):
        if not node.name:
            name = f"{node.op_type}_{number}"
            node.name = name if name not in taken else f"{name}_unnamed"
    # Its record of every operator set that it knows is not needed by the graph.
    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    return model


def watch(
    model: ModelProto, tensors: Iterable[str], *, optimised: bool = True
) -> Callable[[Feed], dict[str, NDArray[np.generic]]]:
    """Return what runs `model` on one sample and gives its inner `tensors` by name.

    Args:
        model: a graph with a name for each tensor; it is not changed.
        tensors: names of float tensors, outputs of the graph among them or not.
        optimised: False keeps ONNX Runtime from changing the graph, so that each tensor is
            there as the graph has it.
    """
    names = list(tensors)
    watched = ModelProto()
    watched.CopyFrom(model)
    outputs = {value.name for value in model.graph.output}
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in outputs
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda feed: dict(zip(names, session.run(names, feed), strict=True))
