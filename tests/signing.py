"""Keys to sign bundles with."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def write_keys(
    folder: Path, curve: ec.EllipticCurve, password: str | None = None
) -> tuple[Path, Path]:
    """Write a private and a public key to a new folder; return their paths."""
    key = ec.generate_private_key(curve)
    secret: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        secret = serialization.BestAvailableEncryption(password.encode())
    pem = serialization.Encoding.PEM
    folder.mkdir()
    private, public = folder / "key.pem", folder / "public.pem"
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, secret))
    public.write_bytes(
        key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public
