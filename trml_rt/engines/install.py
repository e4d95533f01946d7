"""Put built engines under `engines/<key>`: locked, whole or not at all, found again."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from trml_rt.bundle.atomic import refuse_links, remove_partials, staged_folder
from trml_rt.bundle.engine_folder import EngineManifest, open_engine_folder
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.records import refuse
from trml_rt.engines.key import misfits
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, cannot_write

__all__ = ["fitting_manifest", "install", "locked"]

_log = logging.getLogger(__name__)

LOCK = ".lock"
"""The file of `engines/` that writers lock."""

_LOCK_SECONDS = 600


def install(
    bundle: Bundle,
    target: Path,
    built_for: dict[str, str],
    make: Callable[[Path], EngineManifest],
    *,
    must_be_verified: bool,
    force: bool,
) -> tuple[EngineManifest, bool]:
    """Let `make` fill an empty folder, and put it in place as `target`.

    Args:
        bundle: the bundle that gets the engines.
        target: the folder that the engines get, `engines/<key>` of the bundle.
        built_for: what they are built for; engines that are there and fit are kept.
        make: fills the folder that it is given and returns its manifest.
        must_be_verified: engines that are there serve only if they are verified.
        force: make the engines even if fitting ones are there.

    Returns:
        The manifest, and whether the engines were made anew.

    Raises:
        EnvironmentUnfit: the bundle's folder cannot be written, or the disk is full.
        ArtefactMismatch: a link stands where something is to be written.
    """
    with locked(target.parent, target):
        if target.is_dir() and not force:
            try:
                return fitting_manifest(bundle, target, built_for, must_be_verified), False
            except ArtefactMismatch as error:
                _log.info("building anew, because %s", error)
        with staged_folder(target, replace=True) as staging:
            manifest = make(staging)
        return manifest, True


@contextlib.contextmanager
def locked(engines: Path, target: Path) -> Iterator[None]:
    """Let one writer at a time into the folder `engines`, to write `target` in it.

    What killed writers left is removed first.

    Raises:
        EnvironmentUnfit: another writer does not end, the folder cannot be written, or the disk
            is full.
        ArtefactMismatch: a link stands where something is to be written.
    """
    refuse_links(engines, engines / LOCK, target)
    try:
        engines.mkdir(exist_ok=True)
        lock = filelock.FileLock(engines / LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            _log.info("waiting for another build that holds %s", engines / LOCK)
            lock.acquire(timeout=_LOCK_SECONDS)
        try:
            remove_partials(engines)
            yield
        finally:
            lock.release()
    except filelock.Timeout:
        raise EnvironmentUnfit(
            f"{engines}: another build holds the lock; wait for it to end"
        ) from None
    except OSError as error:
        instead = "copy the bundle to a folder of yours and name it with --bundle"
        raise cannot_write(engines, error, instead) from None


def fitting_manifest(
    bundle: Bundle, target: Path, built_for: dict[str, str], must_be_verified: bool
) -> EngineManifest:
    """Return the manifest of engines that are in `target` already, fit, and are whole.

    Raises:
        ArtefactMismatch: they are not there, are damaged, do not fit, or are not verified.
    """
    engines = open_engine_folder(target)
    if differences := misfits(engines, bundle, built_for):
        refuse(str(target), differences)
    if must_be_verified and not engines.is_verified(bundle):
        refuse(str(target), ["its engines are not verified"])
    engines.verify_files()
    return engines.manifest
