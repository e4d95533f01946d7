"""From a checkpoint to a bundle that the runtime answers with, for both kinds of text tower."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import trml_rt
from tests import tiny
from tests.trml_export.to_bundle.checkpoints import checkpoint
from trml_export.backbone.cutting import cutting_is_exact
from trml_export.to_bundle import export as export_module
from trml_export.to_bundle.export import check_parity, export
from trml_export.to_bundle.golden import golden_tensors
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import PARITY
from trml_rt.errors import ArtefactMismatch, UsageError, VerificationFailed
from trml_rt.proof.golden import load_golden

GRAPHS = ("text", "frame", "fuse_text", "fuse_video", "fuse_text_video")


@pytest.fixture
def same_graphs(world, take_graphs):
    """Take the graphs of `world` for its checkpoint rather than trace them again."""
    take_graphs(world[2], *GRAPHS)


def test_the_bundle_is_whole_and_opens(bundle):
    opened = Bundle(bundle)
    opened.verify_files()
    assert sorted(opened.manifest.engines) == [
        *("frame", "fuse_text", "fuse_text_video", "fuse_video", "text")
    ]


def test_no_path_of_this_machine_gets_into_a_bundle(bundle):
    for path in bundle.rglob("*.*"):
        data = path.read_bytes()
        assert b"site-packages" not in data
        assert str(bundle.parent).encode() not in data


def test_the_preprocessing_of_the_backbone_is_that_of_the_bundle(
    tmp_path, hf_folder, hf_world, take_graphs
):
    from trml_export.backbone.backbone import load_backbone

    folder = shutil.copytree(hf_folder, tmp_path / "grey")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= {"resize_mode": "longest", "fill_color": 128}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    backbone = load_backbone(folder)
    take_graphs(hf_world[2], *GRAPHS)  # which hold no resizing
    export(checkpoint(tmp_path / "checkpoint", backbone), tmp_path / "bundle")
    video = Bundle(tmp_path / "bundle").manifest.video
    stated = backbone.config.preprocess
    assert (video.resize, video.interpolation, video.fill) == ("longest", "bicubic", 128)
    assert (video.height, video.width) == (stated.height, stated.width)


def test_every_answer_equals_pytorch_on_the_golden_files(bundle):
    with trml_rt.load(bundle) as rt:
        for engine_set in rt.bundle.manifest.engine_sets:
            golden = load_golden(bundle / engine_set.golden)
            inputs = {name: golden[name] for name in engine_set.inputs}
            tensors, _ = rt._dispatcher.run(engine_set.present, inputs)
            for name, expected in golden.items():
                np.testing.assert_allclose(tensors[name], expected, atol=PARITY)


def test_a_text_answers_as_pytorch_does_on_the_full_sequence(world):
    backbone, trained, bundle = world
    from trml_export.training.checkpoint import load_checkpoint

    model = load_checkpoint(trained).model()
    with torch.inference_mode():
        ids = backbone.tokenize(["a happy day"])
        expected = model.fuse_text(model.text_state(backbone.model.encode_text(ids)))[0]
    with trml_rt.load(bundle) as rt:
        assert rt.infer(text="a happy day").score == pytest.approx(
            float(expected.clamp(-3, 3)), abs=PARITY
        )


def test_a_row_of_a_batch_equals_the_same_row_alone(bundle):
    frames = np.random.default_rng(0).integers(0, 256, (5, 40, 50, 3), dtype=np.uint8)
    rows = [
        trml_rt.Sample(text="a happy day"),
        trml_rt.Sample(text="i hate it so much what a pity cold grey rain", video=frames[:3]),
        trml_rt.Sample(video=frames),
        trml_rt.Sample(text="rain", video=frames[3:]),
        trml_rt.Sample(video=frames[:1]),
    ]
    with trml_rt.load(bundle) as rt:
        together = [answer.score for answer in rt.infer_batch(rows)]
        alone = [rt.infer(text=row.text, video=row.video).score for row in rows]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_manifest_carries_the_training_record(bundle):
    manifest = Bundle(bundle).manifest
    assert manifest.name == "tiny"
    assert manifest.training["record"]["train"] == {"loss": 1.0}
    assert manifest.parity["text/prediction"] <= PARITY


def test_a_tower_that_sees_its_padding_is_not_cut(tmp_path, clip_world, take_graphs):
    folder = tiny.clip_backbone(tmp_path / "blind")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["no_causal_mask"] = True
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    from trml_export.backbone.backbone import load_backbone

    backbone = load_backbone(folder)
    assert not cutting_is_exact(backbone)
    trained = checkpoint(tmp_path / "checkpoint", backbone)
    take_graphs(clip_world[2], *(name for name in GRAPHS if name != "text"))
    export(trained, tmp_path / "bundle")
    manifest = Bundle(tmp_path / "bundle").manifest
    assert not manifest.text.cut
    assert manifest.engines["text"].inputs[0].shape == ["batch", tiny.CONTEXT]
    with trml_rt.load(tmp_path / "bundle") as rt:
        assert rt.infer(text="a happy day").inputs["text"].tokens < tiny.CONTEXT


def test_fp16_weights_keep_the_parity_and_are_in_the_manifest(world, tmp_path):
    from trml_calibration.fp16_stored import store_fp16

    report = export(world[1], tmp_path / "half", store_weights=store_fp16)
    # PyTorch computes with the rounded weights, so rounding is no difference.
    assert max(report.parity.values()) <= PARITY
    assert Bundle(tmp_path / "half").manifest.engines["text"].weights == "fp16"


def test_classification_exports_its_labels(hf, hf_world, take_graphs, tmp_path):
    labels = ("anger", "joy", "neutral")
    trained = checkpoint(tmp_path / "c", hf, task="classification", labels=labels, mask_bits=True)
    take_graphs(hf_world[2], "text", "frame")  # nothing of them is trained
    export(trained, tmp_path / "bundle")
    with trml_rt.load(tmp_path / "bundle") as rt:
        answer = rt.infer(text="a happy day")
    assert list(answer.probabilities) == list(labels)
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_graphs_that_differ_from_pytorch_fail_and_leave_nothing(
    world, same_graphs, tmp_path, monkeypatch
):
    def wrong(*args, **kwargs):
        golden = golden_tensors(*args, **kwargs)
        golden["video"]["prediction"] = golden["video"]["prediction"] + 0.01
        return golden

    monkeypatch.setattr(export_module, "golden_tensors", wrong)
    with pytest.raises(VerificationFailed, match=r"video/prediction differs by 0\.01"):
        export(world[1], tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_alone_is_fed_pytorchs_tensors_and_a_set_those_of_its_own_graphs(bundle):
    manifest = Bundle(bundle).manifest
    golden = {s.name: load_golden(bundle / s.golden) for s in manifest.engine_sets}
    assert max(check_parity(manifest, bundle, golden).values()) <= PARITY
    vectors = golden["video"]["frame_vectors"]
    golden["video"]["frame_vectors"] = vectors + np.float32(0.1)
    with pytest.raises(VerificationFailed) as refused:
        check_parity(manifest, bundle, golden)
    differing = {
        line.split(" differs")[0] for line in str(refused.value).split(": ")[1].split("; ")
    }
    assert differing >= {
        *("frame alone/frame_vectors", "video/frame_vectors"),
        *("fuse_video alone/prediction", "fuse_video alone/virtual_text"),
    }
    assert differing.isdisjoint({"video/prediction", "video/virtual_text"})


def test_an_existing_bundle_is_kept_unless_forced(world, tmp_path):
    shutil.copytree(world[2], tmp_path / "bundle")
    with pytest.raises(UsageError, match="exists already"):
        export(world[1], tmp_path / "bundle")


def test_force_does_not_replace_a_folder_that_is_no_bundle(world, tmp_path):
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(UsageError, match="is not a bundle"):
        export(world[1], tmp_path, force=True)
    assert (tmp_path / "diary.txt").exists()


def test_a_changed_checkpoint_is_refused(world, tmp_path):
    damaged = shutil.copytree(world[1], tmp_path / "checkpoint")
    data = bytearray((damaged / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (damaged / "model.safetensors").write_bytes(data)
    with pytest.raises(ArtefactMismatch, match=r"model\.safetensors"):
        export(damaged, tmp_path / "bundle")


def test_a_model_card_that_is_absent_is_a_usage_error(world, tmp_path):
    with pytest.raises(UsageError, match="model card cannot be read"):
        export(world[1], tmp_path / "bundle", card=tmp_path / "absent.md")


def test_exporting_says_which_graph_it_is_at(world, same_graphs, tmp_path, caplog):
    with caplog.at_level("INFO", "trml_export"):
        export(world[1], tmp_path / "bundle")
    steps = [f"graph {n} of 5: exporting {name}" for n, name in enumerate(GRAPHS, 1)]
    said = [m for m in caplog.messages if "the last block" not in m]
    assert said == ["opening the encoders", *steps, "comparing with PyTorch"]


def test_exporting_says_which_last_blocks_compute_one_token(world, same_graphs, tmp_path, caplog):
    with caplog.at_level("INFO", "trml_export"):
        export(world[1], tmp_path / "bundle")
    one = "the last block computes the one token that is read"
    all_of_them = "the last block computes all tokens, because all of them are read"
    text = one if world[0].causal else all_of_them
    assert [m for m in caplog.messages if "the last block" in m] == [
        f"text: {text}",
        f"frame: {one}",
    ]


def test_a_bert_that_reads_its_class_token_computes_that_alone_and_answers_as_before(
    tmp_path, hf_folder, hf_world, take_graphs, caplog
):
    from trml_export.backbone.backbone import load_backbone

    folder = shutil.copytree(hf_folder, tmp_path / "cls")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_pooler_type"] = "cls_last_hidden_state_pooler"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    take_graphs(hf_world[2], *(name for name in GRAPHS if name != "text"))
    source = checkpoint(tmp_path / "checkpoint", load_backbone(folder))
    with caplog.at_level("INFO", "trml_export"):
        report = export(source, tmp_path / "bundle")
    assert "text: the last block computes the one token that is read" in caplog.messages
    assert report.cut
    assert max(report.parity.values()) <= PARITY


def test_the_model_card_travels_in_the_bundle(world, same_graphs, tmp_path):
    (tmp_path / "card.md").write_text("# Tiny\n")
    export(world[1], tmp_path / "bundle", card=tmp_path / "card.md")
    assert Bundle(tmp_path / "bundle").path("MODEL_CARD.md").read_text() == "# Tiny\n"
