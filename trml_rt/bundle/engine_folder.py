"""Engines compiled for one device: what they were built for, and whether that is here.

`built_for` is the cache key: every fact that decides what a compiled graph is or whether it
may run. It is a flat record of strings, so that a mismatch can name the field and both values.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from trml_rt.backends.tensorrt.library import MODULES
from trml_rt.bundle.calibration import calibration_hash
from trml_rt.bundle.files import FileEntry, check_files, check_hash
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.records import Strict, parse_json, refuse, validate
from trml_rt.engines import key as tensorrt_key
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError

__all__ = [
    "BACKENDS",
    "ENGINE_SCHEMA",
    "PRECISIONS",
    "VERIFICATION",
    "BuiltFile",
    "Compiled",
    "EngineManifest",
    "built_for_here",
    "built_for_onnxruntime",
    "cpu_features",
    "engine_folders",
    "find_compiled",
    "key_of",
    "open_compiled",
    "rebuild_command",
]

ENGINE_SCHEMA = 1
RECIPES = {"fp32": "fp32/1", "fp16": "fp16-stored/1", "int8": "int8-qdq/2"}
"""Name and version of what `trml-rt build` does for a precision on ONNX Runtime."""

PRECISIONS = tuple(RECIPES)
"""The precisions that engines are built in, the same on every back end."""

BACKENDS = ("onnxruntime", *MODULES)
"""The back ends that engines are built for."""

# Decides what a plan is, not where it may run; there is one key for each.
_OPTIONS = "builder options"

VERIFICATION = "verify.json"
"""The file beside the engines that says how near they are to FP32."""

# The instruction sets that ONNX Runtime's kernels choose between.
_CPU_FEATURES = (
    *("sse4_1", "avx", "avx2", "f16c", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve"),
)


class BuiltFile(FileEntry):
    """One compiled graph; `layers` gives the type in which each layer with weights computes."""

    file: str
    layers: dict[str, Literal["int8", "fp32"]] = Field(default_factory=dict)


class EngineManifest(Strict):
    """The content of `engines/<key>/manifest.json`."""

    schema_: Annotated[int, Field(alias="schema")]
    backend: Literal["onnxruntime", "tensorrt", "tensorrt-rtx"]
    precision: Literal["fp32", "fp16", "int8"]
    weights: Literal["fp32", "fp16", "int8"]
    compute: Literal["fp32", "fp16", "int8"]
    built_for: dict[str, str]
    files: dict[str, BuiltFile]
    verified: dict[str, float]
    products: Annotated[dict[str, dict[str, int]], Field(default_factory=dict)]
    plan_layers: Annotated[dict[str, dict[str, int]], Field(default_factory=dict)]
    islands: Annotated[dict[str, list[str]], Field(default_factory=dict)]


@dataclass(frozen=True)
class Compiled:
    """An engine folder that fits this device, this back end and this bundle."""

    folder: Path
    manifest: EngineManifest

    def path(self, engine: str) -> Path:
        """Return the checked path of one engine's compiled graph."""
        entry = self.manifest.files[engine]
        path = self.folder / entry.file
        check_hash(path, entry, "build it again: trml-rt build")
        return path

    def misfits(self, bundle: Bundle, expected: dict[str, str]) -> list[str]:
        """List why these engines may not run for `bundle` on the device of `expected` (E1)."""
        found = self.manifest.built_for
        problems = [
            f"{name} is {found.get(name)!r} there, {expected.get(name)!r} here"
            for name in sorted(found.keys() | expected.keys())
            if found.get(name) != expected.get(name)
            and name != _OPTIONS
            # A bundle without a calibration of its own takes engines of any.
            and not (name == "calibration" and name not in expected)
        ]
        missing = bundle.manifest.engines.keys() - self.manifest.files.keys()
        return problems + [f"{name} is not among its engines" for name in sorted(missing)]

    def why_not(self, bundle: Bundle) -> list[str]:
        """List why these engines may not run for `bundle` on this device; empty if they may."""
        try:
            here = built_for_here(bundle, self.manifest.precision, self.manifest.backend)
        except EnvironmentUnfit as error:
            return [str(error)]
        return self.misfits(bundle, here)

    def verification(self) -> dict[str, Any] | None:
        """Return the content of verify.json, or None if there is none.

        Raises:
            ArtefactMismatch: it is damaged.
        """
        path = self.folder / VERIFICATION
        try:
            return parse_json(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArtefactMismatch(f"{path}: cannot be read ({error.strerror})") from None

    def verified(self) -> set[str]:
        """Return the engine sets that verify.json says have passed, each as `set/prediction`.

        Empty if the engines were not verified, or were found wanting.
        """
        record = self.verification()
        if record is None or record.get("passed") is not True:
            return set()
        sets = record.get("engine_sets")
        return {f"{name}/prediction" for name in (sets if isinstance(sets, dict) else {})}

    def verify_files(self) -> None:
        """Compare the hash of every file."""
        for engine in self.manifest.files:
            self.path(engine)


def cpu_features() -> str:
    """Return the instruction sets of this CPU that kernels choose between, as one string.

    Read from /proc/cpuinfo; "unknown" where that does not exist.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags = set(value.split())
            return " ".join(flag for flag in _CPU_FEATURES if flag in flags)
    return "unknown"


def built_for_onnxruntime(
    bundle: Bundle, precision: str, calibration: str | None = None
) -> dict[str, str]:
    """Return what ONNX Runtime engines of `precision` made here and now would be built for.

    Args:
        bundle: the bundle.
        precision: one of `PRECISIONS`.
        calibration: for int8 the hash of the calibration; None takes that of the bundle's own.
    """
    import onnxruntime

    if precision == "int8" and calibration is None:
        calibration = calibration_hash(bundle.folder / "calibration")

    manifest = bundle.manifest
    axes = manifest.axes.model_dump()
    return {
        "schema": str(ENGINE_SCHEMA),
        **{
            f"source of {name}": manifest.files[engine.file].sha256
            for name, engine in manifest.engines.items()
        },
        "precision recipe": RECIPES[precision],
        "shape profiles": json.dumps(axes, sort_keys=True),
        **({"calibration": calibration} if calibration is not None else {}),
        "builder options": "graph_optimization_level=all",
        "back end": "onnxruntime",
        "back end version": onnxruntime.__version__,
        "CPU features": cpu_features(),
        "system": f"{platform.system().lower()} {platform.machine()}",
    }


def built_for_here(bundle: Bundle, precision: str, backend: str) -> dict[str, str]:
    """Return what engines of `precision` made here and now for `backend` would be built for.

    Raises:
        UsageError: the back end has no engines of this precision.
        EnvironmentUnfit: the back end, or the device that it needs, is not here.
    """
    if backend != "onnxruntime":
        return tensorrt_key.built_for_tensorrt(bundle, precision, backend)
    if precision not in RECIPES:
        raise UsageError(f"no precision {precision!r} on {backend}; choose {', '.join(RECIPES)}")
    return built_for_onnxruntime(bundle, precision)


def key_of(built_for: dict[str, str], precision: str) -> str:
    """Return the folder name for `built_for`: a readable prefix and a short hash."""
    version = built_for["back end version"]
    if built_for["back end"] != "onnxruntime":
        short = {"tensorrt": "trt", "tensorrt-rtx": "rtx"}[built_for["back end"]]
        device = f"sm{built_for['compute capability'].replace('.', '')}"
        return f"{device}_{short}{version}_{precision}_{_digest(built_for)}"
    features = built_for["CPU features"].split()
    best = next((f for f in ("avx512f", "avx2", "sve", "asimd") if f in features), "generic")
    return f"cpu-{best}_ort{version}_{precision}_{_digest(built_for)}"


def _digest(built_for: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(built_for, sort_keys=True).encode()).hexdigest()[:8]


def open_compiled(folder: Path) -> Compiled:
    """Read an engine folder's manifest and look at its files, without hashing them.

    Raises:
        ArtefactMismatch: the folder breaks rule R3, R4 or R6 (E3).
    """
    source = folder / "manifest.json"
    try:
        content = parse_json(source.read_bytes(), str(source))
    except OSError as error:
        raise ArtefactMismatch(f"{source}: cannot be read ({error.strerror})") from None
    manifest: EngineManifest = validate(EngineManifest, content, str(source), ENGINE_SCHEMA)
    check_files(folder, {entry.file: entry for entry in manifest.files.values()})
    return Compiled(folder, manifest)


def find_compiled(bundle: Bundle, precision: str, backend: str = "onnxruntime") -> Compiled:
    """Return the engines of `precision` for `backend` that fit this device (E1, E4).

    Raises:
        ArtefactMismatch: there are none, or none that fits; names the fields that differ.
        EnvironmentUnfit: the back end, or the device that it needs, is not here.
    """
    expected = built_for_here(bundle, precision, backend)
    rebuild = rebuild_command(bundle, precision, backend)
    fitting, others = [], []
    for folder in engine_folders(bundle):
        try:
            compiled = open_compiled(folder)
        except ArtefactMismatch as error:
            others.append(str(error))
            continue
        if (compiled.manifest.precision, compiled.manifest.backend) != (precision, backend):
            continue
        if misfits := compiled.misfits(bundle, expected):
            others.append(f"{folder.name}: " + ", ".join(misfits))
        else:
            fitting.append(compiled)
    exact = [each for each in fitting if each.folder.name == key_of(expected, precision)]
    calibrations = {each.manifest.built_for.get("calibration") for each in fitting}
    if len(calibrations) > 1 and not exact:
        names = ", ".join(compiled.folder.name for compiled in fitting)
        refuse(
            f"{bundle.folder}: {len(fitting)} engine folders fit alike",
            [names, "keep those of one calibration, or put it into the bundle"],
        )
    if fitting:  # they may differ in builder options
        return (exact or fitting)[0]
    if others:
        refuse(f"{bundle.folder}: no {precision} engines fit", [*others, f"build them: {rebuild}"])
    kind = precision if backend == "onnxruntime" else f"{precision} {backend}"
    raise ArtefactMismatch(f"{bundle.folder}: no {kind} engines yet; build them: {rebuild}")


def engine_folders(bundle: Bundle) -> list[Path]:
    """Return the engine folders of a bundle, without what killed builds left.

    Raises:
        ArtefactMismatch: `engines/` is there and cannot be read.
    """
    engines = bundle.folder / "engines"
    try:
        return sorted(
            path for path in engines.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ArtefactMismatch(f"{engines}: cannot be read ({error.strerror})") from None


def rebuild_command(bundle: Bundle, precision: str, backend: str = "onnxruntime") -> str:
    """Return the command that builds the engines of `precision` for `backend`."""
    named = "" if backend == "onnxruntime" else f" --backend {backend}"
    return f"trml-rt build --bundle {os.fspath(bundle.folder)} --precision {precision}{named}"


def to_json(manifest: EngineManifest) -> bytes:
    """Return the bytes of `manifest.json`, the same for the same content."""
    content: dict[str, Any] = manifest.model_dump(by_alias=True)
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
