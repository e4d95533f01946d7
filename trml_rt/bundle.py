"""Open a bundle: the manifest checked, every file present, each hashed when first opened."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from trml_rt.errors import ArtefactMismatch
from trml_rt.manifest import FileEntry, Manifest, path_problem, read_manifest, refuse

__all__ = ["Bundle", "check_files", "default_bundle", "describe_files", "sha256_of"]


class Bundle:
    """A bundle on disk that has passed the checks of its format.

    Opening reads only the manifest and looks at sizes; `path` compares a file's hash the
    first time that file is wanted, so what a call does not need is never opened (R7).
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            data = (self.folder / "model.json").read_bytes()
        except OSError as error:
            raise ArtefactMismatch(
                f"{self.folder}: not a bundle: model.json cannot be read ({error.strerror}); "
                "name a folder that `trml-rt export` made"
            ) from None
        self.sha256 = hashlib.sha256(data).hexdigest()
        """Hash of the manifest, which holds all other hashes: names the whole bundle."""
        self.manifest: Manifest = read_manifest(data, str(self.folder / "model.json"))
        check_files(self.folder, self.manifest.files)
        self._verified: set[str] = set()

    def path(self, name: str) -> Path:
        """Return the path of the file `name` after comparing its hash, once.

        Raises:
            ArtefactMismatch: the content is not what the manifest states.
        """
        path = self.folder / name
        if name not in self._verified:
            check_hash(path, self.manifest.files[name])
            self._verified.add(name)
        return path

    def verify_files(self) -> None:
        """Compare the hash of every file of the bundle."""
        for name in self.manifest.files:
            self.path(name)


def default_bundle() -> Path:
    """Return the folder of the bundle that ships inside the package."""
    return Path(__file__).parent / "default_bundle"


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in lower-case hex, reading it in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, FileEntry]:
    """Return the entries of `files` for `names` under `folder`."""
    return {
        name: FileEntry(sha256=sha256_of(folder / name), bytes=(folder / name).stat().st_size)
        for name in sorted(names)
    }


def check_files(folder: Path, files: dict[str, FileEntry]) -> None:
    """Refuse a folder in which a listed file is absent, outside, or of another size (R4, R6).

    Raises:
        ArtefactMismatch: listing every such file.
    """
    problems = []
    root = folder.resolve()
    for name, entry in files.items():
        path = folder / name
        if problem := path_problem(name):
            problems.append(problem)
        elif not path.is_file():
            problems.append(f"{name}: file is missing")
        elif not path.resolve().is_relative_to(root):
            problems.append(f"{name}: leads out of the folder through a link")
        elif (size := path.stat().st_size) != entry.bytes:
            problems.append(f"{name}: {entry.bytes} bytes expected, {size} found")
    if problems:
        refuse(str(folder), problems)


def check_hash(path: Path, entry: FileEntry) -> None:
    """Refuse a file whose content is not what its entry states (R7).

    Raises:
        ArtefactMismatch: naming the file.
    """
    if sha256_of(path) != entry.sha256:
        raise ArtefactMismatch(
            f"{path}: the content differs from its sha256 in the manifest; "
            "copy the bundle again, or export it anew"
        )
