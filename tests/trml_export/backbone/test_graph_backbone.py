"""The encoders of a bundle are a backbone, and an export puts the same graphs into its bundle."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import trml_rt
from tests.conftest import TINY
from tests.trml_export.to_bundle.checkpoints import checkpoint
from trml_calibration.fp16_stored import store_fp16
from trml_export.backbone.backbone import load_backbone
from trml_export.backbone.graph_backbone import GRAPHS, GraphBackbone, open_graphs
from trml_export.config import Config
from trml_export.features.features import compute_features
from trml_export.to_bundle.export import export
from trml_export.training.checkpoint import load_checkpoint
from trml_rt.bundle.folder import default_bundle
from trml_rt.errors import ArtefactMismatch, UsageError


@pytest.fixture
def graphs() -> GraphBackbone:
    return load_backbone(f"bundle:{TINY}")


def frames_of(backbone, count):
    shape = (count, backbone.preprocessing.height, backbone.preprocessing.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_vectors_are_those_that_the_runtime_computes(graphs):
    frames = frames_of(graphs, 2)
    with trml_rt.load(TINY) as runtime:
        trace = runtime.trace(text="what a good day", video=frames)["text_video"]
    ids = graphs.tokenize(["what a good day"])
    assert ids.shape == (1, graphs.context_length)
    np.testing.assert_allclose(graphs.encode_text(ids), trace["text_vector"], atol=1e-5)
    vectors = graphs.encode_frames(torch.from_numpy(frames))
    np.testing.assert_allclose(vectors, trace["frame_vectors"].reshape(vectors.shape), atol=1e-5)


def test_more_rows_than_an_engine_takes_are_run_in_parts(graphs):
    most = graphs.record.axes.batch.max
    ids = graphs.tokenize(["a day"] * (most + 1))
    assert graphs.encode_text(ids).shape == (most + 1, graphs.size)


def test_default_is_the_bundle_that_ships():
    graphs = load_backbone("default")
    assert graphs.files["text"] == default_bundle() / "onnx" / "text.onnx"
    assert graphs.size == 256


def test_a_saved_backbone_is_opened_again_with_the_same_fingerprint(graphs, tmp_path):
    graphs.save(tmp_path / "saved")
    again = load_backbone(tmp_path / "saved")
    assert again.fingerprint == graphs.fingerprint
    ids = graphs.tokenize(["a day"])
    assert torch.equal(again.encode_text(ids), graphs.encode_text(ids))
    (tmp_path / "saved" / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(ArtefactMismatch, match="not a tokenizer"):
        load_backbone(tmp_path / "saved").tokenize(["a day"])


def test_a_folder_without_graphs_is_none_of_ours(tmp_path):
    assert open_graphs(tmp_path) is None
    assert open_graphs("ViT-B-32-quickgelu") is None


def test_weights_beside_a_bundle_are_refused(tmp_path):
    with pytest.raises(UsageError, match="a bundle has its own weights; leave --weights out"):
        load_backbone("default", weights=tmp_path / "w.safetensors")


def test_a_bundle_with_other_encoders_is_refused(edit_manifest):
    def rename(manifest):
        manifest["engines"]["words"] = manifest["engines"].pop("text")
        for engine_set in manifest["engine_sets"]:
            engine_set["engines"] = ["words" if e == "text" else e for e in engine_set["engines"]]

    with pytest.raises(UsageError, match="has no encoders text and frame of one input each"):
        load_backbone(f"bundle:{edit_manifest(rename)}")


def test_vectors_of_any_length_need_a_model_that_takes_them(graphs, tmp_path):
    raw = replace(graphs, record=graphs.record.model_copy(update={"normalised": False}))
    with pytest.raises(UsageError, match="train with --set normalise=false"):
        compute_features([], raw, Config(), cache=tmp_path)
    raw.check_config(Config(normalise=False))


def test_an_export_keeps_the_graphs_byte_for_byte(graphs, tmp_path):
    trained = checkpoint(tmp_path / "checkpoint", graphs, frames=2)
    assert load_checkpoint(trained).backbone().fingerprint == graphs.fingerprint
    report = export(trained, tmp_path / "bundle", store_weights=store_fp16)
    assert max(report.parity.values()) < 1e-4
    bundle = trml_rt.Bundle(tmp_path / "bundle")
    for name in GRAPHS:
        engine = bundle.manifest.engines[name]
        assert bundle.path(engine.file).read_bytes() == graphs.files[name].read_bytes()
        assert engine == graphs.record.engines[name]
    assert bundle.manifest.engines["fuse_text"].weights == "fp16"
    with trml_rt.load(tmp_path / "bundle") as runtime:
        assert runtime.infer(text="a good day", video=frames_of(graphs, 3)).verified


def test_a_damaged_graph_is_named(graphs, tmp_path):
    graphs.save(tmp_path / "saved")
    (tmp_path / "saved" / "text.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtefactMismatch, match=r"text\.onnx: ONNX Runtime cannot load it"):
        load_backbone(tmp_path / "saved").encode_text(graphs.tokenize(["a day"]))
    shutil.rmtree(tmp_path / "saved")
