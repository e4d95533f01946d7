"""The command `trml-rt train`."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner

from trml_export.training.checkpoint import load_checkpoint
from trml_rt.cli import trml_rt as program
from trml_rt.cli.train import train as command
from trml_rt.errors import EnvironmentUnfit


def _invoke(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=True)


def test_the_command_trains_and_prints_json(hf_folder, data, tmp_path):
    result = _invoke(
        *("--data", data, "--backbone", hf_folder, "--out", tmp_path / "out"),
        *("--set", "epochs=1", "--set", "frames=2", "--json"),
    )
    assert json.loads(result.stdout)["epochs"] == 1
    assert load_checkpoint(tmp_path / "out").config.frames == 2


def test_the_command_names_the_extra_that_is_missing(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "trml_export.training.train")
    monkeypatch.delitem(sys.modules, "trml_export.backbone.backbone")
    result = _invoke("--data", tmp_path, "--backbone", "b", "--out", tmp_path / "out")
    assert isinstance(result.exception, EnvironmentUnfit)
    assert "training needs the package torch" in str(result.exception)
    assert 'pip install ".[train]"' in str(result.exception)


def test_the_help_ends_in_an_example():
    assert "Example: trml-rt train --data" in _invoke("--help").output.split("\n\n")[-1]


@pytest.mark.parametrize("option", ["--out", "--cache"])
@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_named(clip_folder, data, tmp_path, option, place):
    (tmp_path / "file").write_text("in the way")
    folders = {"--out": tmp_path / "out", "--cache": tmp_path / "cache", option: tmp_path / place}
    arguments = [
        "--data",
        data,
        "--backbone",
        clip_folder,
        *(x for pair in folders.items() for x in pair),
    ]
    run = CliRunner().invoke(program, ["train", *map(str, arguments)])
    assert run.exit_code == (2 if (option, place) == ("--out", "file") else 3)
    assert run.stderr.startswith(f"trml-rt: {tmp_path / place}")
    assert "name another folder" in run.stderr
    assert not (tmp_path / "out").exists()
