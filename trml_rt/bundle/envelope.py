"""Sign bytes with a key and keep them in one file: a Sigstore bundle around a DSSE envelope.

Keys are ECDSA on P-256, in PEM, as the method "key" of OpenSSF Model Signing has them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trml_rt.bundle.files import read_record
from trml_rt.bundle.records import parse_json
from trml_rt.errors import ArtefactMismatch, UsageError, lacks_package

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

__all__ = ["key_name", "open_envelope", "private_key", "public_key", "seal"]

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"


def seal(payload: bytes, key: EllipticCurvePrivateKey) -> bytes:
    """Return the file that holds `payload`, an in-toto statement in JSON, and its signature."""
    signature = key.sign(_to_sign(payload), _ecdsa())
    content = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": key_name(key.public_key())},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(content).encode() + b"\n"


def open_envelope(file: Path, key: EllipticCurvePublicKey) -> dict[str, Any]:
    """Return the statement in a signature file after checking that `key` signed it.

    Raises:
        ArtefactMismatch: there is no such file, it is damaged, or another key signed it.
    """
    from cryptography.exceptions import InvalidSignature

    content = parse_json(_read(file), str(file))
    try:
        envelope = content["dsseEnvelope"]
        kinds = (content["mediaType"], envelope["payloadType"])
        payload = _from_base64(envelope["payload"])
        [signature] = envelope["signatures"]
        signed = _from_base64(signature["sig"])
    except (KeyError, TypeError, ValueError):
        kinds, payload, signed = ("", ""), b"", b""
    if kinds != (_MEDIA_TYPE, _PAYLOAD_TYPE):
        raise ArtefactMismatch(f"{file}: is not a signature of a model, or is damaged")
    try:
        key.verify(signed, _to_sign(payload), _ecdsa())
    except InvalidSignature:
        raise ArtefactMismatch(
            f"{file}: another key made it, or it was altered; name the public key of the signer, "
            "or take the bundle from its signer again"
        ) from None
    return parse_json(payload, str(file))


def private_key(file: Path, password: str | None) -> EllipticCurvePrivateKey:
    """Read the key of a signer.

    Raises:
        UsageError: the file holds no such key, or the password is not its own.
        EnvironmentUnfit: the package `cryptography` is absent.
    """
    serialization, unreadable = _keys()
    data = _key_data(file)
    try:
        key = serialization.load_pem_private_key(data, password and password.encode())
    except TypeError:  # a password is lacking, or given for nothing
        lack = (
            "is not encrypted; give no password"
            if password
            else "is encrypted; give its password, on the command line with TRML_RT_KEY_PASSWORD"
        )
        raise UsageError(f"{file}: {lack}") from None
    except unreadable:
        raise UsageError(f"{file}: is not a private key in PEM, or has another password") from None
    return cast("EllipticCurvePrivateKey", _on_p256(key, file, "private"))


def public_key(file: Path) -> EllipticCurvePublicKey:
    """Read the key that a signature is checked with.

    Raises:
        UsageError: the file holds no such key.
        EnvironmentUnfit: the package `cryptography` is absent.
    """
    serialization, unreadable = _keys()
    data = _key_data(file)
    try:
        key = serialization.load_pem_public_key(data)
    except unreadable:
        raise UsageError(f"{file}: is not a public key in PEM") from None
    return cast("EllipticCurvePublicKey", _on_p256(key, file, "public"))


def key_name(key: EllipticCurvePublicKey) -> str:
    """Return the sha256 of a public key in PEM, as lower-case hex."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _read(file: Path) -> bytes:
    """Return the bytes of a signature file, which somebody else may have put there."""
    try:
        if file.is_symlink():
            raise ArtefactMismatch(f"{file}: is a link, and a signature is a file")
        return read_record(file)
    except FileNotFoundError:
        raise ArtefactMismatch(
            f"{file.parent}: is not signed; take a signed bundle, or sign it with `trml-rt sign`"
        ) from None
    except OSError as error:
        raise ArtefactMismatch(f"{file}: cannot be read ({error.strerror})") from None


def _from_base64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if len(text) % 4:  # which Python's reader lets pass after padding
        raise ValueError("base64 that is cut short")
    return data


def _to_sign(payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of DSSE v1."""
    head = f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} "
    return head.encode() + payload


def _ecdsa() -> Any:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    return ECDSA(SHA256())


def _keys() -> tuple[Any, tuple[type[Exception], ...]]:
    """Return the reader of keys, and how it says that a file is none."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise lacks_package("a signature", error, "sign") from None
    return serialization, (ValueError, UnsupportedAlgorithm)


def _key_data(file: Path) -> bytes:
    try:
        return read_record(file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}); name a key file") from None


def _on_p256(key: Any, file: Path, kind: str) -> Any:
    if getattr(getattr(key, "curve", None), "name", None) != "secp256r1":
        raise UsageError(f"{file}: is of another kind; an ECDSA {kind} key on P-256 is needed")
    return key
