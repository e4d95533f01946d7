"""Remove engines that were built for a bundle, where they lie beside it and in the cache."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trml_rt.backends import row_of
from trml_rt.bundle.atomic import has_partials, remove_folder
from trml_rt.bundle.engine_folder import folders_in, open_engine_folder
from trml_rt.bundle.folder import Bundle, BundleLike, open_bundle
from trml_rt.bundle.places import engine_places
from trml_rt.engines.install import locked
from trml_rt.engines.key import built_for_here, misfits
from trml_rt.errors import ArtefactMismatch, TrmlError

__all__ = ["CleanReport", "clean"]

# Files beside the engine folders: caches of compilers, and what was found fastest.
_KEPT = (".timing-*", ".rtx-cache-*", ".fastest-*")


@dataclass(frozen=True)
class CleanReport:
    """What was removed, or would be.

    Attributes:
        removed: the engine folders, the caches of compilers, and what was found fastest.
        kept: the engine folders that stay, each with why.
        bytes: the size of what was removed.
    """

    removed: list[Path]
    kept: dict[Path, str]
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, as `trml-rt clean --json` prints it."""
        kept = {str(folder): why for folder, why in self.kept.items()}
        return asdict(self) | {"removed": [str(path) for path in self.removed], "kept": kept}


def clean(bundle: BundleLike = None, *, unfit: bool = False, dry_run: bool = False) -> CleanReport:
    """Remove the engines that were built for a bundle, beside it and in the cache.

    A folder without a manifest stays: no build made it. So does the empty lock, for a build may
    wait for it.

    Args:
        bundle: the bundle, as in `build`. It stays as it is.
        unfit: remove only engines that do not fit this device or this bundle, or are damaged.
            Those whose back end cannot say that stay.
        dry_run: say what would be removed, and remove nothing.

    Raises:
        ArtefactMismatch: the bundle is damaged, or a link stands where something is to be removed.
        EnvironmentUnfit: a build holds the lock, or a folder cannot be written.
    """
    opened = open_bundle(bundle)
    removed, kept, freed = list[Path](), dict[Path, str](), 0
    for place in engine_places(opened):
        goes, stays = _judge(opened, place, unfit)
        if not dry_run and (goes or (not unfit and has_partials(place))):
            with locked(opened, place, *goes, instead="clean it as the user who built there"):
                goes, stays = _judge(opened, place, unfit)  # again: a build may have ended
                freed += _remove(goes)
        elif dry_run:
            freed += sum(map(_size, goes))
        removed += goes
        kept |= stays
    return CleanReport(removed, kept, freed)


def _judge(bundle: Bundle, place: Path, unfit: bool) -> tuple[list[Path], dict[Path, str]]:
    """Return what is to be removed from a place, and the engine folders that stay, with why."""
    reasons = {folder: _why_it_stays(bundle, folder, unfit) for folder in folders_in(place)}
    goes = [folder for folder, reason in reasons.items() if reason is None]
    others = [] if unfit else sorted(each for kind in _KEPT for each in place.glob(kind))
    return goes + others, {folder: reason for folder, reason in reasons.items() if reason}


def _remove(paths: list[Path]) -> int:
    """Remove engine folders and files, and return their size."""
    freed = 0
    for path in paths:
        freed += _size(path)
        remove_folder(path) if path.is_dir() else path.unlink()
    return freed


def _size(path: Path) -> int:
    return sum(p.lstat().st_size for p in (path, *path.rglob("*")) if not p.is_dir())


def _why_it_stays(bundle: Bundle, folder: Path, unfit: bool) -> str | None:
    """Say why an engine folder is not to be removed; None: it is."""
    if not (folder / "manifest.json").is_file():
        return "has no manifest.json, so no build made it"
    if not unfit:
        return None
    try:
        engines = open_engine_folder(folder)
        engines.verify_files()
    except ArtefactMismatch:  # damaged
        return None
    try:
        row = row_of(engines.manifest.backend)
        expected = built_for_here(bundle, engines.manifest.precision, row)
    except TrmlError as error:
        return f"nothing here can say whether it fits: {error}"
    return None if misfits(engines, bundle, expected) else "fits this device"
