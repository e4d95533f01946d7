"""Say whether this machine is fit to run a bundle, check by check, with the reason."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from trml_rt.backends.check import Check
from trml_rt.backends.tensorrt.doctor import nvidia_checks
from trml_rt.bundle.engine_folder import cpu_features
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch

__all__ = ["diagnose"]

_RUNTIME = ("numpy", "onnxruntime", "av", "pillow", "tokenizers", "pydantic", "click", "filelock")
_DECODERS = ("h264", "hevc", "vp9", "mpeg4", "mjpeg")
_EXTRAS = {"build": ("onnx",), "train": ("torch", "open_clip", "onnxscript", "safetensors")}


def diagnose(bundle: str | os.PathLike[str], backend: str = "auto") -> dict[str, Any]:
    """Return `fit` and the list of `checks` for this machine and the bundle in `bundle`.

    Args:
        bundle: folder of the bundle.
        backend: what the machine must be fit for. `auto` needs no GPU: ONNX Runtime serves.
    """
    probes: list[Callable[[], Check]] = [_python, _system]
    checks = [probe() for probe in probes]
    checks += [_package(name) for name in _RUNTIME]
    checks += [_session(), _decoders(), _bundle(bundle), *nvidia_checks(backend)]
    checks += [_extra(name, modules) for name, modules in _EXTRAS.items()]
    return {
        "fit": all(check.ok for check in checks if check.required),
        "checks": [asdict(check) for check in checks],
    }


def _python() -> Check:
    return Check("Python", sys.version_info >= (3, 10), platform.python_version())


def _system() -> Check:
    found = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {cpu_features()}"
    return Check("system", platform.system() == "Linux", found, required=False)


def _package(name: str) -> Check:
    try:
        return Check(f"package {name}", True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(f"package {name}", False, "absent", remedy="pip install trml-rt")


def _session() -> Check:
    try:
        import onnxruntime
    except ImportError as error:
        return Check("back end onnxruntime", False, str(error), remedy="pip install onnxruntime")
    providers = onnxruntime.get_available_providers()
    return Check("back end onnxruntime", "CPUExecutionProvider" in providers, ", ".join(providers))


def _decoders() -> Check:
    try:
        import av
    except ImportError as error:
        return Check("video decoders", False, str(error), remedy="pip install av")
    missing = [name for name in _DECODERS if name not in av.codecs_available]
    if missing:
        return Check("video decoders", False, f"without {', '.join(missing)}", required=False)
    return Check("video decoders", True, ", ".join(_DECODERS))


def _bundle(folder: str | os.PathLike[str]) -> Check:
    try:
        bundle = Bundle(folder)
        bundle.verify_files()
    except ArtefactMismatch as error:
        return Check("bundle", False, str(error), remedy="copy or export the bundle again")
    return Check("bundle", True, f"{bundle.manifest.name} at {bundle.folder}")


def _extra(name: str, modules: tuple[str, ...]) -> Check:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    found = f"without {', '.join(missing)}" if missing else "installed"
    remedy = f'pip install "trml-rt[{name}]"' if missing else None
    return Check(f"extra [{name}]", not missing, found, required=False, remedy=remedy)
