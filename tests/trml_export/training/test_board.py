from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")

from trml_export.training.board import check_board, open_board
from trml_rt.errors import EnvironmentUnfit

RECORD = {"epoch": 1, "train_loss": 0.5, "valid": {"loss": 0.75, "text_mae": 0.25}}


def test_without_a_folder_nothing_is_written_and_no_package_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with open_board(None) as watch:
        watch(RECORD)


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(
        EnvironmentUnfit, match=r'TensorBoard needs .*pip install "\.\[tensorboard\]"'
    ):
        check_board(tmp_path)


def test_tensorboard_reads_every_loss_and_metric_of_an_epoch(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with open_board(tmp_path / "run") as watch:
        watch(RECORD)
        watch(RECORD | {"epoch": 2, "train_loss": 0.25})
    read = EventAccumulator(str(tmp_path / "run")).Reload()
    assert sorted(read.Tags()["scalars"]) == ["loss/train", "loss/valid", "valid/text_mae"]
    assert [(e.step, e.value) for e in read.Scalars("loss/train")] == [(1, 0.5), (2, 0.25)]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentUnfit, match="name another folder with --tensorboard"):
        check_board(tmp_path / "file")
