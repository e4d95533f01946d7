"""Answer through libtrml_rt, the native library: for devices without PyAV and ONNX Runtime.

>>> from trml_rt import native_runtime
>>> with native_runtime.load("bundle/") as rt:
...     answer = rt.infer(text="what a day", frames=frames)

The library is loaded by ctypes, so nothing is compiled for Python. Beside the standard library
this module needs numpy; `import trml_rt` needs pydantic and Pillow, too. The library reads no video
files: frames are arrays. The structs are those of `native/include/trml_rt/trml_rt.h`.
"""

from trml_rt.native_runtime.runtime import NativeRuntime, load, probe

__all__ = ["NativeRuntime", "load", "probe"]
