"""Import TensorRT's own Python bindings without its libraries, and tell of them as JSON.

    python real_bindings.py FOLDER

FOLDER holds the wheel of one version. Empty libraries that are compiled here take the place of
TensorRT's: whatever would make an object gives a null pointer.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# What the bindings of 10.3 to 11.4 look up.
_FUNCTIONS = (
    *("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL"),
    *("createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL"),
    *("getNvOnnxParserVersion", "initLibNvInferPlugins"),
    *("getBuilderPluginRegistry", "getPluginRegistry"),
)
_SIGNATURE = re.compile(r"^(?:\d+\. )?\w+\((self: .*?)\)(?: ->.*)?$", re.MULTILINE)


def import_bindings(folder: Path):
    """Return the module of the bindings in a folder."""
    [binary] = folder.glob("tensorrt_bindings/tensorrt*.so")
    major = re.search(rb"libnvinfer\.so\.(\d+)", binary.read_bytes())[1].decode()
    source = "".join(f"void *{name}(void) {{ return 0; }}\n" for name in _FUNCTIONS)
    with tempfile.TemporaryDirectory() as work:
        for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
            library = f"lib{name}.so.{major}"
            options = ["-shared", "-fPIC", f"-Wl,-soname,{library}", "-x", "c", "-"]
            words = ["cc", *options, "-o", f"{work}/{library}"]
            subprocess.run(words, input=source, text=True, check=True)
            ctypes.CDLL(f"{work}/{library}", ctypes.RTLD_GLOBAL)
        sys.path.insert(0, str(folder))
        import tensorrt_bindings

    return tensorrt_bindings


def arguments_of(function):
    """Return the least and the most arguments of each form of a function; none of a property."""
    forms = []
    for text in _SIGNATURE.findall(function.__doc__ or ""):
        words = re.sub(r"<[^>]*>|\[[^\]]*\]", "", text).split(",")[1:]  # without self
        forms.append((sum("=" not in word for word in words), len(words)))
    return forms


def main(folder: Path):
    """Tell the version, every name with its arguments, and what the back end says of a null."""
    trt = import_bindings(folder)
    sys.modules["tensorrt"] = trt
    from tests.trml_rt.backends.tensorrt.fake_cuda import FakeCuda
    from trml_rt.backends.tensorrt import backend
    from trml_rt.errors import EnvironmentUnfit

    names = {}
    for name in dir(trt):
        value = getattr(trt, name)
        names[name] = None
        for part in vars(value) if isinstance(value, type) else ():
            names[f"{name}.{part}"] = arguments_of(getattr(value, part))
    backend.cuda_runtime = FakeCuda
    try:
        backend.TensorRtBackend()
    except EnvironmentUnfit as error:
        said = str(error)
    flag = int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    told = {"version": trt.__version__, "names": names, "said": said, "strongly typed": flag}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
