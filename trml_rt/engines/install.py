"""Put built engines in their place: locked, whole or not at all, found again."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from trml_rt.bundle.atomic import refuse_links, remove_partials, staged_folder
from trml_rt.bundle.engine_folder import (
    EngineFolder,
    EngineManifest,
    engine_folders,
    open_engine_folder,
)
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.places import own_place, place_to_build, refuse_signed
from trml_rt.bundle.records import refuse
from trml_rt.engines.key import misfits
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, cannot_write

__all__ = ["fitting", "install", "locked"]

_log = logging.getLogger(__name__)

LOCK = ".lock"
"""The file of a place of engines that writers lock."""

_LOCK_SECONDS = 600


def install(
    bundle: Bundle,
    key: str,
    built_for: dict[str, str],
    make: Callable[[Path], EngineManifest],
    *,
    must_be_verified: bool,
    force: bool,
) -> tuple[EngineFolder, bool]:
    """Let `make` fill an empty folder, and put it in its place as `key`.

    Args:
        bundle: the bundle that gets the engines.
        key: the name of their folder.
        built_for: what they are built for; engines that are there and fit are kept.
        make: fills the folder that it is given and returns its manifest.
        must_be_verified: engines that are there serve only if they are verified.
        force: make the engines even if fitting ones are there.

    Returns:
        The engines, and whether they were made anew.

    Raises:
        EnvironmentUnfit: there is no place that can be written, or the disk is full.
        ArtefactMismatch: a link stands where something is to be written.
    """
    if not force:
        with contextlib.suppress(ArtefactMismatch):  # engines that fit need no place to write
            return fitting(bundle, key, built_for, must_be_verified), False
    place = place_to_build(bundle, key)
    target = place / key
    with locked(bundle, place, target):
        if not force:
            try:  # again: another build may have ended meanwhile
                return fitting(bundle, key, built_for, must_be_verified), False
            except ArtefactMismatch as error:
                if key in {folder.name for folder in engine_folders(bundle)}:
                    _log.info("building anew, because %s", error)
        with staged_folder(target, replace=True) as staging:
            manifest = make(staging)
        return EngineFolder(target, manifest), True


@contextlib.contextmanager
def locked(
    bundle: Bundle, place: Path, *targets: Path, instead: str | None = None
) -> Iterator[None]:
    """Let one writer at a time into a place of engines, to write `targets` in it.

    What killed writers left is removed first.

    Args:
        bundle: the bundle whose engines lie there.
        place: one of its places of engines; it is made if it is absent.
        targets: what is to be written.
        instead: what to do if the place cannot be written; None: build in another one.

    Raises:
        EnvironmentUnfit: another writer does not end, the place cannot be written, or the disk
            is full.
        ArtefactMismatch: a link stands where something is to be written.
        UsageError: the place lies in a signed bundle.
    """
    import filelock  # here, because an answer needs no lock, and it takes a while to import

    if instead is None and place == own_place(bundle):
        instead = "copy the bundle with `trml-rt bundle copy`, and name the copy with --bundle"
    refuse_links(place, place / LOCK, *targets)
    refuse_signed(bundle, place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(place / LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            _log.info("waiting for another build that holds %s", place / LOCK)
            lock.acquire(timeout=_LOCK_SECONDS)
        try:
            remove_partials(place)
            yield
        finally:
            lock.release()
    except filelock.Timeout:
        raise EnvironmentUnfit(
            f"{place}: another build holds the lock; wait for it to end"
        ) from None
    except OSError as error:
        instead = instead or "name another folder for built engines with TRML_RT_CACHE"
        raise cannot_write(place, error, instead) from None


def fitting(
    bundle: Bundle, key: str, built_for: dict[str, str], must_be_verified: bool
) -> EngineFolder:
    """Return the engines `key` that are there already, fit, and are whole.

    Raises:
        ArtefactMismatch: they are not there, are damaged, do not fit, or are not verified.
    """
    folder = next((path for path in engine_folders(bundle) if path.name == key), None)
    if folder is None:
        raise ArtefactMismatch(f"{bundle.folder}: no engines {key} yet")
    engines = open_engine_folder(folder)
    if differences := misfits(engines, bundle, built_for):
        refuse(str(folder), differences)
    if must_be_verified and not engines.is_verified(bundle):
        refuse(str(folder), ["its engines are not verified"])
    engines.verify_files()
    return engines
