"""A bundle comes into service only if it proves itself; else the old one stays."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import trml_rt
from tests.conftest import TINY, file_entry
from trml_rt.errors import (
    ArtefactMismatch,
    InputUnusable,
    TrmlError,
    UsageError,
    VerificationFailed,
)


@pytest.fixture
def current(tmp_path):
    """A link to the tiny bundle in service."""
    trml_rt.deploy(TINY, tmp_path / "current")
    return tmp_path / "current"


def write_probe(folder, *rows):
    path = folder / "probe.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_bundle_that_proves_itself_is_in_service_and_answers(current, bundle_copy):
    done = trml_rt.deploy(bundle_copy, current, max_ms=60_000)
    assert (done.folder, done.previous, done.changed) == (bundle_copy, TINY, True)
    assert done.ms.keys() == {"text", "video", "text_video"}
    assert all(0 < ms["p50"] <= ms["p90"] for ms in done.ms.values())
    assert json.loads(json.dumps(done.to_dict()))["engines"] == "portable"
    with trml_rt.load(current) as runtime:
        assert runtime.bundle.folder == bundle_copy
        assert runtime.infer(text="a good day").engine_set == "text"


def test_a_bundle_that_is_in_service_is_proved_again_and_nothing_changes(current):
    done = trml_rt.deploy(current, current)
    assert (done.folder, done.previous, done.changed) == (TINY, TINY, False)
    with pytest.raises(UsageError, match="no other bundle was in service before"):
        trml_rt.rollback(current)


def test_the_rows_of_a_probe_are_answered_and_timed(current, bundle_copy, tmp_path):
    probe = write_probe(tmp_path, {"text": "a good day"}, {"id": "b", "text": "bad"})
    assert trml_rt.deploy(bundle_copy, current, probe=probe).rows == 2


@pytest.mark.parametrize(
    ("row", "error", "words"),
    [
        ({"text": "a good day", "video": "none.mp4"}, InputUnusable, "probe.jsonl: row 2: "),
        ({"id": 7, "text": " "}, InputUnusable, "probe.jsonl: row 7: "),
        ({"words": "a"}, UsageError, "line 2: neither text nor video"),
    ],
)
def test_a_row_of_the_probe_without_an_answer_keeps_the_old(
    current, bundle_copy, tmp_path, row, error, words
):
    probe = write_probe(tmp_path, {"text": "a good day"}, row)
    with pytest.raises(error, match=words):
        trml_rt.deploy(bundle_copy, current, probe=probe)
    assert current.resolve() == TINY


def other_answers(bundle):
    """Let a golden file of the bundle hold another prediction."""
    manifest = json.loads((bundle / "model.json").read_text())
    name = manifest["engine_sets"][0]["golden"]
    with np.load(bundle / name) as golden:
        tensors = dict(golden)
    tensors["prediction"] = tensors["prediction"] + np.float32(0.5)
    np.savez(bundle / name, **tensors)
    manifest["files"][name] = file_entry(bundle / name)
    (bundle / "model.json").write_text(json.dumps(manifest))


def damage(bundle):
    path = next(bundle.glob("onnx/*"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "arguments", "error", "words"),
    [
        (
            other_answers,
            {},
            VerificationFailed,
            r"text/score: .*\(portable engines, golden files\)",
        ),
        (damage, {}, ArtefactMismatch, "differs from its sha256"),
        (lambda _: None, {"max_ms": 0}, VerificationFailed, "takes .* ms .* and 0 ms were asked"),
        (lambda _: None, {"max_ms": float("nan")}, UsageError, "max_ms: must be a number"),
        (lambda _: None, {"precision": "int8"}, ArtefactMismatch, "no int8 engines yet"),
    ],
)
def test_a_bundle_that_fails_keeps_the_old(current, bundle_copy, harm, arguments, error, words):
    harm(bundle_copy)
    with pytest.raises(error, match=words):
        trml_rt.deploy(bundle_copy, current, **arguments)
    assert current.resolve() == TINY


def test_engines_are_held_to_the_limits_of_their_precision(current, bundle_copy):
    built = trml_rt.build(bundle_copy, "fp16")
    done = trml_rt.deploy(bundle_copy, current, precision="fp16")
    assert done.engines == built.folder.name


def test_a_bundle_must_be_signed_where_that_is_demanded(current, bundle_copy, tmp_path):
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec", reason="signs")
    from tests.signing import write_keys

    private, public = write_keys(tmp_path / "keys", ec.SECP256R1())
    with pytest.raises(ArtefactMismatch):
        trml_rt.deploy(bundle_copy, current, signed_by=public)
    signature = trml_rt.sign(bundle_copy, private)
    assert trml_rt.deploy(bundle_copy, current, signed_by=public).key == signature.key
    with pytest.raises(ArtefactMismatch):  # the one before is unsigned
        trml_rt.rollback(current, signed_by=public)
    assert current.resolve() == bundle_copy
    assert trml_rt.rollback(current).folder == TINY


def test_a_rollback_to_a_bundle_that_is_gone_keeps_the_new(current, bundle_copy, tmp_path):
    second = shutil.copytree(TINY, tmp_path / "second")
    trml_rt.deploy(bundle_copy, current)
    trml_rt.deploy(second, current)
    shutil.rmtree(bundle_copy)
    with pytest.raises(TrmlError, match="not a bundle"):
        trml_rt.rollback(current)
    assert current.resolve() == second


def test_what_was_opened_through_the_link_stays_what_it_was(current, bundle_copy, edit_manifest):
    with trml_rt.load(current) as runtime:  # engines load with the first call
        edit_manifest(lambda content: content.update(name="new"))
        trml_rt.deploy(bundle_copy, current)
        assert runtime.infer(text="a good day").engine_set == "text"
        assert trml_rt.load(current).bundle.manifest.name == "new"
