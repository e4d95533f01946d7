"""Copy a bundle to a folder of the user's, to build in it, to calibrate it or to take it along."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trml_rt.bundle.arguments import path_of
from trml_rt.bundle.atomic import check_target, staged_folder
from trml_rt.bundle.calibration import RECORD, has_calibration, open_calibration
from trml_rt.bundle.folder import Bundle, BundleLike, open_bundle
from trml_rt.bundle.need import NEED, has_need, read_need
from trml_rt.errors import UsageError, cannot_write

__all__ = ["BundleCopy", "copy_bundle"]

_MANIFEST = "model.json"


@dataclass(frozen=True)
class BundleCopy:
    """A copy of a bundle.

    Attributes:
        folder: the copy.
        files: number of its files, the manifest included.
        bytes: their size.
    """

    folder: Path
    files: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the copy as JSON-ready values, as `trml-rt bundle copy --json` prints it."""
        return asdict(self) | {"folder": str(self.folder)}


def copy_bundle(
    folder: str | os.PathLike[str], bundle: BundleLike = None, *, force: bool = False
) -> BundleCopy:
    """Copy a bundle, whole or not at all, after comparing the hash of every file.

    Engines are left out: they are built for one device. So is a signature, which tells every file
    of its folder. The calibration is copied, and so is the record of when video is needed.

    Args:
        folder: the folder to make.
        bundle: the bundle, as in `build`.
        force: replace a bundle that is there, its engines and its calibration too.

    Raises:
        UsageError: the folder exists and may not be replaced, or holds what is to be copied.
        ArtefactMismatch: the bundle or its calibration is damaged.
        EnvironmentUnfit: the folder cannot be written, or the disk is full.
    """
    target = path_of("folder", folder)
    opened = open_bundle(bundle)
    if Path(os.path.realpath(opened.folder)).is_relative_to(os.path.realpath(target)):
        raise UsageError(f"{target}: holds the bundle that is to be copied; name another folder")
    check_target(target, marker=_MANIFEST, what="bundle", replace=force)
    names = _files(opened)
    try:
        with staged_folder(target, replace=force) as staging:
            for name in names:
                (staging / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(opened.folder / name, staging / name)
            size = sum((staging / name).stat().st_size for name in names)
    except OSError as error:
        raise cannot_write(target, error, "name another folder") from None
    return BundleCopy(target, len(names), size)


def _files(bundle: Bundle) -> list[str]:
    """Return the checked files to copy, the manifest last (R14)."""
    bundle.verify_files()
    names = list(bundle.manifest.files)
    if has_calibration(bundle):
        calibrated = open_calibration(bundle)
        calibrated.verify_files()
        forms = [form for e in calibrated.record.engines.values() for form in e.forms.values()]
        graphs = dict.fromkeys(form.file for form in forms)
        names += [f"calibration/{name}" for name in (*graphs, RECORD)]
    if has_need(bundle):
        read_need(bundle)
        names.append(NEED)
    return [*names, _MANIFEST]
