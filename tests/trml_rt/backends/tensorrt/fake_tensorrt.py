"""A stand-in for TensorRT, for control flow only; fake_cuda.py stands in for CUDA.

They prove that the back end makes its calls in a right order with right addresses, sizes and
shapes. They prove nothing about TensorRT: a "plan" is an ONNX graph that ONNX Runtime runs, "device
memory" is host memory, a "CUDA graph" is a list of calls, and the fake takes any call that we
think TensorRT takes. What the real compiler takes is tested in test_real_compiler.py; nothing
here or there has run on a GPU.
"""

# ruff: noqa: N802
# The names are those of CUDA and TensorRT.

from __future__ import annotations

import ctypes
import enum
import json
import types
import weakref
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime

from tests.trml_rt.backends.tensorrt.fake_cuda import ALIGNMENT

DTYPES = {"tensor(int32)": "INT32", "tensor(uint8)": "UINT8", "tensor(float)": "FLOAT"}
NUMPY = {"INT32": np.int32, "UINT8": np.uint8, "FLOAT": np.float32, "BOOL": np.bool_}


def fake_plan(graph: Path, profile) -> bytes:
    return json.dumps(profile).encode() + b"\n" + graph.read_bytes()


class FakeContext:
    def __init__(self, engine, trt):
        self.engine, self.trt = engine, trt
        self.shapes, self.addresses, self.scratch, self.executed = {}, {}, None, 0
        self.dirty, self.version = True, 0
        trt.cuda.contexts.add(self)

    def places(self):
        return {self.scratch, *self.addresses.values()}

    def set_device_memory(self, address, size):
        assert size >= self.engine.device_memory_size_v2, "scratch memory is too small"
        self.trt.cuda.block(address, size)
        self.scratch = address

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return address % ALIGNMENT == 0

    def set_input_shape(self, name, shape):
        low, _, high = self.engine.profile[name]
        fits = len(shape) == len(low) and all(
            a <= size <= b for a, size, b in zip(low, shape, high, strict=True)
        )
        if fits:
            self.shapes[name] = tuple(shape)
            self.dirty = True
            self.version += 1
        else:
            self.trt.logger.log(1, f"shape {shape} is outside the profile")
        return fits

    def get_tensor_shape(self, name):
        known = {}
        for each in self.engine.session.get_inputs():
            known |= dict(zip(each.shape, self.shapes[each.name], strict=True))
        return tuple(
            known[size] if isinstance(size, str) else size for size in self.engine.args[name].shape
        )

    def is_stream_capturable(self, stream):
        return True

    def execute_async_v3(self, stream):
        cuda = self.trt.cuda
        cuda.block(self.scratch, self.engine.device_memory_size_v2)
        if self.dirty and stream in cuda.recording:  # it has work to do that cannot be captured
            cuda.invalid = True
            return False
        self.dirty = False
        shapes, addresses = dict(self.shapes), dict(self.addresses)
        reference, version = weakref.ref(self), self.version

        def view(name, shape):
            dtype = np.dtype(NUMPY[self_engine.get_tensor_dtype(name).name])
            size = int(np.prod(shape)) * dtype.itemsize
            assert cuda.block(addresses[name], size).kind != "pinned", "not the device's memory"
            raw = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(addresses[name]))
            return raw.view(dtype).reshape(shape)

        self_engine = self.engine

        def execute():
            context = reference()
            assert context is not None, "a context is gone before its work is done"
            assert context.version == version, "a graph runs in a context of another shape"
            context.executed += 1
            feed = {name: view(name, shape).copy() for name, shape in shapes.items()}
            names = [each.name for each in self_engine.session.get_outputs()]
            for name, value in zip(names, self_engine.session.run(names, feed), strict=True):
                view(name, value.shape)[...] = value

        cuda.work(stream, execute)
        return True


