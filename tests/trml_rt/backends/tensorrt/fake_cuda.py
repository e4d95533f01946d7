"""A stand-in for CUDA on host memory, strict about the order of calls and the kind of memory.

- Work waits in its stream until somebody waits for the stream.
- Memory is device, pinned or mapped memory, and each copy must be of such; new memory holds 0xFF.
- During a capture nothing may be allocated, freed or waited for.
- Nothing may be freed while work waits or a context uses it, and every handle must be alive.

What a real device would not allow raises AssertionError. Nothing here proves how CUDA behaves.
"""

# ruff: noqa: N802, N815
# The names are those of CUDA.

from __future__ import annotations

import ctypes
import itertools
import types
import weakref

ALIGNMENT = 256  # bytes


class Block:
    """Memory of one allocation; `kind` is "device", "pinned" or "mapped"."""

    def __init__(self, kind, size):
        self.kind, self.size = kind, size
        self._room = ctypes.create_string_buffer(b"\xff" * (size + ALIGNMENT), size + ALIGNMENT)
        at = ctypes.addressof(self._room)
        self.address = at + -at % ALIGNMENT


class FakeCuda:
    """`cuda.bindings.runtime`, as far as we call it."""

    cudaHostAllocDefault, cudaHostAllocMapped = 0, 2
    cudaStreamNonBlocking = cudaEventRecordExternal = 1
    cudaMemcpyKind = types.SimpleNamespace(
        cudaMemcpyDefault=None,
        cudaMemcpyHostToDevice=(False, True),
        cudaMemcpyDeviceToHost=(True, False),
        cudaMemcpyDeviceToDevice=(True, True),
    )
    cudaStreamCaptureMode = types.SimpleNamespace(
        cudaStreamCaptureModeGlobal=0, cudaStreamCaptureModeThreadLocal=1
    )

    def __init__(self, *, integrated=False, capability=(8, 7), memory=1 << 40):
        self.buffers, self.left = {}, memory
        self.counter = itertools.count(1)
        self.streams, self.recording, self.graphs, self.alive = {}, {}, {}, set()
        self.copies, self.launches, self.marked = [], 0, {}
        self.contexts = weakref.WeakSet()  # of the stand-in for TensorRT
        self.uncapturable = self.invalid = False
        self.device, self.elsewhere = 0, {}
        self.recorded = {}  # the stream in which each event was recorded last
        self.properties = types.SimpleNamespace(
            **{"name": b"Fake Orin", "major": capability[0], "minor": capability[1]},
            **{"multiProcessorCount": 8, "integrated": int(integrated)},
        )

    def work(self, stream, action):
        assert stream in self.streams, "no stream of ours"
        self.recording.get(stream, self.streams[stream]).append(action)
        return (0,)

    def block(self, address, size):
        """Return the memory that `size` bytes at `address` lie in."""
        for block in self.buffers.values():
            if block.address <= address and address + size <= block.address + block.size:
                return block
        raise AssertionError("memory that is pageable, not there, or too small")

    def _in_capture(self):
        self.invalid = self.invalid or bool(self.recording)
        return bool(self.recording)

    def _allocate(self, kind, size):
        if self._in_capture():
            return 900, None
        if size > self.left:
            return 2, None
        self.left -= size
        block = Block(kind, size)
        self.buffers[block.address] = block
        return 0, block.address

    def _release(self, address, kinds):
        if self._in_capture():
            return (900,)
        block = self.buffers.pop(address)
        assert block.kind in kinds, f"{block.kind} memory is freed otherwise"
        assert not any(self.streams.values()), "memory is freed while work waits"
        used = {at for context in self.contexts for at in context.places()}
        assert address not in used, "memory is freed before the contexts that use it"
        return (0,)

    def cudaGetErrorString(self, status):
        return 0, {2: b"out of memory", 900: b"cannot capture"}[status]

    def cudaGetLastError(self):
        return (0,)

    def cudaGetDevice(self):
        return 0, self.device

    def cudaSetDevice(self, device):
        self.device = device
        return (0,)

    def cudaGetDeviceProperties(self, device):
        return 0, self.properties

    def cudaMemGetInfo(self):
        return 0, 1 << 30, 1 << 33

    def cudaRuntimeGetVersion(self):
        return 0, 12060

    cudaDriverGetVersion = cudaRuntimeGetVersion

    def cudaMalloc(self, size):
        return self._allocate("device", size)

    def cudaHostAlloc(self, size, flags):
        return self._allocate("mapped" if flags == self.cudaHostAllocMapped else "pinned", size)

    def cudaHostGetDevicePointer(self, address, flags):
        assert self.buffers[address].kind == "mapped", "memory that the device does not see"
        return 0, address

    def cudaPointerGetAttributes(self, address):
        try:
            kind = {"device": 2}.get(self.block(address, 1).kind, 1)
        except AssertionError:
            kind = 0
        device = self.elsewhere.get(address, 0)
        return 0, types.SimpleNamespace(type=kind, device=device)

    def cudaFree(self, address):
        return self._release(address, ("device",))

    def cudaFreeHost(self, address):
        return self._release(address, ("pinned", "mapped"))

    def _handle(self, *_):
        self.alive.add(handle := next(self.counter))
        return 0, handle

    def _end(self, handle):
        self.alive.remove(handle)
        return (0,)

    cudaEventCreate = _handle
    cudaEventDestroy = _end

    def cudaStreamCreateWithFlags(self, flags):
        assert flags == self.cudaStreamNonBlocking, "it would wait for the default stream"
        _, stream = self._handle()
        self.streams[stream] = []
        return 0, stream

    def cudaStreamDestroy(self, stream):
        assert not self.streams.pop(stream), "a stream goes before its work is done"
        return self._end(stream)

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        ends = (self.block(source, size).kind, self.block(target, size).kind)
        on_device = tuple(end == "device" for end in ends)
        assert kind in (self.cudaMemcpyKind.cudaMemcpyDefault, on_device), f"{kind} of {ends}"

        def copy():
            self.copies.append((ends, size))
            self.block(source, size), self.block(target, size)  # still there
            ctypes.memmove(target, source, size)

        return self.work(stream, copy)

    def cudaMemsetAsync(self, target, value, size, stream):
        self.block(target, size)
        return self.work(stream, lambda: ctypes.memset(target, value, size))

    def cudaEventRecord(self, event, stream):
        assert stream not in self.recording, "would not be seen outside of the graph"
        self.recorded[event] = stream
        return self.work(stream, lambda: self.marked.update({event: next(self.counter)}))

    def cudaEventRecordWithFlags(self, event, stream, flags):
        assert stream in self.recording, "invalid outside of a capture"
        return self.work(stream, lambda: self.marked.update({event: next(self.counter)}))

    def cudaStreamWaitEvent(self, stream, event, flags):
        other = self.recorded[event]
        return self.work(stream, lambda: self.cudaStreamSynchronize(other))

    def cudaEventElapsedTime(self, begin, end):
        assert not any(self.streams.values()), "the marks are not passed yet"
        return 0, float(self.marked[end] - self.marked[begin])

    def cudaStreamBeginCapture(self, stream, mode):
        wanted = self.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        assert mode == wanted, "other threads would break the capture"
        self.recording[stream], self.invalid = [], False
        return (0,)

    def cudaStreamEndCapture(self, stream):
        actions = self.recording.pop(stream)
        if self.uncapturable or self.invalid:
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
            self.work(stream, action)
        return (0,)

    def cudaGraphDestroy(self, graph):
        del self.graphs[graph]
        return self._end(graph)

    cudaGraphExecDestroy = cudaGraphDestroy

    def cudaStreamSynchronize(self, stream):
        if self._in_capture():
            return (900,)
        work, self.streams[stream] = self.streams[stream], []
        for action in work:
            action()
        return (0,)
