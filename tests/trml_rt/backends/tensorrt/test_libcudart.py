"""The toolkit's CUDA runtime through ctypes: the real library and header where they are installed.

Values are tried on a library of C that this test compiles: it has CUDA's signatures, and its device
memory is the host's. Nothing here runs on a GPU.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from ctypes import c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from trml_rt.backends.tensorrt import cuda, libcudart
from trml_rt.backends.tensorrt.cuda import Cuda, Stream, current_gpu
from trml_rt.backends.tensorrt.libcudart import Libcudart
from trml_rt.backends.tensorrt.memory import Memory
from trml_rt.errors import BackendUnavailable, EnvironmentUnfit

STUB = r"""
#include <stdlib.h>
#include <string.h>
typedef void *P;
typedef unsigned U;
static int captured;
int cudaDriverGetVersion(int *v) { *v = DRIVER; return 0; }
int cudaRuntimeGetVersion(int *v) { *v = RUNTIME; return 0; }
const char *cudaGetErrorString(int s) { return s == 2 ? "out of memory" : "another"; }
int cudaGetLastError(void) { return 0; }
int cudaSetDevice(int d) { return d < 0; }
int cudaGetDevice(int *d) { *d = 3; return 0; }
int cudaGetDeviceProperties(P p, int d) { strcpy(p, "Stub"); return d != 3; }
int cudaDeviceGetAttribute(int *v, int a, int d) { *v = a + 100 * d; return 0; }
int cudaMemGetInfo(size_t *f, size_t *t) { *f = 5; *t = (size_t)7 << 33; return 0; }
int cudaMalloc(P *p, size_t n) { if (n >> 40) return 2; *p = malloc(n); return 0; }
int cudaHostAlloc(P *p, size_t n, U flags) { *p = malloc(n); return flags; }
int cudaHostGetDevicePointer(P *d, P h, U flags) { *d = h; return flags; }
int cudaFree(P p) { free(p); return 0; }
int cudaFreeHost(P p) { free(p); return 0; }
int cudaStreamCreateWithFlags(P *s, U flags) { *s = (P)0x7000000000; return flags != 1; }
int cudaStreamWaitEvent(P s, P e, U flags) { return s == e || flags; }
int cudaPointerGetAttributes(P a, P p) { ((int *)a)[0] = 2; ((int *)a)[1] = 3; return p == 0; }
int cudaStreamDestroy(P s) { return s != (P)0x7000000000; }
int cudaStreamSynchronize(P s) { return s != (P)0x7000000000; }
int cudaStreamBeginCapture(P s, int mode) { captured = 1; return mode != 1; }
int cudaStreamEndCapture(P s, P *g) { *g = (P)0x7100000000; return !captured; }
int cudaGraphInstantiate(P *e, P g, unsigned long long f) { *e = g; return f != 0; }
int cudaGraphDestroy(P g) { return g != (P)0x7100000000; }
int cudaGraphExecDestroy(P g) { return g != (P)0x7100000000; }
int cudaGraphLaunch(P g, P s) { return g != (P)0x7100000000 || s != (P)0x7000000000; }
int cudaEventCreate(P *e) { *e = (P)0x7200000000; return 0; }
int cudaEventDestroy(P e) { return e != (P)0x7200000000; }
int cudaEventRecord(P e, P s) { return e == s; }
int cudaEventRecordWithFlags(P e, P s, U flags) { return flags != 1; }
int cudaEventElapsedTime(float *ms, P a, P b) { *ms = 1.5f; return 0; }
int cudaMemcpyAsync(P t, P f, size_t n, int kind, P s) { memcpy(t, f, n); return s == 0; }
int cudaMemsetAsync(P t, int v, size_t n, P s) { memset(t, v, n); return s == 0; }
"""
KINDS = {
    "void": c_void_p,
    "cudaStream_t": c_void_p,
    "cudaEvent_t": c_void_p,
    "cudaGraph_t": c_void_p,
    "cudaGraphExec_t": c_void_p,
    "size_t": c_size_t,
    "int": c_int,
    "float": c_float,
    "unsigned int": c_uint,
    "unsigned long long": c_ulonglong,
    "enum cudaDeviceAttr": c_int,
    "enum cudaMemcpyKind": c_int,
    "enum cudaStreamCaptureMode": c_int,
}


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("cudart")

    def make(driver=12060, runtime=12060, name="libcudart.so.12"):
        target = folder / f"{driver}-{runtime}" / name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            versions = [f"-DDRIVER={driver}", f"-DRUNTIME={runtime}"]
            words = [compiler, "-shared", "-fPIC", *versions, "-x", "c", "-", "-o", target]
            subprocess.run(words, input=STUB, text=True, check=True)
        return target

    return make


@pytest.fixture
def only(monkeypatch):
    """Let nothing be found but what lies in the folders that the test names."""

    def only(*paths):
        monkeypatch.setattr(libcudart, "FOLDERS", tuple(path.parent for path in paths))
        opened = libcudart.Libcudart

        def open_here(path):
            if "/" not in path:
                raise OSError("none in the loader's path")
            return opened(path)

        monkeypatch.setattr(libcudart, "Libcudart", open_here)

    return only


def test_a_gpu_is_described_by_attributes_and_the_name(build):
    gpu = current_gpu("tensorrt", Libcudart(str(build())))
    assert gpu.name == "Stub"
    assert (gpu.multiprocessors, gpu.compute_capability) == (316, "375.376")
    assert (gpu.free_bytes, gpu.total_bytes) == (5, 7 << 33)
    assert (gpu.cuda_runtime, gpu.cuda_driver) == ("12.6", "12.6")


def test_memory_streams_marks_and_graphs_pass_whole_addresses(build):
    api = Cuda(Libcudart(str(build())))
    memory, stream = Memory(api, integrated=False), Stream(api, 2)
    slot = memory.slot(1000)
    slot.put(np.arange(250, dtype=np.float32))
    host = slot.host.ctypes.data
    stream.copy(slot.device, host, 1000)
    slot.host[:] = 0
    stream.copy(host, slot.device, 1000)
    np.testing.assert_array_equal(slot.take((250,), np.dtype(np.float32)), np.arange(250))
    graph = stream.capture(lambda: stream.mark(0))
    stream.launch(graph)
    stream.mark(1)
    stream.follow(1)
    found = api.call("cudaPointerGetAttributes", slot.device)
    assert (found.type, found.device) == (2, 3)
    stream.wait()
    assert stream.milliseconds() == [1.5]
    stream.forget(graph)
    stream.close()
    memory.close()


def test_a_failure_has_cudas_words(build):
    memory = Memory(Cuda(Libcudart(str(build()))), integrated=False)
    with pytest.raises(EnvironmentUnfit, match=r"CUDA: cudaMalloc: out of memory \(error 2\)"):
        memory.device(1 << 41)


def test_the_toolkits_own_library_comes_before_cuda_bindings(build, only):
    path = build()
    only(path)
    assert cuda.cuda_runtime().origin == str(path)


def test_a_runtime_newer_than_the_driver_gives_way_to_one_that_fits(build, only):
    newer = build(12060, 13000, "libcudart.so.13")
    fitting = build(12060, 12040)
    only(newer, fitting)
    assert cuda.cuda_runtime().origin == str(fitting)


def test_without_any_cuda_the_error_says_what_to_install(only, monkeypatch):
    only()
    for name in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendUnavailable, match=r'pip install "cuda-bindings>=12.9,<13"'):
        cuda.cuda_runtime()


@pytest.fixture
def real():
    """The folder of NVIDIA's package with the runtime's library and header."""
    spec = find_spec("nvidia")
    for place in spec.submodule_search_locations if spec else []:
        for folder in (Path(place) / "cu13", Path(place) / "cuda_runtime"):
            if (folder / "include" / "cuda_runtime_api.h").is_file():
                return folder
    return pytest.skip("needs the package nvidia-cuda-runtime")


def kind(declared):
    """Return the ctypes type of a parameter, and how many stars it has."""
    words = re.sub(r"\b(const|__dv\(0\)|__dv)\b|=.*", "", declared.split("__dv")[0])
    stars = words.count("*")
    name = " ".join(words.replace("*", " ").split())
    for known in sorted(KINDS, key=len, reverse=True):
        if name == known or name.startswith(known + " "):
            return KINDS[known], stars
    raise AssertionError(declared)


@pytest.mark.parametrize("name", sorted(libcudart._FUNCTIONS))
def test_a_function_is_declared_as_in_nvidias_header(real, name):
    header = (real / "include" / "cuda_runtime_api.h").read_text()
    found = re.search(rf"cudaError_t CUDARTAPI {name}\(([^;]*)\);", header)
    declared = [word for word in found[1].split(",") if word.strip() not in ("", "void")]
    results, arguments = libcudart._FUNCTIONS[name]
    assert len(declared) == len(results) + len(arguments)
    for text, own in zip(declared, results, strict=False):
        assert kind(text) == (own, 2 if "void" in text else 1)
    for text, own in zip(declared[len(results) :], arguments, strict=True):
        found_kind, stars = kind(text)
        assert (found_kind, stars) == (own, 1 if "void" in text else 0)


def test_the_real_library_has_every_function_and_says_that_there_is_no_gpu(real):
    [path] = (real / "lib").glob("libcudart.so.1?")
    library = Libcudart(str(path))
    status, driver = library.cudaDriverGetVersion()
    assert status == 0
    if driver:
        pytest.skip("there is a driver")
    assert library.fits_driver()
    with pytest.raises(EnvironmentUnfit, match=r"no GPU can be used \(CUDA: cudaGetDevice"):
        current_gpu("tensorrt", library)
