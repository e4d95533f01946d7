"""Compile a bundle's graphs for this device, prove them, and install them.

The order of steps: settle what the arguments mean, compile every graph, compare the engines with
their references, install them, and measure whether they pay.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trml_rt.backends import ONNXRUNTIME, BackendRow, CompileOptions, row_of
from trml_rt.backends.cpu import cpu_features
from trml_rt.bench import bench
from trml_rt.bundle.arguments import (
    check_data,
    check_one_of,
    check_whole,
    path_of,
    refuse_unread,
)
from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.calibration import Calibrated, open_calibration, source_of
from trml_rt.bundle.engine_folder import (
    PRECISIONS,
    VERIFICATION,
    EngineManifest,
    Precision,
    to_json,
)
from trml_rt.bundle.folder import BundleLike, open_bundle
from trml_rt.bundle.places import place_to_build
from trml_rt.engines.choose import verified_engines
from trml_rt.engines.compile import BuildJob, compile_all, describe_engines
from trml_rt.engines.fastest import record_fastest
from trml_rt.engines.install import fitting, install
from trml_rt.engines.key import built_for_here, key_of
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError
from trml_rt.proof.compare import Case
from trml_rt.proof.contenders import AUTO, PORTABLE
from trml_rt.proof.golden import golden_inputs
from trml_rt.proof.rows import read_cases
from trml_rt.proof.widen import prove

__all__ = ["BuildPreview", "BuildReport", "build", "preview_build"]

_log = logging.getLogger(__name__)

_CALLS = 15  # of each contender of the advice: enough to tell twice as fast from half


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes:
        folder: the engines.
        built: false where fitting engines were there already.
        verified: whether they were compared with their references and passed.
        manifest: the content of their `manifest.json`.
        recommended: the precision that this device should run, with the back end where several
            compete; None without `advise`.
        because: what was measured for that.
    """

    folder: Path
    built: bool
    verified: bool
    manifest: EngineManifest
    recommended: str | None = None
    because: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, as `trml-rt build --json` prints it."""
        advice = {"recommended": self.recommended, "because": self.because}
        return {
            "engines": str(self.folder),
            "built": self.built,
            **self.manifest.model_dump(by_alias=True),
            **({} if self.recommended is None else advice),
        }


@dataclass(frozen=True)
class BuildPreview:
    """What a build would do.

    Attributes:
        engines: the folder of the engines.
        would_build: false where fitting engines are there already.
        why: why those that are there would not serve.
        sources: the graph that each engine is compiled from.
        built_for: the fields of the cache key.
    """

    engines: Path
    would_build: bool
    why: list[str]
    sources: dict[str, Path]
    built_for: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the preview as JSON-ready values."""
        sources = {name: str(path) for name, path in self.sources.items()}
        return asdict(self) | {"engines": str(self.engines), "sources": sources}


def build(
    bundle: BundleLike = None,
    precision: Precision = "fp32",
    *,
    backend: str = "onnxruntime",
    options: CompileOptions | None = None,
    calibration: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    layout: str = "jsonl",
    split: str = "valid",
    rows: int = 512,
    verify: bool = True,
    advise: bool = False,
    force: bool = False,
) -> BuildReport:
    """Compile the engines of `precision` for this device, verify them, and install them.

    Args:
        bundle: the bundle to build for. Its `engines/` folder is written, or the cache where that
            cannot be. A path, an open bundle, or None for `TRML_RT_BUNDLE`, else the bundle that
            ships inside the package, whose engines always lie in the cache.
        precision: fp32, fp16 or int8. What that means is the back end's: `trml_rt.backends`.
        backend: what the engines are for.
        options: settings of the compiler; with `target` set nothing can be verified.
        calibration: for int8 the folder of `calibrate`; None: the bundle's own calibration.
        data: a data set whose rows the engines are verified on; None: the golden files' inputs.
        layout: layout of `data`: jsonl, mmsa or meld.
        split: the rows of `data` to take.
        rows: the most rows of each kind: both inputs, text alone, video alone.
        verify: False leaves the verification out, and every answer says that.
        advise: measure at the end which precision this device should run. Engines of other back
            ends than ONNX Runtime compete, if verified, and `auto` takes the fastest from then on.
        force: build even if fitting engines are there.

    Raises:
        UsageError: an argument makes no sense, would not be read, or the data cannot be read.
        VerificationFailed: the engines miss a limit; nothing is installed.
        EnvironmentUnfit: a package, the device, memory, disk or a folder to write is lacking.
        ArtefactMismatch: the bundle or its calibration is damaged, or int8 lacks a calibration.
    """
    table = check_data(data, layout=layout, split=split, rows=rows)
    if table is not None and not verify:
        refuse_unread(["data"], "without a verification")
    job = _settle(bundle, precision, backend, options, calibration)
    if job.options.target is not None:  # nothing runs on a GPU that is elsewhere
        verify = False
        given = {"data": table is not None, "advise": advise}
        refuse_unread([name for name, value in given.items() if value], "with a target")
    cases: Sequence[Case] = ()
    if table is not None:
        cases = read_cases(job.bundle, table, layout=layout, split=split, rows=rows)
    engines, built = install(
        job.bundle,
        job.key,
        job.built_for,
        lambda staging: _make(job, staging, cases if verify else None),
        must_be_verified=verify,
        force=force,
    )
    folder, verified = engines.folder, engines.is_verified(job.bundle)
    advice = _advise(job) if advise else ()
    return BuildReport(folder, built, verified, engines.manifest, *advice)


