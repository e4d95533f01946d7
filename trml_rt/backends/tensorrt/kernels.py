"""The kernels of frames.cu: compiled on the device by NVRTC, and run through CUDA's driver.

Both are called through ctypes. There is no compiler of CUDA where a wheel is made, and one is not
needed where it is installed. None of this has run on a GPU yet.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_longlong, c_size_t, c_uint, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trml_rt.backends.tensorrt.libcudart import FOLDERS
from trml_rt.errors import EnvironmentUnfit

__all__ = ["Driver", "Frame", "Nvrtc", "Places", "find_driver", "find_nvrtc", "source"]

_NVRTC: dict[str, tuple[Any, ...]] = {
    "nvrtcVersion": (POINTER(c_int), POINTER(c_int)),
    "nvrtcCreateProgram": (POINTER(c_void_p), c_char_p, c_char_p, c_int, c_void_p, c_void_p),
    "nvrtcCompileProgram": (c_void_p, c_int, POINTER(c_char_p)),
    "nvrtcGetCUBINSize": (c_void_p, POINTER(c_size_t)),
    "nvrtcGetCUBIN": (c_void_p, c_char_p),
    "nvrtcGetProgramLogSize": (c_void_p, POINTER(c_size_t)),
    "nvrtcGetProgramLog": (c_void_p, c_char_p),
    "nvrtcDestroyProgram": (POINTER(c_void_p),),
}
_DRIVER: dict[str, tuple[Any, ...]] = {
    "cuModuleLoadData": (POINTER(c_void_p), c_char_p),
    "cuModuleUnload": (c_void_p,),
    "cuModuleGetFunction": (POINTER(c_void_p), c_void_p, c_char_p),
    "cuLaunchKernel": (c_void_p, *([c_uint] * 7), c_void_p, POINTER(c_void_p), c_void_p),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
}


class Frame(ctypes.Structure):
    """`Frame` of frames.cu."""

    _fields_ = (
        ("data", c_void_p),
        ("uv", c_void_p),
        *((name, c_longlong) for name in ("stride", "uv_stride")),
        *((name, c_int) for name in ("width", "height", "bytes", "red", "green", "blue")),
        *((name, c_int) for name in ("luma", "r_v", "g_u", "g_v", "b_u")),
    )


class Places(ctypes.Structure):
    """`Places` of frames.cu."""

    _fields_ = (
        *((name, c_void_p) for name in ("first", "count", "weights")),
        *((name, c_int) for name in ("widest", "start", "stop", "size", "begin", "length")),
    )


def source() -> str:
    """Return the text of the kernels."""
    return Path(__file__).with_name("frames.cu").read_text(encoding="ascii")


class Nvrtc:
    """NVIDIA's compiler in a library.

    Raises:
        OSError: it cannot be loaded.
        AttributeError: it lacks a function.
    """

    def __init__(self, path: str) -> None:
        self._library = _declared(path, _NVRTC)
        major, minor = c_int(), c_int()
        self._library.nvrtcVersion(byref(major), byref(minor))
        # It opens this one by its name alone, which the loader may not find beside it.
        builtins = f"libnvrtc-builtins.so.{major.value}.{minor.value}"
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(Path(path).with_name(builtins)))

    def compile(self, text: str, name: str, architecture: str) -> bytes:
        """Return machine code for an architecture such as "sm_87".

        Raises:
            EnvironmentUnfit: it cannot be compiled; ends in NVRTC's log.
        """
        program, size, library = c_void_p(), c_size_t(), self._library
        options = (c_char_p * 1)(f"--gpu-architecture={architecture}".encode())
        status = library.nvrtcCreateProgram(
            byref(program), text.encode(), name.encode(), 0, None, None
        )
        try:
            status = status or library.nvrtcCompileProgram(program, 1, options)
            if status:
                log = self._log(program) if program else ""
                raise EnvironmentUnfit(
                    f"NVRTC cannot compile {name} for {architecture} (error {status}){log}"
                )
            status = library.nvrtcGetCUBINSize(program, byref(size))
            code = ctypes.create_string_buffer(max(size.value, 1))
            if status or not size.value or library.nvrtcGetCUBIN(program, code):
                raise EnvironmentUnfit(
                    f"NVRTC gives no machine code for {architecture}; it is older than this GPU"
                )
            return code.raw
        finally:
            if program:
                library.nvrtcDestroyProgram(byref(program))

    def _log(self, program: c_void_p) -> str:
        size = c_size_t()
        if self._library.nvrtcGetProgramLogSize(program, byref(size)) or not size.value:
            return ""
        log = ctypes.create_string_buffer(size.value)
        self._library.nvrtcGetProgramLog(program, log)
        text = log.value.decode(errors="replace").strip()
        return f": {text}" if text else ""


class Driver:
    """What of CUDA's driver runs a kernel, in the context that the CUDA runtime has made.

    Raises:
        OSError: it cannot be loaded.
        AttributeError: it lacks a function.
    """

    def __init__(self, path: str) -> None:
        self._library = _declared(path, _DRIVER)

    def load(self, code: bytes) -> int:
        """Load machine code and return its module."""
        module = c_void_p()
        self._check("cuModuleLoadData", self._library.cuModuleLoadData(byref(module), code))
        return module.value or 0

    def unload(self, module: int) -> None:
        """Free a module."""
        self._check("cuModuleUnload", self._library.cuModuleUnload(module))

    def function(self, module: int, name: str) -> int:
        """Return a kernel of a module."""
        kernel = c_void_p()
        status = self._library.cuModuleGetFunction(byref(kernel), module, name.encode())
        self._check("cuModuleGetFunction", status)
        return kernel.value or 0

    def launch(
        self,
        kernel: int,
        grid: tuple[int, int],
        block: tuple[int, int],
        stream: int,
        arguments: Sequence[Any],
    ) -> None:
        """Put a kernel into a stream; its arguments are values of ctypes, and are copied."""
        pointers = (c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        status = self._library.cuLaunchKernel(
            kernel, *grid, 1, *block, 1, 0, stream, pointers, None
        )
        self._check("cuLaunchKernel", status)

    def _check(self, function: str, status: int) -> None:
        if status:
            words = c_char_p()
            self._library.cuGetErrorString(status, byref(words))
            reason = (words.value or b"unknown").decode(errors="replace")
            raise EnvironmentUnfit(f"CUDA: {function}: {reason} (error {status})")


def find_nvrtc(major: int) -> Nvrtc:
    """Return NVRTC of a major version of CUDA: the toolkit's, NVIDIA's package's, or the loader's.

    Raises:
        EnvironmentUnfit: it is not here.
    """
    name = f"libnvrtc.so.{major}"
    spec = find_spec("nvidia")
    packages = [
        Path(place) / folder / "lib"
        for place in (spec.submodule_search_locations or () if spec else ())
        for folder in ("cuda_nvrtc", f"cu{major}")
    ]
    for path in (*(str(folder / name) for folder in (*FOLDERS, *packages)), name):
        try:
            return Nvrtc(path)
        except (OSError, AttributeError):
            continue
    package = "nvidia-cuda-nvrtc" if major >= 13 else f"nvidia-cuda-nvrtc-cu{major}"
    raise EnvironmentUnfit(
        f"frames on a GPU need {name}, which cannot be loaded; install the toolkit's cuda-nvrtc, "
        f"or pip install {package}, or copy the frames to the CPU"
    )


def find_driver() -> Driver:
    """Return CUDA's driver.

    Raises:
        EnvironmentUnfit: it is not here.
    """
    try:
        return Driver("libcuda.so.1")
    except (OSError, AttributeError) as error:
        raise EnvironmentUnfit(
            f"CUDA's driver cannot be loaded ({error}); look at it: trml-rt doctor"
        ) from None


def _declared(path: str, functions: dict[str, tuple[Any, ...]]) -> Any:
    library = ctypes.CDLL(path)
    for name, arguments in functions.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, c_int
    return library
