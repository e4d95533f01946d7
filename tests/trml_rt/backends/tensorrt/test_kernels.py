"""NVRTC and the driver through ctypes: structs and calls, on a library of C with their signatures.

Where NVIDIA's package nvidia-cuda-nvrtc is installed, the real compiler compiles frames.cu for a
Jetson's GPU and others. Nothing here runs on a GPU.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from trml_rt.backends.tensorrt import kernels
from trml_rt.backends.tensorrt.kernels import Driver, Frame, Nvrtc, Places, find_driver, find_nvrtc
from trml_rt.errors import EnvironmentUnfit

STUB = r"""
#include <string.h>
typedef void *P;
typedef const char *S;
static P program = (P)0x7300000000, module = (P)0x7400000000, kernel = (P)0x7500000000;
static int destroyed;
int nvrtcVersion(int *major, int *minor) { *major = 12; *minor = 6; return 0; }
int nvrtcCreateProgram(P *p, S text, S name, int n, S *a, S *b) {
  *p = program; return strcmp(text, "text") || strcmp(name, "frames.cu") || n || a || b; }
int nvrtcCompileProgram(P p, int n, S *options) {
  return p != program || n != 1 || strcmp(options[0], "--gpu-architecture=sm_87") ? 5 : 0; }
int nvrtcGetCUBINSize(P p, unsigned long *n) { *n = EMPTY ? 0 : 4; return p != program; }
int nvrtcGetCUBIN(P p, char *code) { memcpy(code, "a\0b", 4); return p != program; }
int nvrtcGetProgramLogSize(P p, unsigned long *n) { *n = 8; return p != program; }
int nvrtcGetProgramLog(P p, char *log) { strcpy(log, "bad arch"); log[7] = 0; return p != program; }
int nvrtcDestroyProgram(P *p) { destroyed += *p == program; return 0; }
int count_destroyed(void) { return destroyed; }
int cuModuleLoadData(P *m, P code) { *m = module; return memcmp(code, "a\0b", 4) ? 200 : 0; }
int cuModuleUnload(P m) { return m != module; }
int cuModuleGetFunction(P *f, P m, S name) { *f = kernel; return m != module || strcmp(name, "k"); }
typedef unsigned U;
int cuLaunchKernel(P f, U gx, U gy, U gz, U bx, U by, U bz, U shared, P stream, P *arguments,
                   P *extra) {
  int right = f == kernel && gx == 2 && gy == 3 && gz == 1 && bx == 32 && by == 8 && bz == 1;
  right = right && !shared && stream == (P)0x7000000000 && !extra;
  return !(right && *(int *)arguments[0] == 41 && *(P *)arguments[1] == (P)0x7600000000);
}
int cuGetErrorString(int status, S *words) { *words = status == 200 ? "bad image" : 0; return 0; }
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("nvrtc")

    def make(empty=0):
        target = folder / str(empty) / "libnvrtc.so.12"
        if not target.exists():
            target.parent.mkdir()
            words = [compiler, "-shared", "-fPIC", f"-DEMPTY={empty}", "-x", "c", "-", "-o", target]
            subprocess.run(words, input=STUB, text=True, check=True)
        return target

    return make


@pytest.mark.parametrize("struct", [Frame, Places])
def test_structs_are_those_of_the_kernels(struct):
    body = re.search(rf"struct {struct.__name__} {{(.*?)\n}};", kernels.source(), re.DOTALL)[1]
    declared = []
    for line in re.sub(r"//[^\n]*", "", body).split(";"):
        if found := re.fullmatch(r"\s*(.*?[\s*])(\w+(?:, \w+)*)\s*", line, re.DOTALL):
            declared += [(name, found[1].strip()) for name in found[2].split(", ")]
    kinds = {"int": ctypes.c_int, "long long": ctypes.c_longlong}
    assert [(name, kinds.get(kind, ctypes.c_void_p)) for name, kind in declared] == list(
        struct._fields_
    )


def test_a_text_becomes_machine_code_and_the_program_goes(build):
    path = build()
    assert Nvrtc(str(path)).compile("text", "frames.cu", "sm_87") == b"a\0b\0"
    assert ctypes.CDLL(str(path)).count_destroyed() == 1


def test_what_cannot_be_compiled_ends_in_nvrtcs_log(build):
    path = build()
    before = ctypes.CDLL(str(path)).count_destroyed()
    with pytest.raises(EnvironmentUnfit, match=r"frames.cu for sm_1 \(error 5\): bad arc$"):
        Nvrtc(str(path)).compile("text", "frames.cu", "sm_1")
    assert ctypes.CDLL(str(path)).count_destroyed() == before + 1


def test_an_nvrtc_older_than_the_gpu_is_named(build):
    with pytest.raises(EnvironmentUnfit, match="no machine code for sm_87; it is older than this"):
        Nvrtc(str(build(1))).compile("text", "frames.cu", "sm_87")


def test_a_kernel_is_launched_with_whole_addresses(build):
    driver = Driver(str(build()))
    module = driver.load(b"a\0b\0")
    kernel = driver.function(module, "k")
    arguments = [ctypes.c_int(41), ctypes.c_void_p(0x7600000000)]
    driver.launch(kernel, (2, 3), (32, 8), 0x7000000000, arguments)
    driver.unload(module)


def test_a_failure_has_the_drivers_words(build):
    driver = Driver(str(build()))
    with pytest.raises(EnvironmentUnfit, match=r"CUDA: cuModuleLoadData: bad image \(error 200\)"):
        driver.load(b"else")
    with pytest.raises(EnvironmentUnfit, match=r"CUDA: cuModuleGetFunction: unknown \(error 1\)"):
        driver.function(1, "other")


def test_the_toolkits_nvrtc_is_found_by_its_major_version(build, monkeypatch):
    monkeypatch.setattr(kernels, "FOLDERS", (build().parent,))
    assert find_nvrtc(12).compile("text", "frames.cu", "sm_87")
    with pytest.raises(EnvironmentUnfit, match=r"libnvrtc.so.99, which .* copy the frames to the"):
        find_nvrtc(99)


def test_without_a_driver_the_error_says_so(monkeypatch):
    def absent(path):
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(kernels, "Driver", absent)
    with pytest.raises(EnvironmentUnfit, match=r"driver cannot be loaded .*: trml-rt doctor"):
        find_driver()


def test_the_real_compiler_takes_the_kernels():
    for major in (13, 12):
        try:
            nvrtc = find_nvrtc(major)
            break
        except EnvironmentUnfit:
            continue
    else:
        pytest.skip("needs a package nvidia-cuda-nvrtc")
    for architecture in ("sm_80", "sm_87", "sm_90"):
        code = nvrtc.compile(kernels.source(), "frames.cu", architecture)
        assert code.startswith(b"\x7fELF")
        assert b"trml_rt_first_pass" in code
        assert b"trml_rt_second_pass" in code


def test_the_text_lies_in_the_package():
    assert Path(kernels.__file__).with_name("frames.cu").is_file()
