"""Install built engines under `engines/<key>`: locked, whole or not at all, found again."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from trml_rt.bundle.atomic import remove_partials, staged_folder
from trml_rt.bundle.engine_folder import EngineManifest, open_compiled
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.records import refuse
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit

__all__ = ["BuildReport", "foresee", "install"]

_LOCK_SECONDS = 600


@dataclass(frozen=True)
class BuildReport:
    """What a build did; `built` is false when fitting engines were there already."""

    folder: Path
    built: bool
    manifest: EngineManifest


def install(
    bundle: Bundle,
    key: str,
    built_for: dict[str, str],
    make: Callable[[Path], EngineManifest],
    *,
    verified: bool,
    force: bool,
    progress: Callable[[str], None],
) -> BuildReport:
    """Let `make` fill an empty folder, and put it in place as `engines/<key>`.

    Args:
        bundle: the bundle that gets the engines.
        key: the name of their folder.
        built_for: what they are built for; engines that are there and fit are kept.
        make: fills the folder that it is given and returns its manifest.
        verified: whether engines that are there serve only if they are verified.
        force: make them even if fitting engines are there.
        progress: called with a line if engines that are there do not serve.

    Raises:
        EnvironmentUnfit: the bundle's folder cannot be written, or the disk is full.
    """
    engines = bundle.folder / "engines"
    target = engines / key
    try:
        engines.mkdir(exist_ok=True)
        with filelock.FileLock(engines / ".lock", timeout=_LOCK_SECONDS):
            remove_partials(engines)
            if target.is_dir() and not force:
                try:
                    return BuildReport(target, False, _fitting(bundle, target, built_for, verified))
                except ArtefactMismatch as error:
                    progress(f"building anew, because {error}")
            with staged_folder(target, replace=True) as staging:
                manifest = make(staging)
            return BuildReport(target, True, manifest)
    except filelock.Timeout:
        raise EnvironmentUnfit(
            f"{engines}: another build holds the lock; wait for it to end"
        ) from None
    except OSError as error:
        hint = (
            "free some space and build again"
            if error.errno == errno.ENOSPC
            else "copy the bundle to a folder of yours and name it with --bundle"
        )
        raise EnvironmentUnfit(f"{engines}: cannot be written ({error.strerror}); {hint}") from None


def foresee(
    bundle: Bundle,
    key: str,
    built_for: dict[str, str],
    sources: dict[str, Path],
    *,
    verified: bool,
) -> dict[str, Any]:
    """Say what `install` would do, and write nothing.

    Returns:
        The folder, whether the engines would be built, why, what from, and the fields of the key.
    """
    target = bundle.folder / "engines" / key
    reasons = []
    try:
        _fitting(bundle, target, built_for, verified)
    except ArtefactMismatch as error:
        reasons.append(str(error))
    return {
        "engines": str(target),
        "would_build": bool(reasons),
        "why": reasons,
        "sources": {name: str(path) for name, path in sources.items()},
        "built_for": built_for,
    }


def _fitting(
    bundle: Bundle, target: Path, built_for: dict[str, str], verified: bool
) -> EngineManifest:
    """Return the manifest of engines that are there already, fit, and are whole.

    Raises:
        ArtefactMismatch: they are not there, are damaged, do not fit, or are not `verified`.
    """
    compiled = open_compiled(target)
    if misfits := compiled.misfits(bundle, built_for):
        refuse(str(target), misfits)
    if verified and not compiled.verified():
        refuse(str(target), ["its engines are not verified"])
    compiled.verify_files()
    return compiled.manifest
