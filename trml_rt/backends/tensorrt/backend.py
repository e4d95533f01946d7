"""TensorRT, or TensorRT for RTX: load plans and run them, one engine or a chain of them.

The same code serves both modules. Nothing here has run on a GPU yet: docs/building/tensorrt.md
says what has been proven and how.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends import Tensors
from trml_rt.backends.shaping import DeviceFrame, Shaping
from trml_rt.backends.tensorrt.chain import Device, Link, TensorRtChain
from trml_rt.backends.tensorrt.cuda import Cuda, cuda_runtime, current_gpu
from trml_rt.backends.tensorrt.frames import FrameReader
from trml_rt.backends.tensorrt.jit_cache import JitCache
from trml_rt.backends.tensorrt.library import construct, import_tensorrt, new_log
from trml_rt.backends.tensors import differences
from trml_rt.bundle.files import FileLike
from trml_rt.bundle.manifest import EngineSpec
from trml_rt.bundle.records import refuse
from trml_rt.errors import ArtefactMismatch, closed

if TYPE_CHECKING:
    import tensorrt

__all__ = ["TensorRtBackend", "TensorRtEngine"]


class TensorRtBackend:
    """Loads plans on the current GPU.

    Args:
        name: "tensorrt" or "tensorrt-rtx".
        cuda_graphs: whether a chain captures a CUDA graph for a shape that comes again.

    Raises:
        BackendUnavailable: TensorRT or a CUDA runtime is not installed.
        EnvironmentUnfit: there is no driver or no GPU, or the version is not supported.
    """

    def __init__(self, name: str = "tensorrt", *, cuda_graphs: bool = True) -> None:
        self.name = name
        library = import_tensorrt(name)
        if TYPE_CHECKING:
            import tensorrt as trt
        else:
            trt = library
        cuda = Cuda(cuda_runtime())
        gpu = current_gpu(name, cuda.api)
        self._log = new_log(library)
        logger = self._log.logger
        self._runtime = construct(self._log, "runtime", lambda: trt.Runtime(logger))
        self._frames = FrameReader(cuda, gpu)
        rtx = name == "tensorrt-rtx"
        owner = f"sm{gpu.compute_capability.replace('.', '')}-{library.__version__}"
        self._device = Device(
            library=library,
            rtx=rtx,
            cuda=cuda,
            number=gpu.number,
            integrated=gpu.integrated,
            cuda_graphs=cuda_graphs,
            log=self._log,
            kernels=JitCache(owner) if rtx else None,
        )

    def load(self, engine: EngineSpec, path: FileLike) -> TensorRtEngine:
        """Load the plan at `path`; its tensors must be those of `engine` (R13).

        Raises:
            ArtefactMismatch: the file cannot be read, TensorRT refuses it, or its tensors differ.
        """
        if self._device.kernels is not None:
            self._device.kernels.keep_in(Path(str(path)).parents[1])  # beside the engine folders
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ArtefactMismatch(f"{path}: cannot be read ({error.strerror})") from None
        self._log.forget()
        with self._device.cuda.on_device(self._device.number):
            loaded = self._runtime.deserialize_cuda_engine(data)
        if loaded is None:
            raise ArtefactMismatch(f"{path}: TensorRT cannot load it: {self._log.tail()}")
        tensors = _told(self._device.library, loaded)
        problems = [
            *differences("input", engine.inputs, tensors["INPUT"]),
            *differences("output", engine.outputs, tensors["OUTPUT"]),
        ]
        if problems:
            refuse(str(path), problems)
        return TensorRtEngine(loaded, engine, self._device)

    def read_frame(self, frame: DeviceFrame, shaping: Shaping) -> NDArray[np.uint8]:
        """Return the pixels of a frame in this GPU's memory, (height, width, 3).

        Raises:
            UsageError: it does not lie there.
            EnvironmentUnfit: CUDA fails, or NVRTC is not there.
        """
        return self._frames.read(frame, shaping)

    def link(self, engines: Mapping[str, TensorRtEngine]) -> TensorRtChain:
        """Make a chain of engines, in running order, that shares one stream and one scratch block.

        Raises:
            EnvironmentUnfit: the GPU's memory does not suffice, or TensorRT gives no context.
        """
        links = [engine.as_link(name) for name, engine in engines.items()]
        return TensorRtChain(links, self._device)


class TensorRtEngine:
    """One loaded plan; its weights are shared by every chain that runs it."""

    def __init__(self, engine: tensorrt.ICudaEngine, spec: EngineSpec, device: Device) -> None:
        self._engine: tensorrt.ICudaEngine | None = engine
        self._spec = spec
        self._device = device
        self._alone: TensorRtChain | None = None
        self._lock = threading.Lock()

    def as_link(self, name: str) -> Link:
        """Return this engine as a part of a chain."""
        if self._engine is None:
            raise closed()
        return Link(name, self._spec, self._engine)

    def run(self, inputs: Tensors) -> Tensors:
        """Run the engine by itself and return its outputs by name."""
        with self._lock:
            if self._alone is None:
                self._alone = TensorRtChain([self.as_link("alone")], self._device)
        return self._alone.run(inputs)[0]

    def close(self) -> None:
        """Free the engine; closing twice is fine."""
        if self._alone is not None:
            self._alone.close()
        self._alone = self._engine = None


def _told(trt: Any, engine: tensorrt.ICudaEngine) -> dict[str, dict[str, tuple[str, list[Any]]]]:
    """Return type and shape of a plan's tensors by mode and name; -1 becomes an open size."""
    dtypes = {
        trt.DataType.INT32: "int32",
        trt.DataType.UINT8: "uint8",
        trt.DataType.FLOAT: "float32",
        trt.DataType.BOOL: "bool",
    }
    tensors: dict[str, dict[str, tuple[str, list[Any]]]] = {"INPUT": {}, "OUTPUT": {}}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = engine.get_tensor_dtype(name)
        shape = [None if size < 0 else size for size in engine.get_tensor_shape(name)[:]]
        mode = "INPUT" if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else "OUTPUT"
        tensors[mode][name] = (dtypes.get(dtype, str(dtype)), shape)
    return tensors
