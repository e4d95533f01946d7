"""Choose back end and engines for a bundle on this device, and keep to what the caller named."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from trml_rt.backends import ONNXRUNTIME, TABLE, Backend, BackendRow, row_of, rows
from trml_rt.bundle.calibration import calibration_command, has_calibration
from trml_rt.bundle.engine_folder import (
    PRECISIONS,
    EngineFolder,
    engine_folders,
    open_engine_folder,
)
from trml_rt.bundle.files import CheckedFile
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import exported_sets
from trml_rt.bundle.places import is_kept
from trml_rt.bundle.records import refuse
from trml_rt.engines.fastest import read_fastest
from trml_rt.engines.key import built_for_here, key_of, misfits
from trml_rt.errors import ArtefactMismatch, TrmlError, shell_word

__all__ = [
    "Choice",
    "build_command",
    "choose",
    "find_engines",
    "fitting_precisions",
    "verified_engines",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """A back end, the engines that it loads, and what is known of them.

    Attributes:
        backend: loads the engines.
        engines: their name for answers: "portable", or that of the engine folder.
        precision: theirs; portable graphs are held to the limits of "fp32".
        locate: opens an engine's graph, its hash compared.
        passed: the engine sets that were compared with their references and passed.
    """

    backend: Backend
    engines: str
    precision: str
    locate: Callable[[str], CheckedFile]
    passed: Collection[str]


def choose(
    bundle: Bundle, backend: str, precision: str | None, threads: int | None, callers: int
) -> Choice:
    """Return what serves `bundle` here; `threads` and `callers` as in `BackendModule`.

    `auto` takes the engines that a build found fastest here, else those of the first back end that
    it takes unasked, if they fit this device and are verified; else ONNX Runtime. A back end or a
    precision that is named is never replaced.

    Raises:
        UsageError: there is no back end of that name.
        ArtefactMismatch: no engines fit that were named.
        EnvironmentUnfit: the back end that was named, or its device, is not here.
    """
    if isinstance(backend, str) and backend == "auto":
        if (taken := _of_auto(bundle, precision)) is not None:
            return _compiled(*taken, threads, callers)
        row = ONNXRUNTIME
    else:
        row = row_of(backend)
    if precision is not None:
        return _compiled(row, find_engines(bundle, precision, row), threads, callers)
    if row.unasked:
        return _compiled(row, _best(bundle, row), threads, callers)
    manifest = bundle.manifest
    return Choice(
        row.load().open_backend(row.name, threads, callers, compiled=False),
        "portable",
        "fp32",
        bundle.open_graph,
        exported_sets(manifest),
    )


def find_engines(bundle: Bundle, precision: str, row: BackendRow) -> EngineFolder:
    """Return the engines of `precision` for a back end that fit this device (E1, E4).

    Raises:
        UsageError: the back end has no such precision.
        ArtefactMismatch: there are none, or none that fits; names the fields that differ.
        EnvironmentUnfit: the back end, or the device that it needs, is not here.
    """
    expected = built_for_here(bundle, precision, row)
    command = build_command(bundle, precision, row)
    fitting, others = [], []
    for folder in engine_folders(bundle):
        try:
            engines = open_engine_folder(folder)
        except ArtefactMismatch as error:
            others.append(str(error))
            continue
        if (engines.manifest.precision, engines.manifest.backend) != (precision, row.name):
            continue
        if differences := misfits(engines, bundle, expected):
            others.append(f"{folder.name}: " + ", ".join(differences))
        else:
            fitting.append(engines)
    if fitting:
        return _one_of(bundle, fitting, key_of(expected, precision, row))
    if others:
        refuse(f"{bundle.folder}: no {precision} engines fit", [*others, f"build them: {command}"])
    kind = precision if row is ONNXRUNTIME else f"{precision} {row.name}"
    raise ArtefactMismatch(f"{bundle.folder}: no {kind} engines yet; build them: {command}")


def fitting_precisions(bundle: Bundle, row: BackendRow) -> list[str]:
    """Return the precisions of a back end whose engines are built and fit this device.

    Raises:
        EnvironmentUnfit: the back end, or the device that it needs, is not here.
    """
    fitting = []
    for precision in row.recipes:
        with contextlib.suppress(ArtefactMismatch):
            find_engines(bundle, precision, row)
            fitting.append(precision)
    return sorted(fitting, key=PRECISIONS.index)


def verified_engines(bundle: Bundle) -> list[tuple[BackendRow, EngineFolder]]:
    """Return the engines of any back end that fit here and are verified, FP32 first."""
    built = _built(bundle)
    built_in = {row.name for row in TABLE}
    table = TABLE if {name for name, _ in built} <= built_in else rows()
    found = [
        (row, _verified(bundle, candidate, row))
        for candidate in PRECISIONS
        for row in table
        if (row.name, candidate) in built
    ]
    return [(row, engines) for row, engines in found if engines is not None]


def build_command(bundle: Bundle, precision: str, row: BackendRow) -> str:
    """Return the command that builds the engines of `precision` for a back end.

    INT8 of a bundle without a calibration takes one command before it.
    """
    build = _command("build", bundle, precision, row)
    if precision != "int8" or has_calibration(bundle):
        return build
    own = " --calibration calibration" if is_kept(bundle) else ""
    return f"{calibration_command(bundle)}, then {build}{own}"


def _command(verb: str, bundle: Bundle, precision: str, row: BackendRow) -> str:
    named = "" if row is ONNXRUNTIME else f" --backend {row.name}"
    return f"trml-rt {verb} --bundle {shell_word(bundle.folder)} --precision {precision}{named}"


def _compiled(row: BackendRow, engines: EngineFolder, threads: int | None, callers: int) -> Choice:
    backend = row.load().open_backend(row.name, threads, callers, compiled=True)
    name, precision = engines.folder.name, engines.manifest.precision
    return Choice(backend, name, precision, engines.open, engines.passed_sets())


def _one_of(bundle: Bundle, fitting: list[EngineFolder], key: str) -> EngineFolder:
    """Return the engines named `key`, else the first: those differ in builder options only."""
    exact = [engines for engines in fitting if engines.folder.name == key]
    calibrations = {engines.manifest.built_for.get("calibration") for engines in fitting}
    if len(calibrations) > 1 and not exact:
        names = ", ".join(engines.folder.name for engines in fitting)
        refuse(
            f"{bundle.folder}: {len(fitting)} engine folders fit alike",
            [names, "keep those of one calibration, or put it into the bundle"],
        )
    return (exact or fitting)[0]


def _best(bundle: Bundle, row: BackendRow) -> EngineFolder:
    """Return the best engines that fit of a back end that was named without a precision."""
    built = _built(bundle)
    order = [*row.unasked, *(name for name in row.recipes if name not in row.unasked)]
    *better, last = [name for name in order if (row.name, name) in built] or order[:1]
    for precision in better:
        with contextlib.suppress(ArtefactMismatch):
            return find_engines(bundle, precision, row)
    return find_engines(bundle, last, row)


def _of_auto(bundle: Bundle, precision: str | None) -> tuple[BackendRow, EngineFolder] | None:
    """Return the engines that `auto` takes, or None where ONNX Runtime serves (E4, E6)."""
    unasked = None
    reasons: list[str] = []
    for row, candidate in _unasked(bundle, precision):
        if (engines := _verified(bundle, candidate, row, reasons)) is not None:
            unasked = row, engines
            break
    passed_over: list[str] = []
    try:
        record = read_fastest(bundle)
        # Engines that took no part, because they were built since, are not known to be slower.
        if record is not None and (unasked is None or unasked[1].folder.name in record.compared):
            named = _named(bundle, record.engines, precision, passed_over)
            if named is not None:
                return named
    except TrmlError as error:
        passed_over.append(str(error))
    if passed_over:
        _log.warning("not what was fastest: %s", "; ".join(passed_over))
    if unasked is None and reasons:
        _log.warning("onnxruntime answers, since no other engines can: %s", "; ".join(reasons))
    return unasked


def _named(
    bundle: Bundle, name: str, precision: str | None, reasons: list[str]
) -> tuple[BackendRow, EngineFolder] | None:
    """Return the engines in the folder `name`, if they fit, are verified, and of `precision`.

    Why they do not fit, or are not verified, is added to `reasons`.
    """
    for folder in engine_folders(bundle):
        if folder.name == name:
            manifest = open_engine_folder(folder).manifest
            if precision in (None, manifest.precision):
                row = row_of(manifest.backend)
                engines = _verified(bundle, manifest.precision, row, reasons)
                if engines is not None and engines.folder == folder:
                    return row, engines
    return None


def _unasked(bundle: Bundle, precision: str | None) -> list[tuple[BackendRow, str]]:
    """Return what `auto` may take of what is built, best first."""
    built = _built(bundle)
    built_in = {row.name for row in TABLE}
    return [
        (row, candidate)
        for row in (TABLE if {name for name, _ in built} <= built_in else rows())
        if row.unasked
        for candidate in (row.unasked if precision is None else (precision,))
        if (row.name, candidate) in built
    ]


def _verified(
    bundle: Bundle, precision: str, row: BackendRow, reasons: list[str] | None = None
) -> EngineFolder | None:
    """Return engines that fit here if every engine set of theirs was compared and passed.

    An error of a back end that nobody named means that its engines do not fit (E4). Why there are
    none is added to `reasons`.
    """
    try:
        engines = find_engines(bundle, precision, row)
        if engines.is_verified(bundle):
            return engines
        command = _command("verify", bundle, precision, row)
        reason = f"{engines.folder}: not verified; verify it: {command}"
    except TrmlError as error:
        reason = str(error)
    if reasons is not None:
        reasons.append(reason)
    return None


def _built(bundle: Bundle) -> set[tuple[str, str]]:
    """Return back end and precision of every engine folder, fitting or not."""
    built: set[tuple[str, str]] = set()
    for folder in engine_folders(bundle):
        # Whoever names damaged engines is told of the damage; so is who inspects the bundle.
        with contextlib.suppress(ArtefactMismatch):
            manifest = open_engine_folder(folder).manifest
            built.add((manifest.backend, manifest.precision))
    return built
