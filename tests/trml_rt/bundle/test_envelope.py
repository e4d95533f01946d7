"""Keys that are read, and files that are none."""

from __future__ import annotations

import pytest

ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec", reason="reads keys")

from tests.signing import write_keys
from trml_rt.bundle.envelope import private_key, public_key
from trml_rt.errors import UsageError


def test_an_encrypted_key_wants_its_own_password(tmp_path):
    private, public = write_keys(tmp_path / "keys", ec.SECP256R1(), "secret")
    assert private_key(private, "secret").curve.name == "secp256r1"
    with pytest.raises(UsageError, match=r"is encrypted; .* TRML_RT_KEY_PASSWORD$"):
        private_key(private, None)
    with pytest.raises(UsageError, match="has another password"):
        private_key(private, "guessed")
    assert public_key(public).curve.name == "secp256r1"


def test_a_password_for_a_key_without_one_is_refused(tmp_path):
    private, _ = write_keys(tmp_path / "keys", ec.SECP256R1())
    with pytest.raises(UsageError, match="is not encrypted; give no password"):
        private_key(private, "secret")


@pytest.mark.parametrize("content", [b"", b"no key", b"\0" * 99, b"-----BEGIN PUBLIC KEY-----\n"])
def test_a_file_that_is_no_key_is_refused(tmp_path, content):
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="is not a public key in PEM"):
        public_key(file)
    with pytest.raises(UsageError, match="is not a private key in PEM"):
        private_key(file, None)


def test_an_absent_key_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        public_key(tmp_path / "absent.pem")


def test_a_key_on_another_curve_is_refused(tmp_path):
    private, public = write_keys(tmp_path / "keys", ec.SECP384R1())
    with pytest.raises(UsageError, match="an ECDSA private key on P-256 is needed"):
        private_key(private, None)
    with pytest.raises(UsageError, match="an ECDSA public key on P-256 is needed"):
        public_key(public)