def preview_build(
    bundle: BundleLike = None,
    precision: Precision = "fp32",
    *,
    backend: str = "onnxruntime",
    options: CompileOptions | None = None,
    calibration: str | os.PathLike[str] | None = None,
    verify: bool = True,
    force: bool = False,
) -> BuildPreview:
    """Say what `build` would do with the same arguments, and write nothing.

    Raises:
        UsageError: an argument makes no sense, or would not be read.
        EnvironmentUnfit: the back end, its device, units for the precision, or a folder to write
            is not here.
        ArtefactMismatch: the bundle is damaged, or int8 lacks a calibration.
    """
    job = _settle(bundle, precision, backend, options, calibration)
    why: list[str] = ["force is given"] if force else []
    must_be_verified = verify and job.options.target is None
    try:
        folder = fitting(job.bundle, job.key, job.built_for, must_be_verified).folder
    except ArtefactMismatch as error:
        why.append(str(error))
    if why:
        folder = place_to_build(job.bundle, job.key) / job.key
    sources = {name: path for name, (path, _) in job.sources.items()}
    return BuildPreview(folder, bool(why), why, sources, job.built_for)


def _settle(
    bundle: BundleLike,
    precision: Precision,
    backend: str,
    options: CompileOptions | None,
    calibration: str | os.PathLike[str] | None,
) -> BuildJob:
    """Look up what the arguments of `build` mean, and refuse those that mean nothing."""
    check_one_of("precision", precision, PRECISIONS)
    row, options = row_of(backend), CompileOptions() if options is None else options
    recipe = row.recipe(precision)
    _check_options(options, row)
    folder = None if calibration is None else path_of("calibration", calibration)
    if folder is not None and recipe.int8_form is None:
        refuse_unread(["calibration"], f"with {precision}")
    opened = open_bundle(bundle)
    calibrated: Calibrated | None = None
    if recipe.int8_form is not None:
        calibrated = open_calibration(opened, folder)
    digest = None if calibrated is None else calibrated.sha256
    built_for = built_for_here(opened, precision, row, options, digest)
    if recipe.half and built_for.get("half precision") == "none":
        raise EnvironmentUnfit(
            f"{precision} on {row.name}: this CPU has no units for bf16 or f16 (its features: "
            f"{cpu_features()}); take another precision"
        )
    form = recipe.int8_form or "portable"
    sources = {n: source_of(opened, n, calibrated, form) for n in opened.manifest.engines}
    if recipe.int8_form is not None and all(entry is None for _, entry in sources.values()):
        raise ArtefactMismatch(
            f"{opened.folder}: its calibration leaves every encoder in FP32 in the {form} form, so "
            "int8 engines would hold no INT8; calibrate again with a larger --max-drop, or build "
            "--precision fp32"
        )
    return BuildJob(
        bundle=opened,
        row=row,
        precision=precision,
        options=options,
        built_for=built_for,
        key=key_of(built_for, precision, row),
        sources=sources,
    )


def _advise(job: BuildJob) -> tuple[str, str]:
    """Measure what this device should run, and write it down for `auto` where back ends compete."""
    if all(row is ONNXRUNTIME for row, _ in verified_engines(job.bundle)):
        # A back end that may be taken unasked has several precisions that compete.
        precisions = None if job.row.unasked else [job.precision]
        report = bench(job.bundle, precisions, backend=job.row.name, calls=_CALLS)
    else:
        report = bench(job.bundle, backend=AUTO, calls=_CALLS)
        gains = {
            engines: {s: found[name]["speed_up"] for s, found in report.engine_sets.items()}
            for name, engines in report.engines.items()
        }
        record_fastest(job.bundle, report.engines.get(report.recommended, PORTABLE), gains)
    return report.recommended, report.because


def _check_options(options: CompileOptions, row: BackendRow) -> None:
    """Refuse settings of the compiler that make no sense, or that the back end does not know."""
    if not isinstance(options, CompileOptions):
        raise UsageError(f"options: must be CompileOptions, not {type(options).__name__}")
    given = {name: value for name, value in asdict(options).items() if value is not None}
    strangers = [
        f"--{name.removesuffix('_mib').replace('_', '-')}"
        for name in given
        if name not in row.options
    ]
    refuse_unread(strangers, f"with {row.name}")
    for name, value in given.items():
        if name == "memory_check":
            if not isinstance(value, bool):
                raise UsageError(f"memory_check: must be True or False, not {value!r}")
        elif name != "target":
            check_whole(name, value)
        elif not isinstance(value, str) or re.fullmatch(r"\d+\.\d", value) is None:
            raise UsageError(f"target: must be a compute capability such as '8.9', not {value!r}")


def _make(job: BuildJob, staging: Path, cases: Sequence[Case] | None) -> EngineManifest:
    """Fill `staging` with engines, their record of verification and their manifest."""
    compiled = compile_all(job, staging, lambda name: golden_inputs(job.bundle, name))
    if cases is None:
        _log.info("not verified; every answer of these engines says so")
    else:
        record = prove(job, staging, compiled, cases)
        for warning in record.warnings:
            _log.warning("%s", warning)
        write_bytes(staging / VERIFICATION, to_json(record))
    manifest = describe_engines(job, staging, compiled)
    write_bytes(staging / "manifest.json", to_json(manifest))
    return manifest
