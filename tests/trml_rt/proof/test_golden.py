"""Golden inputs of single engines: the shapes that they take, and what comes of them."""

from __future__ import annotations

import contextlib
import os
import zipfile

import numpy as np
import onnxruntime
import pytest

from tests.conftest import TINY, file_entry
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch
from trml_rt.proof.golden import golden_answers, golden_inputs, load_golden

SETS = {
    "text": "text",
    "frame": "video",
    "fuse_text": "text",
    "fuse_video": "video",
    "fuse_text_video": "text_video",
}


@pytest.mark.parametrize("engine", SETS)
def test_the_golden_inputs_of_an_engine_give_its_golden_outputs_row_by_row(engine):
    bundle = Bundle(TINY)
    spec = bundle.manifest.engines[engine]
    session = onnxruntime.InferenceSession(bundle.path(spec.file))
    rows = [session.run(None, row) for row in golden_inputs(bundle, engine)]
    golden = load_golden(TINY / "golden" / f"{SETS[engine]}.npz")
    names = [output.name for output in session.get_outputs()]
    for name, given in zip(names, zip(*rows, strict=True), strict=True):
        np.testing.assert_allclose(np.concatenate(given), golden[name], atol=1e-6)


def test_a_golden_file_without_a_tensor_is_refused(bundle_copy, edit_manifest):
    path = bundle_copy / "golden" / "video.npz"
    golden = dict(np.load(path))
    del golden["frame_vectors"]
    np.savez(path, **golden)
    folder = edit_manifest(lambda m: m["files"].update({"golden/video.npz": file_entry(path)}))
    with pytest.raises(ArtefactMismatch, match=r"golden/video\.npz: must hold the inputs"):
        golden_inputs(Bundle(folder), "fuse_video")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: {"ids": g["ids"][0]}, r"ids: int32 of shape .* expected, int32 of shape \(6,\)"),
        (lambda g: {name: value[:0] for name, value in g.items()}, "ids: int32 of shape"),
        (lambda g: {"prediction": g["prediction"].astype(float)}, "float32 of shape .*, float64"),
        (lambda g: {"text_vector": g["text_vector"][:1]}, "text_vector: float32 of shape"),
    ],
)
def test_a_golden_tensor_of_another_type_or_shape_is_refused(
    bundle_copy, edit_manifest, change, words
):
    path = bundle_copy / "golden" / "text.npz"
    golden = dict(np.load(path))
    np.savez(path, **golden | change(golden))
    folder = edit_manifest(lambda m: m["files"].update({"golden/text.npz": file_entry(path)}))
    with pytest.raises(ArtefactMismatch, match=words):
        golden_answers(Bundle(folder))


def test_one_array_is_no_golden_file(bundle_copy, edit_manifest):
    path = bundle_copy / "golden" / "text.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    folder = edit_manifest(lambda m: m["files"].update({"golden/text.npz": file_entry(path)}))
    with pytest.raises(ArtefactMismatch, match="not a golden file: File is not a zip file"):
        golden_answers(Bundle(folder))


def npy(header: str, data: bytes = b"") -> bytes:
    """A .npy file with any header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def shaped(shape: str, kind: str = "<f4") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy(shaped("(1000000000000,)")), r"float32 of shape \(10+,\) does not take 0 bytes"),
        (npy(shaped("(2,)"), b"\0" * 9), "does not take 9 bytes"),
        (npy(shaped("(-2, -2)"), b"\0" * 16), "unknown dimension"),
        (npy(shaped("(1,)", "|O"), b"\x80\x04K\x01."), "it holds Python objects"),
        (npy("(" * 117), ""),  # of which numpy's parser of Python raises an error of its own
        (b"\x93NUMPY\x09\x00", r"an array of version \(9, 0\)"),
        (b"", ""),
    ],
)
def test_an_array_that_lies_is_refused(tmp_path, data, words):
    with zipfile.ZipFile(tmp_path / "it.npz", "w") as archive:
        archive.writestr("ids.npy", data)
    with pytest.raises(ArtefactMismatch, match=f"it.npz: not a golden file: .*{words}"):
        load_golden(tmp_path / "it.npz")


def test_a_golden_file_that_claims_to_unfold_to_gigabytes_is_refused_unread(tmp_path):
    data = bytearray((TINY / "golden" / "text.npz").read_bytes())
    size = data.index(b"PK\x01\x02") + 24  # in the archive's directory, of its first entry
    data[size : size + 4] = (3 << 30).to_bytes(4, "little")
    (tmp_path / "it.npz").write_bytes(data)
    with pytest.raises(ArtefactMismatch, match="its tensors have more than 1 GiB"):
        load_golden(tmp_path / "it.npz")


def test_a_pipe_is_no_golden_file(tmp_path):
    os.mkfifo(tmp_path / "it.npz")
    with pytest.raises(ArtefactMismatch, match="not a regular file"):
        load_golden(tmp_path / "it.npz")


@pytest.mark.parametrize("seed", range(100))
def test_any_change_of_a_golden_file_is_read_or_refused(tmp_path, seed):
    random = np.random.default_rng(seed)
    data = bytearray((TINY / "golden" / "text.npz").read_bytes())
    for at in random.integers(0, len(data), 3):
        data[at] = random.integers(256)
    (tmp_path / "it.npz").write_bytes(data)
    with contextlib.suppress(ArtefactMismatch):
        assert load_golden(tmp_path / "it.npz")
