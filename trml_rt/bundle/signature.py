"""Sign a bundle with a key, and hold a bundle to its signature.

The format is OpenSSF Model Signing v1.0, its method "key": an in-toto statement with the sha256 of
every file of the folder, in a signed envelope. The reference tool, `model_signing`, verifies what
is signed here, and the other way round.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trml_rt.bundle.arguments import path_of
from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.envelope import key_name, open_envelope, private_key, public_key, seal
from trml_rt.bundle.files import sha256_of
from trml_rt.bundle.folder import SIGNATURE, Bundle, BundleLike, open_bundle
from trml_rt.bundle.places import is_shipped
from trml_rt.bundle.records import refuse
from trml_rt.errors import ArtefactMismatch, UsageError, cannot_write

__all__ = ["Signature", "check_signature", "sign"]

# What is not signed: the signature, and what the reference tool leaves out. No runtime reads it.
_LEFT_OUT = (SIGNATURE, ".git", ".gitattributes", ".github", ".gitignore")
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_UNREADABLE = (
    "is signed in another way than is read here: OpenSSF Model Signing v1.0 over files, by sha256, "
    "without links"
)


@dataclass(frozen=True)
class Signature:
    """A signature that holds.

    Attributes:
        file: the signature.
        key: sha256 of the public key in PEM, which names the signer.
        files: number of files that are signed.
    """

    file: Path
    key: str
    files: int

    def to_dict(self) -> dict[str, Any]:
        """Return the signature as JSON-ready values, as `trml-rt check-signature --json` does."""
        return asdict(self) | {"file": str(self.file)}


def sign(
    bundle: BundleLike,
    key: str | os.PathLike[str],
    *,
    password: str | None = None,
    force: bool = False,
) -> Signature:
    """Sign every file in the folder of a bundle, its engines and its calibration too.

    Args:
        bundle: the bundle, as in `build`.
        key: file of the private key: ECDSA on P-256, PEM.
        password: of the key, where it is encrypted.
        force: replace a signature that is there.

    Raises:
        UsageError: the key cannot be used, a signature is there, or the bundle is the one that
            ships inside the package.
        ArtefactMismatch: the bundle is damaged, or holds a link or something else than files.
        EnvironmentUnfit: the package `cryptography` is absent, or nothing can be written.
    """
    private = private_key(path_of("key", key), password)
    opened = open_bundle(bundle)
    file = opened.folder / SIGNATURE
    if is_shipped(opened):
        raise UsageError(
            f"{file}: would lie in the installed package, which no command changes; copy the "
            "bundle with `trml-rt bundle copy`"
        )
    if opened.signed and not force:
        raise UsageError(f"{file}: exists already; pass --force to replace it")
    opened.verify_files()
    digests = _digests(opened.folder)
    payload = json.dumps(_statement(_name_of(opened.folder), digests)).encode()
    try:
        write_bytes(file, seal(payload, private))
    except OSError as error:
        raise cannot_write(file, error, "copy the bundle to a folder of yours") from None
    return Signature(file, key_name(private.public_key()), len(digests))


def check_signature(bundle: BundleLike, key: str | os.PathLike[str]) -> Signature:
    """Hold a bundle to its signature: every file of its folder, and no other.

    Args:
        bundle: the bundle, as in `build`; one that is open is held to the signature as it was read.
        key: file of the public key of the signer: ECDSA on P-256, PEM.

    Raises:
        UsageError: the key cannot be read.
        ArtefactMismatch: there is no signature, another key made it, or a file is not what was
            signed.
        EnvironmentUnfit: the package `cryptography` is absent.
    """
    public = public_key(path_of("key", key))
    opened = open_bundle(bundle)
    file = opened.folder / SIGNATURE
    signed = _signed_files(open_envelope(file, public), str(file))
    _compare(opened, signed, _digests(opened.folder))
    return Signature(file, key_name(public), len(signed))


def _compare(bundle: Bundle, signed: dict[str, str], found: dict[str, str]) -> None:
    """Refuse a folder whose files are not those that were signed."""
    problems = [f"{name}: is missing" for name in sorted(signed.keys() - found.keys())]
    problems += [f"{name}: is not signed" for name in sorted(found.keys() - signed.keys())]
    problems += [
        f"{name}: differs from what was signed"
        for name in sorted(signed.keys() & found.keys())
        if signed[name] != found[name]
    ]
    if not problems and signed.get("model.json") != bundle.sha256:
        problems.append("model.json: differs from what was signed")
    if problems:
        refuse(str(bundle.folder), [*problems, "take the bundle from its signer again"])


def _digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below `folder` that is signed, by its path."""
    problems: list[str] = []
    digests = {}
    try:
        for path in _below(folder):
            parts = path.relative_to(folder).parts
            if parts[0] in _LEFT_OUT:
                continue
            if stat.S_ISREG(path.lstat().st_mode):
                digests["/".join(parts)] = sha256_of(path)
            else:
                problems.append(f"{'/'.join(parts)}: is a link, or no regular file")
    except OSError as error:
        refuse(str(folder), [f"{error.filename}: cannot be read ({error.strerror})"])
    if problems:
        refuse(str(folder), [*problems, "a signed folder holds regular files alone"])
    return digests


def _below(folder: Path) -> Iterator[Path]:
    """Yield everything below `folder` that is no folder, and follow no link."""

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, files in os.walk(folder, onerror=fail):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in sorted([*files, *links]))


def _name_of(folder: Path) -> str:
    return Path(os.path.realpath(folder)).name or "bundle"


def _statement(name: str, digests: dict[str, str]) -> dict[str, Any]:
    ordered = sorted(digests.items())
    root = _root(digest for _, digest in ordered)
    return {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(_LEFT_OUT),
            },
            "resources": [
                {"name": name, "algorithm": "sha256", "digest": digest} for name, digest in ordered
            ],
        },
    }


def _signed_files(statement: dict[str, Any], source: str) -> dict[str, str]:
    """Return the digests of a statement, by file.

    Raises:
        ArtefactMismatch: the statement is of another kind than is read here.
    """
    try:
        predicate = statement["predicate"]
        how = predicate["serialization"]
        known = (
            statement["_type"] == _STATEMENT
            and statement["predicateType"] == _PREDICATE
            and (how["method"], how["hash_type"], how["allow_symlinks"])
            == ("files", "sha256", False)
            and all(each["algorithm"] == "sha256" for each in predicate["resources"])
        )
        signed = {str(each["name"]): str(each["digest"]) for each in predicate["resources"]}
        unsigned = [path for path in how.get("ignore_paths", ()) if path not in _LEFT_OUT]
        [subject] = statement["subject"]
        root = _root(signed[each["name"]] for each in predicate["resources"])
        known = known and subject["digest"]["sha256"] == root
    except (KeyError, TypeError, ValueError, AttributeError):
        known, unsigned = False, []
    if not known:
        raise ArtefactMismatch(f"{source}: {_UNREADABLE}")
    if unsigned:
        paths = ", ".join(map(str, unsigned))
        raise ArtefactMismatch(f"{source}: leaves {paths} unsigned; sign the whole folder")
    return signed


def _root(digests: Iterable[str]) -> str:
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()
