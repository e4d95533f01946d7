"""The command `trml-rt train`."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner

from trml_export.training.checkpoint import load_checkpoint
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
    result = _invoke("--data", "d", "--backbone", "b", "--out", tmp_path / "out")
    assert isinstance(result.exception, EnvironmentUnfit)
    assert "training needs the package torch" in str(result.exception)
    assert 'pip install ".[train]"' in str(result.exception)


def test_the_help_ends_in_an_example():
    assert "Example: trml-rt train --data" in _invoke("--help").output.split("\n\n")[-1]
