from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file

from trml_export.config import Config
from trml_export.method.model import TRML
from trml_export.training.checkpoint import (
    TrainingRecord,
    check_checkpoint_target,
    load_checkpoint,
    model_name,
    save_checkpoint,
)
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError

TRAINING = TrainingRecord(
    data_sha256="0" * 64, samples={}, epochs=2, best_epoch=1, train={"loss": 0.5}, valid={}
)


@pytest.fixture
def saved(hf, tmp_path):
    """A checkpoint, and the model that is in it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TRML(Config(frames=4, mask_bits=True), hf.size).eval()
    save_checkpoint(tmp_path / "out", model, hf, TRAINING)
    return tmp_path / "out", model


def _edit(folder, change) -> None:
    record = json.loads((folder / "trml.json").read_text())
    change(record)
    (folder / "trml.json").write_text(json.dumps(record))


def test_a_checkpoint_gives_the_same_model_back(saved):
    folder, model = saved
    checkpoint = load_checkpoint(folder)
    text = torch.randn(2, model.size)
    assert checkpoint.config == model.config
    assert checkpoint.record.training == TRAINING
    assert torch.equal(checkpoint.model().fuse_text(text)[0], model.fuse_text(text)[0])


@pytest.mark.parametrize("folder", ["checkpoint", "a/Model", "/"])
def test_a_folder_that_says_nothing_leaves_the_name_to_the_backbone_and_the_task(folder):
    assert model_name(Path(folder), "ViT-B-32", Config()) == "ViT-B-32-regression"


def test_a_model_has_the_name_of_its_folder(saved, tmp_path):
    moved = saved[0].rename(tmp_path / "moods-7")
    assert load_checkpoint(moved).name == "moods-7"


def test_a_checkpoint_carries_its_backbone(saved, hf, tmp_path):
    folder, _ = saved
    moved = folder.rename(tmp_path / "elsewhere")
    assert load_checkpoint(moved).backbone().fingerprint == hf.fingerprint


def test_a_loaded_model_is_in_eval_mode(saved):
    assert not load_checkpoint(saved[0]).model().training


def test_no_path_of_this_machine_is_written(saved, hf_folder):
    folder, _ = saved
    texts = [path.read_text() for path in folder.rglob("*.json")]
    assert not any(str(hf_folder.parent) in text for text in texts)


def test_a_newer_schema_is_refused_in_one_sentence(saved):
    _edit(saved[0], lambda record: record.update(schema=2, novelty=1))
    with pytest.raises(ArtefactMismatch, match=r"schema 2 is newer .* reads \(1\); upgrade"):
        load_checkpoint(saved[0])


@pytest.mark.parametrize("part", ["record", "config", "backbone", "training"])
def test_an_unknown_key_is_refused(saved, part):
    def add(record):
        (record if part == "record" else record[part])["novelty"] = 1

    _edit(saved[0], add)
    with pytest.raises(ArtefactMismatch, match="novelty"):
        load_checkpoint(saved[0])


def test_a_checkpoint_older_than_equal_lengths_gives_the_model_that_it_was(saved):
    folder, model = saved
    _edit(folder, lambda record: record["config"].pop("equal_lengths"))
    loaded = load_checkpoint(folder)
    assert not loaded.config.equal_lengths
    text = torch.randn(2, model.size)
    older = TRML(model.config.model_copy(update={"equal_lengths": False}), model.size).eval()
    older.load_state_dict(model.state_dict())
    assert torch.equal(loaded.model().fuse_text(text)[0], older.fuse_text(text)[0])


@pytest.mark.parametrize("name", ["model.safetensors", "backbone/text/vocab.txt"])
def test_a_changed_file_is_refused_by_name(saved, name):
    path = saved[0] / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()  # it may be a hard link
    path.write_bytes(data)
    with pytest.raises(ArtefactMismatch, match=f"changed since it was written: {name}"):
        load_checkpoint(saved[0])


def test_a_missing_file_is_refused_by_name(saved):
    (saved[0] / "backbone" / "model.safetensors").unlink()
    with pytest.raises(ArtefactMismatch, match=r"backbone/model.safetensors: file is missing"):
        load_checkpoint(saved[0])


def test_weights_of_another_model_are_refused(saved):
    folder, _ = saved
    save_file({"other": torch.zeros(1)}, folder / "model.safetensors")
    from trml_rt.bundle.files import describe_files

    entry = describe_files(folder, ["model.safetensors"])["model.safetensors"]
    _edit(folder, lambda record: record["files"].update({"model.safetensors": entry.model_dump()}))
    with pytest.raises(ArtefactMismatch, match="does not fit its configuration"):
        load_checkpoint(folder).model()


def test_a_folder_without_a_record_is_no_checkpoint(tmp_path):
    with pytest.raises(UsageError, match="not a checkpoint"):
        load_checkpoint(tmp_path)


def test_an_existing_checkpoint_is_kept_without_force(saved, hf):
    with pytest.raises(UsageError, match="--force"):
        save_checkpoint(saved[0], saved[1], hf, TRAINING)


def test_force_replaces_a_checkpoint(saved, hf):
    save_checkpoint(saved[0], TRML(Config(frames=12), hf.size), hf, TRAINING, force=True)
    assert load_checkpoint(saved[0]).config.frames == 12


def test_force_replaces_nothing_but_a_checkpoint(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is not a checkpoint"):
        check_checkpoint_target(tmp_path, force=True)


def test_a_failed_save_leaves_nothing_behind(hf, tmp_path, monkeypatch):
    def fail(self, folder):
        raise OSError("disk full")

    monkeypatch.setattr(type(hf), "save", fail)
    out = tmp_path / "out"
    with pytest.raises(EnvironmentUnfit, match=f"^{out}: cannot be written .disk full.; .*--out$"):
        save_checkpoint(out, TRML(Config(), hf.size), hf, TRAINING)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_named(saved, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("trml_export.training.checkpoint.sha256_of", refuse)
    with pytest.raises(ArtefactMismatch, match=r"cannot be read \(Permission denied\); copy"):
        load_checkpoint(saved[0])
