"""The command `trml-rt export`."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from click.testing import CliRunner

from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as program


def _invoke(*arguments):
    return CliRunner().invoke(program, ["export", *map(str, arguments)])


def test_the_command_exports_and_prints_json(checkpoint, exported, take_graphs, tmp_path):
    take_graphs(exported[1], "fuse_text", "fuse_video", "fuse_text_video")  # rounded afterwards
    run = _invoke(checkpoint, "--out", tmp_path / "bundle", "--weights", "fp16", "--json")
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert set(report) == {"bundle", "bytes", "cut", "parity"}
    assert report["bundle"] == str(tmp_path / "bundle")
    manifest = Bundle(tmp_path / "bundle").manifest
    assert (manifest.name, manifest.engines["text"].weights) == ("clip-regression", "fp16")
    assert "graph 5 of 5: exporting fuse_text_video" in run.stderr


def test_a_target_below_a_file_is_refused_before_any_work(checkpoint, tmp_path):
    (tmp_path / "file").write_text("in the way")
    run = _invoke(checkpoint, "--out", tmp_path / "file" / "bundle")
    assert run.exit_code == 3
    assert run.stderr.startswith(f"trml-rt: {tmp_path / 'file' / 'bundle'}: cannot be written")
    assert run.stderr.rstrip().endswith("name another folder")


def test_a_model_card_that_is_a_folder_is_named(checkpoint, tmp_path):
    run = _invoke(checkpoint, "--out", tmp_path / "bundle", "--card", tmp_path)
    assert run.exit_code == 2
    assert run.stderr == (
        f"trml-rt: {tmp_path}: the model card cannot be read (Is a directory); "
        "name a UTF-8 file with --card\n"
    )


def test_the_command_sums_up_for_people(exported):
    run, folder = exported
    assert run.stdout.startswith(f"exported: {folder}, ")
    assert "largest difference to PyTorch" in run.stdout
