"""Golden inputs of single engines: the shapes that they take, and what comes of them."""

from __future__ import annotations

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
    with pytest.raises(ArtefactMismatch, match="it holds one array and not a file for each tensor"):
        golden_answers(Bundle(folder))
