"""A stand-in for TensorRT and CUDA, for control flow only.

It proves that the back end makes its calls in a right order with right addresses, sizes and
shapes. It proves nothing about TensorRT: a "plan" is an ONNX graph that ONNX Runtime runs, "device
memory" is host memory, a "CUDA graph" is a list of calls, and the fake takes any call that we
think TensorRT takes. What the real compiler takes is tested in test_tensorrt_compile.py; nothing
here or there has run on a GPU.
"""

# ruff: noqa: N802, N815
# The names are those of CUDA and TensorRT.

from __future__ import annotations

import ctypes
import enum
import itertools
import json
import types
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime

DTYPES = {"tensor(int32)": "INT32", "tensor(uint8)": "UINT8", "tensor(float)": "FLOAT"}
NUMPY = {"INT32": np.int32, "UINT8": np.uint8, "FLOAT": np.float32, "BOOL": np.bool_}


def fake_plan(graph: Path, profile) -> bytes:
    return json.dumps(profile).encode() + b"\n" + graph.read_bytes()


class FakeCuda:
    """`cuda.bindings.runtime`, as far as we call it."""

    cudaHostAllocDefault, cudaHostAllocMapped = 0, 2
    cudaStreamNonBlocking = cudaEventRecordExternal = 1
    cudaMemcpyKind = types.SimpleNamespace(
        cudaMemcpyHostToDevice="up", cudaMemcpyDeviceToHost="down", cudaMemcpyDeviceToDevice="on"
    )
    cudaStreamCaptureMode = types.SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, *, integrated=False, capability=(8, 7), memory=1 << 40):
        self.buffers, self.left = {}, memory
        self.counter = itertools.count(1)
        self.recording, self.graphs, self.alive = {}, {}, set()
        self.copies, self.launches, self.marked = [], 0, {}
        self.uncapturable = False
        self.properties = types.SimpleNamespace(
            **{"name": b"Fake Orin", "major": capability[0], "minor": capability[1]},
            **{"multiProcessorCount": 8, "integrated": int(integrated)},
        )

    def work(self, stream, action):
        if self.recording.get(stream) is not None:
            self.recording[stream].append(action)
        else:
            action()
        return (0,)

    def _allocate(self, size):
        if size > self.left:
            return 2, None
        self.left -= size
        buffer = ctypes.create_string_buffer(b"\xff" * size, size)  # never zeros by luck
        self.buffers[ctypes.addressof(buffer)] = buffer
        return 0, ctypes.addressof(buffer)

    def cudaGetErrorString(self, status):
        return 0, {2: b"out of memory", 900: b"cannot capture"}[status]

    def cudaGetDevice(self):
        return 0, 0

    def cudaGetDeviceProperties(self, device):
        return 0, self.properties

    def cudaMemGetInfo(self):
        return 0, 1 << 30, 1 << 33

    def cudaRuntimeGetVersion(self):
        return 0, 12060

    cudaDriverGetVersion = cudaRuntimeGetVersion

    def cudaMalloc(self, size):
        return self._allocate(size)

    def cudaHostAlloc(self, size, flags):
        return self._allocate(size)

    def cudaHostGetDevicePointer(self, address, flags):
        return 0, address

    def cudaFree(self, address):
        del self.buffers[address]
        return (0,)

    cudaFreeHost = cudaFree

    def _handle(self, *_):
        self.alive.add(handle := next(self.counter))
        return 0, handle

    def _end(self, handle):
        self.alive.remove(handle)
        return (0,)

    cudaStreamCreateWithFlags = cudaEventCreate = _handle
    cudaStreamDestroy = cudaEventDestroy = cudaGraphExecDestroy = cudaGraphDestroy = _end

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        def copy():
            self.copies.append((kind, size))
            ctypes.memmove(target, source, size)

        return self.work(stream, copy)

    def cudaMemsetAsync(self, target, value, size, stream):
        return self.work(stream, lambda: ctypes.memset(target, value, size))

    def cudaEventRecord(self, event, stream):
        assert self.recording.get(stream) is None, "would not be seen outside of the graph"
        return self.work(stream, lambda: self.marked.update({event: next(self.counter)}))

    def cudaEventRecordWithFlags(self, event, stream, flags):
        assert self.recording.get(stream) is not None, "invalid outside of a capture"
        return self.work(stream, lambda: self.marked.update({event: next(self.counter)}))

    def cudaEventElapsedTime(self, begin, end):
        return 0, float(self.marked[end] - self.marked[begin])

    def cudaStreamBeginCapture(self, stream, mode):
        self.recording[stream] = []
        return (0,)

    def cudaStreamEndCapture(self, stream):
        actions = self.recording.pop(stream)
        if self.uncapturable:
            return 900, None
        _, graph = self._handle()
        self.graphs[graph] = actions
        return 0, graph

    def cudaGraphInstantiate(self, graph, flags):
        _, runnable = self._handle()
        self.graphs[runnable] = self.graphs[graph]
        return 0, runnable

    def cudaGraphLaunch(self, graph, stream):
        assert graph in self.alive
        self.launches += 1
        for action in self.graphs[graph]:
            action()
        return (0,)

    def cudaStreamSynchronize(self, stream):
        return (0,)


class FakeContext:
    def __init__(self, engine, trt):
        self.engine, self.trt = engine, trt
        self.shapes, self.addresses, self.scratch, self.executed = {}, {}, None, 0

    def set_device_memory(self, address, size):
        assert size >= self.engine.device_memory_size_v2
        self.scratch = address

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def set_input_shape(self, name, shape):
        low, _, high = self.engine.profile[name]
        fits = len(shape) == len(low) and all(
            a <= size <= b for a, size, b in zip(low, shape, high, strict=True)
        )
        if fits:
            self.shapes[name] = tuple(shape)
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
        assert self.scratch is not None
        shapes, addresses = dict(self.shapes), dict(self.addresses)

        def view(name, shape):
            dtype = np.dtype(NUMPY[self.engine.get_tensor_dtype(name).name])
            size = int(np.prod(shape)) * dtype.itemsize
            raw = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(addresses[name]))
            return raw.view(dtype).reshape(shape)

        def execute():
            self.executed += 1
            feed = {name: view(name, shape).copy() for name, shape in shapes.items()}
            names = [each.name for each in self.engine.session.get_outputs()]
            for name, value in zip(names, self.engine.session.run(names, feed), strict=True):
                view(name, value.shape)[...] = value

        self.trt.cuda.work(stream, execute)
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
    device_memory_size_v2 = 512

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
        self.contexts = []

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
        self.contexts.append(FakeContext(self, self.trt))
        return self.contexts[-1]


class FakeTensorRt(types.ModuleType):
    """The module `tensorrt`, as far as running goes."""

    DataType = enum.Enum("DataType", "INT32 UINT8 FLOAT BOOL INT8 HALF")
    TensorIOMode = enum.Enum("TensorIOMode", "INPUT OUTPUT")
    ExecutionContextAllocationStrategy = enum.Enum("Strategy", "STATIC USER_MANAGED")
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
