"""Choose back end and engines for a bundle on this device, and keep to what the caller named."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from trml_rt.backends import ONNXRUNTIME, TABLE, Backend, BackendRow, row_of, rows
from trml_rt.bundle.engine_folder import (
    PRECISIONS,
    EngineFolder,
    engine_folders,
    open_engine_folder,
)
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import exported_sets
from trml_rt.bundle.records import refuse
from trml_rt.engines.key import built_for_here, key_of, misfits
from trml_rt.errors import ArtefactMismatch, TrmlError, shell_word

__all__ = ["Choice", "build_command", "choose", "find_engines", "fitting_precisions"]


@dataclass(frozen=True)
class Choice:
    """A back end, the engines that it loads, and what is known of them.

    Attributes:
        backend: loads the engines.
        engines: their name for answers: "portable", or that of the engine folder.
        locate: gives the checked path of an engine's graph.
        passed: the engine sets that were compared with their references and passed.
    """

    backend: Backend
    engines: str
    locate: Callable[[str], Path]
    passed: Collection[str]


def choose(bundle: Bundle, backend: str, precision: str | None, threads: int | None) -> Choice:
    """Return what serves `bundle` here.

    `auto` takes the first back end whose engines fit this device and are verified, else ONNX
    Runtime. A back end or a precision that is named is never replaced.

    Raises:
        UsageError: there is no back end of that name.
        ArtefactMismatch: no engines fit that were named.
        EnvironmentUnfit: the back end that was named, or its device, is not here.
    """
    if backend == "auto":
        for row, candidate in _unasked(bundle, precision):
            if (engines := _verified(bundle, candidate, row)) is not None:
                return _compiled(row, engines, threads)
        row = ONNXRUNTIME
    else:
        row = row_of(backend)
    if precision is not None:
        return _compiled(row, find_engines(bundle, precision, row), threads)
    if row.unasked:
        return _compiled(row, _best(bundle, row), threads)
    manifest = bundle.manifest
    return Choice(
        row.load().open_backend(row.name, threads, compiled=False),
        "portable",
        lambda name: bundle.path(manifest.engines[name].file),
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


def build_command(bundle: Bundle, precision: str, row: BackendRow) -> str:
    """Return the command that builds the engines of `precision` for a back end."""
    named = "" if row is ONNXRUNTIME else f" --backend {row.name}"
    return f"trml-rt build --bundle {shell_word(bundle.folder)} --precision {precision}{named}"


def _compiled(row: BackendRow, engines: EngineFolder, threads: int | None) -> Choice:
    backend = row.load().open_backend(row.name, threads, compiled=True)
    return Choice(backend, engines.folder.name, engines.path, engines.passed_sets())


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


def _verified(bundle: Bundle, precision: str, row: BackendRow) -> EngineFolder | None:
    """Return engines that fit here if every engine set of theirs was compared and passed.

    An error of a back end that nobody named means that its engines do not fit (E4).
    """
    with contextlib.suppress(TrmlError):
        engines = find_engines(bundle, precision, row)
        if engines.is_verified(bundle):
            return engines
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
