"""The command `trml-rt encode`."""

from __future__ import annotations

import json
import logging

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner

from trml_export.config import Config
from trml_export.training.train import train
from trml_rt.cli import trml_rt as program


def invoke(*words):
    return CliRunner().invoke(program, ["encode", *map(str, words)])


def test_training_finds_all_that_the_command_encoded(clip_folder, data, tmp_path, caplog):
    words = ("--data", data, "--backbone", clip_folder, "--cache", tmp_path / "cache")
    run = invoke(*words, "--set", "frames=2", "--device", "cpu")
    assert run.exit_code == 0, run.output
    assert f"encoded: {tmp_path / 'cache'} holds " in run.stdout
    caplog.clear()
    config = Config(frames=2, epochs=1)
    train(data, clip_folder, tmp_path / "out", config=config, cache=tmp_path / "cache")
    assert [line for line in caplog.messages if "to encode" in line] == []


def test_the_report_counts_contents_once_and_names_unusable_inputs(clip_folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 20)
    rows = [
        {"id": "a", "split": "train", "text": "so", "video": "broken.mp4", "score": 0},
        {"id": "b", "split": "test", "text": "so", "score": 1},
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("--data", tmp_path / "data.jsonl", "--backbone", clip_folder)
    run = invoke(*words, "--cache", tmp_path / "cache", "--json")
    report = json.loads(run.stdout)
    assert (report["samples"], report["texts"], report["clips"]) == (2, 1, 0)
    assert [problem["reason"] for problem in report["problems"]] == ["undecodable"]
    assert (report["processes"], report["encoded_in"]) == (1, "float32")


def test_a_data_set_without_rows_is_refused(clip_folder, tmp_path):
    (tmp_path / "data.jsonl").write_text("")
    words = ("--data", tmp_path / "data.jsonl", "--backbone", clip_folder)
    run = invoke(*words, "--cache", tmp_path / "cache")
    assert run.exit_code == 2
    assert (
        run.stderr
        == f"trml-rt: {tmp_path / 'data.jsonl'}: holds no row; there is nothing to encode\n"
    )


def test_a_process_that_is_not_the_first_says_nothing(clip_folder, data, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")  # a launcher's; the report is the first one's in this test
    words = ("--data", data, "--backbone", clip_folder, "--cache", tmp_path / "cache")
    assert invoke(*words, "--set", "frames=2").stderr == ""
    assert logging.getLogger("trml_export").level == logging.NOTSET


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_named(clip_folder, data, tmp_path):
    words = ("--data", data, "--backbone", clip_folder, "--cache", tmp_path / "cache")
    run = invoke(*words, "--device", "cuda")
    assert run.exit_code == 3
    assert run.stderr.startswith("trml-rt: cuda: PyTorch")
