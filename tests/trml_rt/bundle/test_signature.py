"""A signed bundle: what the signature holds, what breaks it, and the reference tool's word."""

from __future__ import annotations

import base64
import json
import os
import shutil

import pytest

ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec", reason="signs")
signing = pytest.importorskip("model_signing.signing", reason="the reference tool")

from model_signing import hashing, verifying

import trml_rt
from tests.signing import write_keys
from trml_rt.bundle.folder import SIGNATURE
from trml_rt.errors import ArtefactMismatch, UsageError


@pytest.fixture
def keys(tmp_path):
    """The private and the public key of the signer."""
    return write_keys(tmp_path / "keys", ec.SECP256R1())


@pytest.fixture
def signed(bundle_copy, keys):
    """A signed bundle."""
    trml_rt.sign(bundle_copy, keys[0])
    return bundle_copy


def refusal(bundle, key):
    with pytest.raises(ArtefactMismatch) as caught:
        trml_rt.check_signature(bundle, key)
    return str(caught.value)


def test_a_signed_bundle_holds_and_answers(signed, keys):
    files = sum(path.is_file() for path in signed.rglob("*")) - 1
    signature = trml_rt.check_signature(signed, keys[1])
    assert signature.files == files
    assert json.loads(json.dumps(signature.to_dict()))["key"] == signature.key
    with trml_rt.load(signed, signed_by=keys[1]) as runtime:
        assert runtime.infer(text="a good day").inputs["text"].state == "real"


def test_the_reference_tool_verifies_what_is_signed_here(signed, keys):
    check = verifying.Config().use_elliptic_key_verifier(public_key=keys[1])
    check.verify(signed, signed / SIGNATURE)
    (signed / "MODEL_CARD.md").write_text("altered")
    with pytest.raises(ValueError, match=r"MODEL_CARD\.md"):
        check.verify(signed, signed / SIGNATURE)


def test_what_the_reference_tool_signs_holds_here(bundle_copy, keys):
    signing.Config().use_elliptic_key_signer(private_key=keys[0]).sign(
        bundle_copy, bundle_copy / SIGNATURE
    )
    assert trml_rt.check_signature(bundle_copy, keys[1]).files > 0


def test_engines_that_are_there_are_signed_with_the_bundle(bundle_copy, keys):
    built = trml_rt.build(bundle_copy, "fp32").folder
    trml_rt.sign(bundle_copy, keys[0])
    with trml_rt.load(bundle_copy, precision="fp32", signed_by=keys[1]) as runtime:
        assert runtime.infer(text="a good day").engines == built.name
    with (built / "verify.json").open("a") as file:
        file.write(" ")
    assert f"engines/{built.name}/verify.json: differs" in refusal(bundle_copy, keys[1])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda b: (b / "onnx" / "text.onnx").write_bytes(b"x" * 9), "onnx/text.onnx"),
        (lambda b: (b / "engines").mkdir() or (b / "engines" / "x").touch(), "engines/x: is not"),
        (lambda b: (b / ".hidden").touch(), ".hidden: is not signed"),
        (lambda b: (b / "link").symlink_to("/etc"), "link: is a link"),
        (lambda b: (b / "link").symlink_to("model.json"), "link: is a link"),
        (lambda b: os.mkfifo(b / "pipe"), "pipe: is a link, or no regular file"),
        (lambda b: (b / SIGNATURE).unlink(), "is not signed; take a signed bundle"),
        (lambda b: (b / SIGNATURE).write_bytes(b"{}"), "is not a signature of a model"),
        (lambda b: (b / SIGNATURE).write_bytes(b"x" * (17 << 20)), "larger than 16 MiB"),
    ],
    ids=["file", "engines", "hidden", "folder link", "link", "pipe", "none", "empty", "large"],
)
def test_what_differs_from_what_was_signed_is_refused_by_name(signed, keys, change, why):
    change(signed)
    with pytest.raises(ArtefactMismatch, match=why):
        trml_rt.load(signed, signed_by=keys[1])


def test_a_missing_file_that_the_manifest_does_not_name_is_refused(bundle_copy, keys):
    (bundle_copy / "notes.txt").write_text("of the signer")
    trml_rt.sign(bundle_copy, keys[0])
    (bundle_copy / "notes.txt").unlink()
    assert "notes.txt: is missing" in refusal(bundle_copy, keys[1])


