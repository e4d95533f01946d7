"""Say whether this machine is fit to run a bundle, check by check, with the reason."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from dataclasses import asdict, dataclass
from typing import Any

from trml_rt.backends import ONNXRUNTIME, BackendRow, outside, row_of, rows
from trml_rt.backends.check import Check
from trml_rt.backends.cpu import cpu_features
from trml_rt.bundle.folder import BundleLike, open_bundle
from trml_rt.errors import (
    ArtefactMismatch,
    EnvironmentUnfit,
    TrmlError,
    import_fault,
    install_command,
)

__all__ = ["Diagnosis", "doctor"]

_RUNTIME = ("numpy", "onnxruntime", "av", "pillow", "tokenizers", "pydantic", "click", "filelock")
_DECODERS = ("h264", "hevc", "vp9", "mpeg4", "mjpeg")
_EXTRAS = {"build": ("onnx",), "train": ("torch", "open_clip", "onnxscript", "safetensors")}


@dataclass(frozen=True)
class Diagnosis:
    """The checks of this machine; `fit` if all that are required hold."""

    fit: bool
    checks: list[Check]

    def raise_if_unfit(self, *, reasons: bool = True) -> None:
        """Raise EnvironmentUnfit that names the required checks that failed, if there are any.

        Args:
            reasons: name what each of them found, too; False for a reader who has seen that.
        """
        failed = [check for check in self.checks if check.required and not check.ok]
        if failed:
            named = [f"{check.name}: {check.found}" if reasons else check.name for check in failed]
            raise EnvironmentUnfit(f"this machine is not fit: {'; '.join(named)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the checks as JSON-ready values, as `trml-rt doctor --json` prints them."""
        return asdict(self)


def doctor(bundle: BundleLike = None, *, backend: str = "auto") -> Diagnosis:
    """Check this machine, this installation and a bundle.

    Args:
        bundle: the bundle, as in `load`.
        backend: what the machine must be fit for. `auto` needs no GPU: ONNX Runtime serves.

    Raises:
        UsageError: there is no such back end.
        EnvironmentUnfit: the package that brings the back end is broken.
    """
    checks = [_python(), _system(), *(_package(name) for name in _RUNTIME)]
    checks += [_decoders(), _bundle(bundle), *_backends(backend)]
    checks += [_extra(name, modules) for name, modules in _EXTRAS.items()]
    return Diagnosis(all(check.ok for check in checks if check.required), checks)


def _backends(backend: str) -> list[Check]:
    """Return the checks of the back end that is named, else of all; what they share once."""
    required = None if backend in ("auto", ONNXRUNTIME.name) else row_of(backend)
    checked = rows() if required is None else (ONNXRUNTIME, required)
    checks: dict[str, Check] = {}
    for row in checked:
        for check in _checks_of(row, row is required):
            checks.setdefault(check.name, check)  # a back end from outside takes no other's place
    unusable = outside().unusable if required is None else {}
    broken = [
        Check(f"entry point {name}", False, why, required=False) for name, why in unusable.items()
    ]
    return [*checks.values(), *broken]


def _checks_of(row: BackendRow, required: bool) -> list[Check]:
    try:
        return row.load().checks(row.name, required)
    except TrmlError as error:  # a back end from outside that errs
        return [Check(f"back end {row.name}", False, str(error), required)]


def _python() -> Check:
    return Check("Python", sys.version_info >= (3, 10), platform.python_version())


def _system() -> Check:
    description = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {cpu_features()}"
    )
    return Check("system", platform.system() == "Linux", description, required=False)


def _package(name: str) -> Check:
    try:
        return Check(f"package {name}", True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(f"package {name}", False, "absent", remedy=install_command())


def _decoders() -> Check:
    try:
        import av
    except ImportError as error:
        return Check("video decoders", False, import_fault(error, "av"), remedy="pip install av")
    missing = [name for name in _DECODERS if name not in av.codecs_available]
    if missing:
        return Check("video decoders", False, f"without {', '.join(missing)}", required=False)
    return Check("video decoders", True, ", ".join(_DECODERS))


def _bundle(bundle: BundleLike) -> Check:
    try:
        opened = open_bundle(bundle)
        opened.verify_files()
    except ArtefactMismatch as error:
        return Check("bundle", False, str(error), remedy="copy or export the bundle again")
    return Check("bundle", True, f"{opened.manifest.name} at {opened.folder}")


def _extra(name: str, modules: tuple[str, ...]) -> Check:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    description = f"without {', '.join(missing)}" if missing else "installed"
    remedy = install_command(name) if missing else None
    return Check(f"extra [{name}]", not missing, description, required=False, remedy=remedy)
