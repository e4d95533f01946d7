"""Find TensorRT by the name of its back end: module, version, where it came from, and its log.

Full TensorRT and TensorRT for RTX are two modules with one API; everything else in this package
takes whichever of them this module found.
"""

from __future__ import annotations

import importlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from trml_rt.errors import BackendUnavailable, EnvironmentUnfit, import_fault, install_command

if TYPE_CHECKING:
    import tensorrt

__all__ = [
    "MODULES",
    "TEGRA_RELEASE",
    "Log",
    "construct",
    "fault",
    "import_tensorrt",
    "new_log",
    "origin",
    "refusal",
]

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""The Python module of each back end."""

Made = TypeVar("Made")

# Oldest version, and the first major version that is not supported any more.
_SUPPORTED = {"tensorrt": ((10, 3), 12), "tensorrt-rtx": ((1, 2), 2)}
_INSTALL = {
    "tensorrt": 'on a Jetson it comes with JetPack (make the environment with "python3 -m venv '
    '--system-site-packages"), elsewhere ' + install_command("tensorrt"),
    "tensorrt-rtx": install_command("rtx"),
}
_KEEP = 200  # log lines; an error needs the last few
TEGRA_RELEASE = Path("/etc/nv_tegra_release")
"""The file that only a Jetson has."""


def import_tensorrt(backend: str) -> Any:
    """Import the module of `backend`.

    Raises:
        BackendUnavailable: it is not installed, or its libraries do not load.
        EnvironmentUnfit: its version is outside the supported range, or known not to work.
    """
    name = MODULES[backend]
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library that it needs is absent
        _unavailable(backend, import_fault(error, name))
    if not hasattr(module, "Builder"):  # the folder of type stubs imports as an empty package
        _unavailable(backend, f"is not installed (the {name} found holds no library)")
    if reason := refusal(backend, module.__version__, module.__file__):
        raise EnvironmentUnfit(f"{name} {module.__version__}: {reason}")
    return module


def refusal(backend: str, version: str, file: str | None) -> str | None:
    """Say why this version of the library, loaded from `file`, may not be used, or None."""
    oldest, beyond = _SUPPORTED[backend]
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
    except ValueError:
        return f"version {version!r} cannot be read"
    low = ".".join(str(part) for part in oldest)
    if (major, minor) < oldest:
        old = {
            8: "; JetPack 5.1 brings 8.5 (no LayerNormalization layer) and 6.0 brings 8.6 (no "
            "strong typing): upgrade to JetPack 6.1 or later",
        }
        return f"{low} or later is needed{old.get(major, '')}"
    if major >= beyond:
        return f"newer than this runtime knows ({low} to {beyond - 1}.x); upgrade trml-rt"
    if backend == "tensorrt" and TEGRA_RELEASE.exists() and _brings_library(file):
        return (
            "a pip wheel on a Jetson may lack kernels for its GPU; uninstall it and use JetPack's "
            'own (make the environment with "python3 -m venv --system-site-packages")'
        )
    return None


def origin(module: Any) -> str:
    """Return the folder that the module came from, and the library that it loaded."""
    folder = os.fspath(Path(module.__file__).parent)
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return folder
    core = ("libnvinfer.so", "libtensorrt_rtx.so")
    loaded = {
        path
        for line in maps.splitlines()
        if os.path.basename(path := line.rsplit(" ", 1)[-1]).startswith(core)  # noqa: PTH119
    }
    return ", ".join([folder, *sorted(loaded)])


class Log:
    """The last lines that TensorRT said; what an error of ours ends in.

    Args:
        logger: an `ILogger` that writes into this object's `lines`.
        lines: severity and text of each line; severity as in `ILogger.Severity`, 0 the worst.
    """

    def __init__(self, logger: tensorrt.ILogger, lines: deque[tuple[int, str]]) -> None:
        self.logger = logger
        self._lines = lines

    def forget(self) -> None:
        """Drop what was said; each call begins so, and its error then quotes itself alone."""
        self._lines.clear()

    def tail(self, count: int = 4) -> str:
        """Return the last `count` warnings and errors as one line, the errors if there are any."""
        lines = list(self._lines)  # other threads may add to it meanwhile
        worst = [text for severity, text in lines if severity <= 1]
        said = worst or [text for severity, text in lines if severity == 2]
        return " | ".join(text.strip() for text in said[-count:]) or "its log holds no error"

    def everything(self) -> list[str]:
        """Return all kept lines, for the build log."""
        return [f"[{'FEWID'[min(severity, 4)]}] {text}" for severity, text in self._lines]


def new_log(trt: Any) -> Log:
    """Make a logger of the given TensorRT module and the record that it fills."""
    lines: deque[tuple[int, str]] = deque(maxlen=_KEEP)

    class Logger(trt.ILogger):  # type: ignore[misc]  # one class of two modules
        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= 3:  # verbose lines would push the errors out
                lines.append((int(severity), message))

    return Log(Logger(), lines)


def fault(log: Log, what: str) -> EnvironmentUnfit:
    """Return the error for a null result: `what` went wrong, and TensorRT's own words."""
    return EnvironmentUnfit(f"TensorRT {what}: {log.tail()}")


def construct(log: Log, what: str, make: Callable[[], Made]) -> Made:
    """Return what `make` makes; a constructor that fails gives a null, which Python sees so.

    Raises:
        EnvironmentUnfit: nothing was made, with TensorRT's own words.
    """
    try:
        return make()
    except TypeError as error:
        if "nullptr" not in str(error):
            raise
        raise fault(log, f"makes no {what}") from None


def _unavailable(backend: str, what: str) -> NoReturn:
    raise BackendUnavailable(
        f'{backend} {what}; {_INSTALL[backend]}, or take backend "onnxruntime"'
    ) from None


def _brings_library(file: str | None) -> bool:
    """Say whether the module is PyPI's: a wheel from NVIDIA's archive for Jetson has no library."""
    return file is not None and (Path(file).parents[1] / "tensorrt_libs").is_dir()
