"""Run the engines of a set on the GPU, one after the other, without a way back to the host.

A chain has a stream of its own, one block of scratch memory for all its engines (they never run at
once), and one buffer a tensor, sized for the largest shape. A shape that is met for the first time
runs plainly; met again, it gets contexts of its own and a CUDA graph of the whole way, uploads and
downloads included. An engine that cannot be captured goes on running plainly.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends import Tensors
from trml_rt.backends.tensorrt.cuda import Cuda, Stream
from trml_rt.backends.tensorrt.jit_cache import JitCache
from trml_rt.backends.tensorrt.library import Log, fault
from trml_rt.backends.tensorrt.memory import Memory, Slot
from trml_rt.backends.tensors import lay_out, real_places
from trml_rt.bundle.manifest import EngineSpec, TensorSpec
from trml_rt.errors import EnvironmentUnfit, UsageError, closed

if TYPE_CHECKING:
    import tensorrt

__all__ = ["Device", "Link", "TensorRtChain"]

_MOST_SHAPES = 16  # CUDA graphs kept; each has contexts of its own
_logger = logging.getLogger("trml_rt")

# A tensor has one buffer a rank: as the encoder gives it, and laid out by frame_mask.
_Key = tuple[str, int]
_Shapes = dict[_Key, tuple[int, ...]]
_Contexts = dict[str, "tensorrt.IExecutionContext"]


@dataclass(frozen=True)
class Device:
    """What all chains of a back end share."""

    library: Any
    rtx: bool
    cuda: Cuda
    number: int
    integrated: bool
    cuda_graphs: bool
    log: Log
    kernels: JitCache | None


@dataclass(frozen=True)
class Link:
    """One engine of a chain."""

    name: str
    spec: EngineSpec
    engine: tensorrt.ICudaEngine


@dataclass
class _Shape:
    """What is kept for a combination of input shapes and frame places."""

    runs: int = 0
    contexts: _Contexts | None = None
    shapes: _Shapes = field(default_factory=dict)
    graph: Any = None


class TensorRtChain:
    """Engines in running order; safe to call from several threads, which then wait in line.

    Raises:
        EnvironmentUnfit: the GPU's memory does not suffice, or TensorRT gives no context.
    """

    def __init__(self, links: Sequence[Link], device: Device) -> None:
        self._links, self._device = links, device
        self._lock = threading.Lock()
        self._closed = False
        self._memory = Memory(device.cuda, integrated=device.integrated)
        self._known: OrderedDict[Any, _Shape] = OrderedDict()
        outputs = {tensor.name: tensor for link in links for tensor in link.spec.outputs}
        # What comes from outside, as its consumer wants it; what is spread on the device.
        self._given: dict[_Key, TensorSpec] = {}
        self._spread: dict[_Key, TensorSpec] = {}
        for link in links:
            for tensor in link.spec.inputs:
                if tensor.name not in outputs:
                    self._given[_key(tensor)] = tensor
                elif _key(tensor) != _key(outputs[tensor.name]):
                    self._spread[_key(tensor)] = tensor
        self._made = {_key(tensor): tensor for tensor in outputs.values()}
        self._plain: _Contexts = {}
        device.log.forget()
        with device.cuda.on_device(device.number):
            self._stream = Stream(device.cuda, len(links) + 1)
            try:
                self._allocate()
            except BaseException:
                self.close()
                raise

    def run(self, tensors: Tensors) -> tuple[Tensors, dict[str, float]]:
        """Run all engines on `tensors` and return what they make, and their milliseconds.

        Raises:
            UsageError: the chain is closed.
            EnvironmentUnfit: CUDA or TensorRT fails, or refuses a shape.
        """
        with self._lock, self._device.cuda.on_device(self._device.number):
            if self._closed:
                raise closed()
            self._device.log.forget()
            feed: dict[_Key, NDArray[np.generic]] = {
                key: lay_out(tensors[key[0]], key[1], tensors).astype(spec.dtype, copy=False)
                for key, spec in self._given.items()
            }
            places = real_places(tensors["frame_mask"]) if self._spread else ()
            shape = self._shape({key: array.shape for key, array in feed.items()}, places)
            for key, array in feed.items():
                self._slots[key].put(array)
            try:
                if shape.graph is not None:
                    self._stream.launch(shape.graph)
                else:
                    self._run_plainly(shape, places)
            finally:  # also after a failure: what is in the stream uses these buffers
                self._stream.wait()
            outputs: Tensors = {
                key[0]: self._slots[key].take(shape.shapes[key], np.dtype(spec.dtype))
                for key, spec in self._made.items()
            }
            names = [link.name for link in self._links]
            milliseconds = dict(zip(names, self._stream.milliseconds(), strict=True))
            shape.runs += 1
            if shape.runs == 2 and shape.contexts is not None:
                self._capture(shape, places)
            return outputs, milliseconds

    def close(self) -> None:
        """Free contexts, graphs and memory; closing twice is fine."""
        with self._lock, self._device.cuda.on_device(self._device.number):
            self._closed = True
            if self._device.kernels is not None:
                self._device.kernels.save()
            for shape in self._known.values():
                self._forget(shape)
            self._known.clear()
            self._plain.clear()
            self._stream.close()
            self._memory.close()

    def _allocate(self) -> None:
        """Make scratch, contexts, and a buffer a tensor for the largest shapes."""
        self._scratch_size = max(link.engine.device_memory_size_v2 for link in self._links)
        self._scratch = self._memory.device(self._scratch_size)
        self._plain = {link.name: self._context(link, fixed=False) for link in self._links}
        largest = self._set_shapes(
            self._plain,
            {
                _key(tensor): link.engine.get_tensor_profile_shape(tensor.name, 0)[2][:]
                for link in self._links
                for tensor in link.spec.inputs
            },
        )
        self._slots: dict[_Key, Slot] = {}
        self._buffers: dict[_Key, int] = {}
        for key, spec in {**self._given, **self._made, **self._spread}.items():
            size = int(np.prod(largest[key])) * np.dtype(spec.dtype).itemsize
            if key in self._spread:
                self._buffers[key] = self._memory.device(size)
            else:
                self._slots[key] = self._memory.slot(size)
                self._buffers[key] = self._slots[key].device
        self._bind(self._plain)

    def _context(self, link: Link, *, fixed: bool) -> tensorrt.IExecutionContext:
        """Make a context that uses the chain's scratch; `fixed`: for one shape, and capturable."""
        trt = self._device.library
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        engine: Any = link.engine  # its runtime configuration is RTX's own
        if self._device.rtx:
            config = engine.create_runtime_config()
            config.set_execution_context_allocation_strategy(strategy)
            if self._device.kernels is not None:
                self._device.kernels.use(config)
            # Else the graph would hold the kernels that stand in until better ones are made.
            if fixed:
                kernels = trt.DynamicShapesKernelSpecializationStrategy
                config.dynamic_shapes_kernel_specialization_strategy = kernels.EAGER
            context = engine.create_execution_context(config)
        else:
            context = engine.create_execution_context(strategy)
        if context is None:
            raise fault(self._device.log, f"gives no context for {link.name}")
        execution: tensorrt.IExecutionContext = context
        execution.set_device_memory(self._scratch, self._scratch_size)
        return execution

    def _bind(self, contexts: _Contexts) -> None:
        """Tell contexts where their tensors lie; that never changes."""
        for link in self._links:
            for tensor in (*link.spec.inputs, *link.spec.outputs):
                if not contexts[link.name].set_tensor_address(
                    tensor.name, self._buffers[_key(tensor)]
                ):
                    raise fault(self._device.log, f"refuses the address of {tensor.name}")

    def _set_shapes(self, contexts: _Contexts, known: _Shapes) -> _Shapes:
        """Set the inputs' shapes and return all shapes; `known` holds what comes from outside."""
        shapes = dict(known)
        for link in self._links:
            context = contexts[link.name]
            for tensor in link.spec.inputs:
                if not context.set_input_shape(tensor.name, shapes[_key(tensor)]):
                    raise fault(
                        self._device.log,
                        f"refuses the shape {shapes[_key(tensor)]} of {tensor.name}",
                    )
            for tensor in link.spec.outputs:
                shapes[_key(tensor)] = context.get_tensor_shape(tensor.name)[:]
        return shapes

    def _shape(self, inputs: _Shapes, places: Any) -> _Shape:
        """Return the record of these shapes with contexts that are set to them, old ones out."""
        key = (tuple(sorted(inputs.items())), places)
        shape = self._known.setdefault(key, _Shape())
        self._known.move_to_end(key)
        if len(self._known) > _MOST_SHAPES:
            self._forget(self._known.popitem(last=False)[1])
        if shape.runs == 1 and self._device.cuda_graphs:
            self._fix(shape, inputs)
        if shape.contexts is None:
            self._complete(shape, self._plain, inputs)
        return shape

    def _fix(self, shape: _Shape, inputs: _Shapes) -> None:
        """Give a shape contexts of its own; where memory does not suffice, it does without."""
        try:
            contexts = {link.name: self._context(link, fixed=True) for link in self._links}
            self._bind(contexts)
            self._complete(shape, contexts, inputs)
            shape.contexts = contexts
        except EnvironmentUnfit as error:
            _logger.info("%s: no CUDA graph: %s", self._links[-1].name, error)

    def _complete(self, shape: _Shape, contexts: _Contexts, inputs: _Shapes) -> None:
        shapes = dict(inputs)
        for key, spec in self._spread.items():  # laid out, it is as long as the mask: (batch, n, d)
            rest = [size for size in spec.shape[2:] if isinstance(size, int)]
            shapes[key] = (*inputs[("frame_mask", 2)], *rest)
        shape.shapes = self._set_shapes(contexts, shapes)

    def _run_plainly(self, shape: _Shape, places: Any) -> None:
        """Put the whole way into the stream: uploads, engines, what is spread, downloads."""
        contexts = shape.contexts if shape.contexts is not None else self._plain
        for key in self._given:
            self._copy(key, shape, up=True)
        self._stream.mark(0)
        for number, link in enumerate(self._links, 1):
            for tensor in link.spec.inputs:
                if _key(tensor) in self._spread:
                    self._spread_out(_key(tensor), shape, places)
            if not contexts[link.name].execute_async_v3(self._stream.handle):
                raise fault(self._device.log, f"cannot run {link.name}")
            self._stream.mark(number)
        for key in self._made:
            self._copy(key, shape, up=False)

    def _capture(self, shape: _Shape, places: Any) -> None:
        """Record the way as a CUDA graph; what cannot be captured goes on running plainly."""
        assert shape.contexts is not None
        name, handle = self._links[-1].name, self._stream.handle
        if self._device.rtx and not all(
            context.is_stream_capturable(handle)  # type: ignore[attr-defined]  # RTX's own
            for context in shape.contexts.values()
        ):
            _logger.info("%s: TensorRT cannot be captured as a CUDA graph", name)
            return
        try:
            shape.graph = self._stream.capture(lambda: self._run_plainly(shape, places))
        except EnvironmentUnfit as error:
            _logger.info("%s: no CUDA graph: %s", name, error)

    def _spread_out(self, key: _Key, shape: _Shape, places: Any) -> None:
        """Lay vectors out by the mask, on the device: zeros, then each run of true places."""
        source = (key[0], key[1] - 1)
        if shape.shapes[source][0] != sum(count for _, _, count in places):
            raise UsageError(f"frame_mask does not tell where the {key[0]} go")
        row = self._bytes(source, shape) // shape.shapes[source][0]
        self._stream.clear(self._buffers[key], self._bytes(key, shape))
        for place, vector, count in places:
            target, start = self._buffers[key] + place * row, self._buffers[source] + vector * row
            self._stream.copy(target, start, count * row)

    def _copy(self, key: _Key, shape: _Shape, *, up: bool) -> None:
        slot = self._slots[key]
        if slot.mapped:
            return
        host = slot.host.ctypes.data
        ends = (slot.device, host) if up else (host, slot.device)
        self._stream.copy(*ends, self._bytes(key, shape))

    def _bytes(self, key: _Key, shape: _Shape) -> int:
        spec = (self._given | self._made | self._spread)[key]
        return int(np.prod(shape.shapes[key])) * np.dtype(spec.dtype).itemsize

    def _forget(self, shape: _Shape) -> None:
        if shape.graph is not None:
            self._stream.forget(shape.graph)
        shape.graph = shape.contexts = None


def _key(tensor: TensorSpec) -> _Key:
    return tensor.name, len(tensor.shape)