def test_a_manifest_that_was_replaced_after_it_was_read_is_refused(signed, keys):
    manifest = signed / "model.json"
    right = manifest.read_bytes()
    manifest.write_bytes(right + b" ")
    opened = trml_rt.Bundle(signed)
    manifest.write_bytes(right)
    assert "model.json: differs" in refusal(opened, keys[1])


def test_another_key_is_refused(signed, tmp_path):
    _, other = write_keys(tmp_path / "others", ec.SECP256R1())
    assert "another key made it" in refusal(signed, other)


def altered(signature, change):
    """Change the signed statement in place, and leave its signature as it is."""
    content = json.loads(signature.read_bytes())
    statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
    change(statement)
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    content["dsseEnvelope"]["payload"] = payload
    signature.write_text(json.dumps(content))


def test_an_altered_statement_is_refused(signed, keys):
    altered(signed / SIGNATURE, lambda statement: statement["predicate"]["resources"].pop())
    assert "or it was altered" in refusal(signed, keys[1])


def test_a_signature_that_leaves_engines_out_is_refused(bundle_copy, keys):
    (bundle_copy / "engines").mkdir()
    config = signing.Config().use_elliptic_key_signer(private_key=keys[0])
    hashed = trml_rt_ignores(bundle_copy, "engines")
    config.set_hashing_config(hashed).sign(bundle_copy, bundle_copy / SIGNATURE)
    assert "leaves engines unsigned" in refusal(bundle_copy, keys[1])


def trml_rt_ignores(bundle, name):
    return hashing.Config().set_ignored_paths(paths=[bundle / name, bundle / SIGNATURE])


def test_commands_write_engines_of_a_signed_bundle_to_the_cache(
    signed, keys, tmp_path, monkeypatch
):
    monkeypatch.setenv("TRML_RT_CACHE", str(tmp_path / "cache"))
    built = trml_rt.build(signed, "fp32").folder
    assert built.is_relative_to(tmp_path / "cache")
    trml_rt.verify(signed, "fp32")
    with trml_rt.load(signed, precision="fp32", signed_by=keys[1]) as runtime:
        assert runtime.infer(text="a good day").engines == built.name


def test_no_command_changes_engines_in_a_signed_bundle(bundle_copy, keys):
    trml_rt.build(bundle_copy, "fp32")
    trml_rt.sign(bundle_copy, keys[0])
    for change in (lambda: trml_rt.verify(bundle_copy, "fp32"), lambda: trml_rt.clean(bundle_copy)):
        with pytest.raises(UsageError, match="lies in a signed bundle"):
            change()
    trml_rt.check_signature(bundle_copy, keys[1])


def test_a_copy_of_a_signed_bundle_is_unsigned(signed, tmp_path):
    copied = trml_rt.copy_bundle(tmp_path / "copy", signed)
    assert not (copied.folder / SIGNATURE).exists()


def test_a_signature_is_replaced_only_when_told(signed, keys):
    with pytest.raises(UsageError, match="exists already; pass --force"):
        trml_rt.sign(signed, keys[0])
    trml_rt.sign(signed, keys[0], force=True)
    trml_rt.check_signature(signed, keys[1])


def test_a_damaged_bundle_is_not_signed(bundle_copy, keys):
    path = bundle_copy / "onnx" / "text.onnx"
    path.write_bytes(b"x".ljust(path.stat().st_size))
    with pytest.raises(ArtefactMismatch, match="differs from its sha256"):
        trml_rt.sign(bundle_copy, keys[0])
    assert not (bundle_copy / SIGNATURE).exists()


def test_the_bundle_of_the_package_is_not_signed_in_place(keys):
    with pytest.raises(UsageError, match="would lie in the installed package"):
        trml_rt.sign(None, keys[0])


def test_two_bundles_do_not_share_a_signature(signed, keys, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(signed, other)
    (other / "notes.txt").write_text("of another")
    assert "notes.txt: is not signed" in refusal(other, keys[1])


def test_a_signer_that_is_no_path_is_called_as_the_caller_calls_it(bundle_copy):
    with pytest.raises(UsageError, match=r"^signed_by: "):
        trml_rt.load(bundle_copy, signed_by=3)