class FakeRuntimeCache:
    """Kernels by plan; TensorRT for RTX alone has these."""

    def __init__(self):
        self.plans = []

    def add(self, plan):
        new = plan not in self.plans
        self.plans += [plan] * new
        return new

    def serialize(self):
        return json.dumps(self.plans).encode()

    def deserialize(self, blob):
        if not blob.startswith(b"["):
            return False
        self.plans = json.loads(blob)
        return True

    def reset(self):
        self.plans = []
        return True


class FakeEngine:
    def __init__(self, plan: bytes, trt):
        head, graph = plan.split(b"\n", 1)
        self.plan = zlib.crc32(plan)
        self.trt, self.profile = trt, json.loads(head)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # waiting threads would keep the cores busy
        self.session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        self.args = {a.name: a for a in (*self.session.get_inputs(), *self.session.get_outputs())}
        self.num_io_tensors = len(self.args)
        # Each needs another size than those before.
        self.device_memory_size_v2 = 512 * (1 + len(trt.engines))
        self.contexts = weakref.WeakSet()

    def get_tensor_name(self, index):
        return list(self.args)[index]

    def get_tensor_dtype(self, name):
        return self.trt.DataType[DTYPES.get(self.args[name].type, "BOOL")]

    def get_tensor_shape(self, name):
        return tuple(-1 if isinstance(size, str) else size for size in self.args[name].shape)

    def get_tensor_mode(self, name):
        inputs = [each.name for each in self.session.get_inputs()]
        return self.trt.TensorIOMode.INPUT if name in inputs else self.trt.TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name, index):
        return [tuple(shape) for shape in self.profile[name]]

    def create_runtime_config(self):
        config = types.SimpleNamespace(strategy=None, cache=None)
        config.set_execution_context_allocation_strategy = lambda s: setattr(config, "strategy", s)
        config.create_runtime_cache = FakeRuntimeCache
        config.set_runtime_cache = lambda cache: setattr(config, "cache", cache)
        return config

    def create_execution_context(self, how):
        strategy = getattr(how, "strategy", how)  # RTX is given a configuration
        assert strategy is self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self.trt.no_contexts:
            self.trt.logger.log(1, "no room for a context")
            return None
        if not isinstance(how, self.trt.ExecutionContextAllocationStrategy):
            self.trt.compiled += how.cache is None or how.cache.add(self.plan)
        context = FakeContext(self, self.trt)
        self.contexts.add(context)
        return context


class FakeTensorRt(types.ModuleType):
    """The module `tensorrt`, as far as running goes."""

    DataType = enum.Enum("DataType", "INT32 UINT8 FLOAT BOOL INT8 HALF")
    TensorIOMode = enum.Enum("TensorIOMode", "INPUT OUTPUT")
    ExecutionContextAllocationStrategy = enum.Enum(
        "Strategy", "STATIC ON_PROFILE_CHANGE USER_MANAGED"
    )
    DynamicShapesKernelSpecializationStrategy = enum.Enum("Kernels", "LAZY EAGER NONE")
    Builder = object

    class ComputeCapability:
        __members__: ClassVar = {"CURRENT": 0, "SM86": 86, "SM87": 87, "SM89": 89, "SM120": 120}

    class ILogger:
        pass

    def __init__(self, cuda, version="10.3.0"):
        super().__init__("tensorrt")
        self.__version__, self.__file__ = version, "/usr/lib/python3/dist-packages/tensorrt/x.py"
        self.cuda, self.engines = cuda, []
        self.no_contexts = self.null_runtime = False
        self.compiled = 0  # plans whose kernels were compiled when they ran, on RTX

    def Runtime(self, logger):
        self.logger = logger
        if self.null_runtime:
            logger.log(1, "CUDA initialization failure")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return self

    def deserialize_cuda_engine(self, plan):
        if not plan.startswith(b"{"):
            self.logger.log(1, "the plan is of another version")
            return None
        self.engines.append(FakeEngine(plan, self))
        return self.engines[-1]
