"""The Python bindings of TensorRT 10.3 to 11: names, enums and arguments of all that is called.

`make bindings` gets them from PyPI; they hold none of TensorRT's libraries, and nothing runs.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trml_rt.backends.tensorrt import fake_tensorrt, real_bindings
from trml_rt.backends.tensorrt import library

ROOT = Path(__file__).parents[4]
BINDINGS = Path(os.environ.get("TRML_RT_BINDINGS", ROOT / "build" / "bindings"))
VERSIONS = ("10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")
ONLY_RTX = {"ComputeCapability", "DynamicShapesKernelSpecializationStrategy", "BuilderFlag"}

# Methods that the back end calls, by how many arguments it gives; None is a property.
CALLED = {
    "Builder": {
        **{"create_network": 1, "create_builder_config": 0, "create_optimization_profile": 0},
        **{"build_serialized_network": 2},
    },
    "EngineInspector": {"get_engine_information": 1, "execution_context": None},
    "IBuilderConfig": {
        **{"set_memory_pool_limit": 2, "add_optimization_profile": 1, "clear_flag": 1},
        **{"create_timing_cache": 1, "set_timing_cache": 2, "get_timing_cache": 0},
        **{"profiling_verbosity": None, "builder_optimization_level": None},
        **{"progress_monitor": None},
    },
    "ICudaEngine": {
        **{"create_execution_context": 1, "create_engine_inspector": 0},
        **{"get_tensor_name": 1, "get_tensor_dtype": 1, "get_tensor_shape": 1},
        **{"get_tensor_mode": 1, "get_tensor_profile_shape": 2},
        **{"num_io_tensors": None, "device_memory_size_v2": None},
    },
    "IExecutionContext": {
        **{"set_device_memory": 2, "set_tensor_address": 2, "set_input_shape": 2},
        **{"get_tensor_shape": 1, "execute_async_v3": 1},
    },
    "ILayer": {
        **{"get_input": 1, "get_output": 1, "num_inputs": None, "num_outputs": None, "type": None},
    },
    "INetworkDefinition": {"get_layer": 1, "num_layers": None},
    "IOptimizationProfile": {"set_shape": 4},
    "ITensor": {"name": None, "dtype": None},
    "ITimingCache": {"serialize": 0},
    "OnnxParser": {"parse_from_file": 1, "get_error": 1, "num_errors": None},
    "Runtime": {"deserialize_cuda_engine": 1},
}
FAKES = {"IExecutionContext": fake_tensorrt.FakeContext, "ICudaEngine": fake_tensorrt.FakeEngine}
NOT_REAL = {"places", "is_stream_capturable", "create_runtime_config"}  # the last two are RTX's


@pytest.fixture(scope="module", params=VERSIONS)
def told(request):
    folder = BINDINGS / request.param
    if not folder.is_dir() or shutil.which("cc") is None:
        pytest.skip("needs `make bindings` and a C compiler")
    words = [sys.executable, real_bindings.__file__, str(folder)]
    paths = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths}
    run = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def names_in(source):
    """Return the dotted names that a module takes of TensorRT, such as `DataType.HALF`."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    found = set()
    for node in nodes:
        words = ast.unparse(node).split(".")
        if words[0] == "trt":
            found.add(".".join(words[1:3]))
    return found


def test_every_name_of_the_module_that_we_use_exists(told):
    sources = Path(library.__file__).parent.glob("*.py")
    used = set().union(*(names_in(path.read_text()) for path in sources))
    assert {"Runtime", "DataType.HALF", "TensorIOMode.INPUT"} <= used
    used = {name for name in used if name.split(".")[0] not in ONLY_RTX} | {"BuilderFlag.TF32"}
    assert used - told["names"].keys() == set()


@pytest.mark.parametrize("kind", CALLED)
def test_every_method_takes_the_arguments_that_we_give(told, kind):
    for name, count in CALLED[kind].items():
        forms = told["names"].get(f"{kind}.{name}")
        assert forms is not None, name
        if count is not None:
            assert any(least <= count <= most for least, most in forms), (name, forms)


@pytest.mark.parametrize("kind", FAKES)
def test_the_stand_ins_take_the_arguments_of_the_real_ones(told, kind):
    for name, function in inspect.getmembers(FAKES[kind], inspect.isfunction):
        if name[0] != "_" and name not in NOT_REAL:
            count = len(inspect.signature(function).parameters) - 1
            forms = told["names"][f"{kind}.{name}"]
            assert any(least <= count <= most for least, most in forms), (name, forms)


def test_strong_typing_is_a_bit_of_another_number_in_11(told):
    assert told["strongly typed"] == (0 if told["version"].startswith("11.") else 1)


def test_the_back_end_takes_the_version_and_says_that_no_runtime_is_made(told):
    assert told["said"] == "TensorRT makes no runtime: its log holds no error"
