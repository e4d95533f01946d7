"""Open a bundle: the manifest checked, every file present, each hashed when first opened."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from trml_rt.bundle.arguments import path_of
from trml_rt.bundle.files import CheckedFile, check_files, check_hash, open_checked, read_record
from trml_rt.bundle.graph import check_graph
from trml_rt.bundle.manifest import Manifest, read_manifest
from trml_rt.errors import ArtefactMismatch

__all__ = ["SIGNATURE", "Bundle", "BundleLike", "default_bundle", "open_bundle"]

SIGNATURE = "model.sig"
"""The name of the signature, in the folder of the bundle that it signs."""

_REMEDY = "copy the bundle again, or export it anew"


class Bundle:
    """A bundle on disk that has passed the checks of its format.

    Opening reads only the manifest and looks at sizes; `path` compares a file's hash the
    first time that file is wanted, so what a call does not need is never opened (R7).
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = path_of("bundle", folder)
        if os.path.islink(self.folder):  # noqa: PTH114 - of a name that is too long, too
            # `trml-rt deploy` changes such links; what was opened stays what it was.
            self.folder = Path(os.path.realpath(self.folder))
        try:
            data = read_record(self.folder / "model.json")
        except OSError as error:
            raise ArtefactMismatch(
                f"{self.folder}: not a bundle: model.json cannot be read ({error.strerror}); "
                "name a folder that `trml-rt export` made"
            ) from None
        self.sha256 = hashlib.sha256(data).hexdigest()
        """Hash of the manifest, which holds all other hashes: names the whole bundle."""
        self.manifest: Manifest = read_manifest(data, str(self.folder / "model.json"))
        check_files(self.folder, self.manifest.files, _REMEDY)
        self._graphs = {engine.file for engine in self.manifest.engines.values()}
        self._verified: set[str] = set()

    def path(self, name: str) -> Path:
        """Return the path of the file `name` after comparing its hash, once.

        Raises:
            ArtefactMismatch: the content is not what the manifest states, or of a graph a part
                lies in another file (R17).
        """
        path, entry = self.folder / name, self.manifest.files[name]
        if name not in self._verified:
            if name in self._graphs:
                with open_checked(path, entry, _REMEDY, check_graph):
                    pass
            else:
                check_hash(path, entry, _REMEDY)
            self._verified.add(name)
        return path

    def open_graph(self, engine: str) -> CheckedFile:
        """Open the graph of an engine after comparing its hash; use it as a context manager.

        Raises:
            ArtefactMismatch: as `path` does.
        """
        name = self.manifest.engines[engine].file
        return open_checked(self.folder / name, self.manifest.files[name], _REMEDY, check_graph)

    @property
    def signed(self) -> bool:
        """Whether a signature lies in the folder, be it right or not."""
        return os.path.lexists(self.folder / SIGNATURE)

    def verify_files(self) -> None:
        """Compare the hash of every file of the bundle."""
        for name in self.manifest.files:
            self.path(name)


def default_bundle() -> Path:
    """Return the folder of the bundle that ships inside the package."""
    return Path(__file__).parents[1] / "default_bundle"


BundleLike = str | os.PathLike[str] | Bundle | None
"""The folder of a bundle, an open one, or None for the one that `open_bundle` finds."""


def open_bundle(bundle: BundleLike = None) -> Bundle:
    """Open a bundle.

    Args:
        bundle: its folder, or an open one, which is returned as it is. None takes the folder
            `TRML_RT_BUNDLE` of the environment, else the bundle that ships inside the package.

    Raises:
        UsageError: `bundle` is no path.
        ArtefactMismatch: the bundle breaks a rule of its format.
    """
    if isinstance(bundle, Bundle):
        return bundle
    if bundle is None:
        bundle = os.environ.get("TRML_RT_BUNDLE") or default_bundle()
    return Bundle(bundle)
