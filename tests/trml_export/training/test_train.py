from __future__ import annotations

import errno
import json
import sys
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")


from tests import tiny
from tests.pictures import words_of
from trml_export.config import Config
from trml_export.training.checkpoint import load_checkpoint
from trml_export.training.recipes import RECIPES, choose_recipe
from trml_export.training.train import train
from trml_rt.errors import EnvironmentUnfit, InputUnusable, UsageError


def test_two_runs_of_one_seed_give_equal_numbers(clip_folder, data, tmp_path):
    config = Config(epochs=3, frames=4, batch_size=4)
    one = train(data, clip_folder, tmp_path / "one", config=config)
    two = train(data, clip_folder, tmp_path / "two", config=config)
    assert (one.train, one.valid) == (two.train, two.valid)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_the_report_counts_what_was_there(clip_folder, data, tmp_path):
    report = train(data, clip_folder, tmp_path / "out", config=Config(epochs=1))
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    both = sum(r["split"] == "train" and "text" in r and "video" in r for r in rows)
    assert report.samples["train_text_video"] == both
    assert load_checkpoint(tmp_path / "out").record.training.samples == report.samples


def test_an_undecodable_video_is_trained_without_and_reported(clip_folder, tmp_path):
    data = tiny.dataset(tmp_path / "data")
    (tmp_path / "data" / "v1.png").write_bytes(b"broken")
    report = train(data, clip_folder, tmp_path / "out", config=Config(epochs=1))
    assert [(p.id, p.reason) for p in report.problems] == [("s1", "undecodable")]


def test_a_split_without_one_usable_input_is_refused(clip_folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"broken")
    rows = [
        {"id": "a", "split": "train", "text": "x", "score": 1},
        {"id": "b", "split": "valid", "video": "broken.mp4", "score": 1},
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(InputUnusable, match="no valid sample can be used"):
        train(path, clip_folder, tmp_path / "out")


def test_an_existing_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        train(tmp_path / "none.jsonl", "no-such-model", tmp_path / "out")


def test_a_target_that_cannot_be_written_is_refused_before_any_work(clip_folder, data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentUnfit, match="cannot be written"):
        train(data, clip_folder, tmp_path / "file" / "checkpoint", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_said(clip_folder, data, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(EnvironmentUnfit, match="name another folder with --cache"):
        train(data, clip_folder, tmp_path / "checkpoint", cache=tmp_path / "cache")


def test_a_state_that_cannot_be_removed_is_a_warning_and_the_checkpoint_is_there(
    clip_folder, data, tmp_path, monkeypatch, caplog
):
    unlink = Path.unlink

    def refuse(self, missing_ok=False):
        if self.parent.name == "training":
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    train(data, clip_folder, tmp_path / "out", config=Config(epochs=1))
    load_checkpoint(tmp_path / "out")
    warning = caplog.messages[-1]
    assert warning.endswith(".safetensors: no longer needed, but not removed (Permission denied)")


def test_the_checkpoint_has_the_history_of_each_epoch_and_curves(clip_folder, data, tmp_path):
    pytest.importorskip("matplotlib")
    report = train(data, clip_folder, tmp_path / "out", config=Config(epochs=2, frames=2))
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    assert [each["epoch"] for each in history] == [1, 2]
    assert history[report.best_epoch - 1]["valid"] == report.valid
    lines = (tmp_path / "out" / "history.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,train_loss,valid_loss,valid_text_mae")
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2"]
    words = words_of((tmp_path / "out" / "curves.svg").read_bytes())
    assert {f"epoch {report.best_epoch} of 2 kept", "loss (lower is better)"} <= words
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "out" / "curves.png").unlink()  # nothing reads it
    load_checkpoint(tmp_path / "out")


def test_a_presence_case_at_its_floor_is_said_and_the_lengths_are_recorded(
    clip_folder, data, tmp_path, caplog
):
    config = Config(epochs=1, frames=2, learning_rate=1e-9)  # nothing is learnt
    report = train(data, clip_folder, tmp_path / "out", config=config)
    assert any(remark.startswith("text alone: MAE ") for remark in report.remarks)
    assert set(caplog.messages) >= {f"on valid, {remark}" for remark in report.remarks}
    assert report.lengths["virtual_text"] == pytest.approx(1, abs=1e-5)
    assert load_checkpoint(tmp_path / "out").record.training.lengths == report.lengths


def test_the_recipe_is_chosen_on_valid_and_what_was_tried_stands_beside_the_weights(
    clip_folder, data, tmp_path, monkeypatch
):
    some = {name: RECIPES[name] for name in ("zero", "gated")}
    few = partial(choose_recipe, recipes=some, seeds=2)
    monkeypatch.setattr("trml_export.training.train.choose_recipe", few)
    report = train(
        data, clip_folder, tmp_path / "out", config=Config(epochs=1, frames=2), recipe="auto"
    )
    recorded = json.loads((tmp_path / "out" / "recipes.json").read_text())
    assert recorded["taken"] == report.recipe
    assert [each["recipe"] for each in recorded["tried"]] == ["zero", "gated"]
    config = load_checkpoint(tmp_path / "out").config
    assert all(getattr(config, key) == value for key, value in some[report.recipe].items())
    assert not list((tmp_path / ".trml-cache" / "training").iterdir())


def test_an_unknown_recipe_is_refused(clip_folder, data, tmp_path):
    with pytest.raises(UsageError, match="give auto"):
        train(data, clip_folder, tmp_path / "out", recipe="best")


def test_without_matplotlib_training_says_so_and_goes_on(
    clip_folder, data, tmp_path, monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    train(data, clip_folder, tmp_path / "out", config=Config(epochs=1, frames=2))
    assert "no curves are drawn: drawing needs the package matplotlib" in caplog.text
    assert (tmp_path / "out" / "history.json").exists()
    assert not (tmp_path / "out" / "curves.png").exists()
