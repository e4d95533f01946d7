"""Stand-ins for NVRTC and CUDA's driver: frames.cu compiled for the host, in FakeCuda's streams.

What a launch is given must be memory that is there, of the right kind and size, as for a GPU.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import pytest

from trml_rt.errors import EnvironmentUnfit

LAUNCH = """
#include "kernels_on_host.hpp"
extern "C" int launch(const char* name, int gx, int gy, int bx, int by, void** arguments) {
  return kernels_on_host::launch(name, {gx, gy}, {bx, by}, arguments);
}
"""


def compile_for_host(folder, root):
    """Return the kernels as a library of the host."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    target = folder / "kernels.so"
    words = [compiler, "-std=c++17", "-O1", "-shared", "-fPIC", "-x", "c++", "-", "-o", target]
    includes = [f"-I{root}/tests/native", f"-I{root}/trml_rt/backends/tensorrt"]
    subprocess.run([*words, *includes], input=LAUNCH, text=True, check=True)
    return ctypes.CDLL(str(target))


class FakeNvrtc:
    def __init__(self, *, knows=("sm_87",)):
        self.knows, self.compiled = knows, 0

    def compile(self, text, name, architecture):
        self.compiled += 1
        if architecture not in self.knows:
            raise EnvironmentUnfit(f"NVRTC cannot compile {name} for {architecture} (error 5)")
        return text.encode()


class FakeDriver:
    def __init__(self, cuda, library):
        self.cuda, self.library = cuda, library
        self.modules, self.launches = {}, []

    def load(self, code):
        _, module = self.cuda._handle()
        self.modules[module] = code.decode()
        return module

    def unload(self, module):
        assert not any(self.cuda.streams.values()), "kernels go while work waits"
        del self.modules[module]
        self.cuda._end(module)

    def function(self, module, name):
        assert f"__global__ void {name}(" in self.modules[module], "no such kernel"
        return name

    def launch(self, kernel, grid, block, stream, arguments):
        first, second = arguments[1], arguments[2]
        turned = arguments[3].value
        beside = second.stop - second.start
        assert block[0] * block[1] <= 1024, "too many threads in a block"
        for places in (first, second):
            assert places.count - places.first == 4 * places.size
            assert places.weights - places.count == 4 * places.size
            self._ours(places.first, 4 * places.size * (2 + places.widest))
        between, out = 3 * first.size * beside, 3 * first.length * second.length
        if kernel == "trml_rt_first_pass":
            width, height = first.size, beside
            frame = arguments[0]
            assert frame.uv is None
            rows, columns = frame.stride * (frame.height - 1), frame.bytes * (frame.width - 1)
            places = [0, rows, columns, rows + columns]
            colours = (frame.red, frame.green, frame.blue)
            ends = [place + colour for place in places for colour in colours]
            lowest, highest = min(ends), max(ends)
            self.cuda.block(frame.data + lowest, highest - lowest + 1)
            self._ours(arguments[4].value, between)
        else:
            width = second.length if turned else first.length
            height = first.length if turned else second.length
            self._ours(arguments[0].value, between)
            self._ours(arguments[5].value, out)
        assert grid[0] * block[0] >= width, "a grid leaves places out"
        assert grid[1] * block[1] >= height, "a grid leaves places out"
        self.launches.append(kernel)
        copies = [type(value).from_buffer_copy(value) for value in arguments]

        def run():
            pointers = (ctypes.c_void_p * len(copies))(*map(ctypes.addressof, copies))
            assert self.library.launch(kernel.encode(), *grid, *block, pointers)

        self.cuda.work(stream, run)

    def _ours(self, address, size):
        kind = self.cuda.block(address, size).kind
        assert kind != "pinned", "a kernel reads the host"
