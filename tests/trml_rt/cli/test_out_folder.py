"""A command's report as a folder: whole, never over something else, refused before the work."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from trml_rt.build import build
from trml_rt.cli import trml_rt as program


@pytest.fixture
def run():
    return lambda *words: CliRunner().invoke(program, [str(word) for word in words])


def test_bench_writes_json_and_pictures_and_replaces_them_only_by_force(run, bundle_copy, tmp_path):
    pytest.importorskip("matplotlib")
    words = ("bench", "--bundle", bundle_copy, "--calls", 1, "--out", tmp_path / "out")
    assert run(*words).exit_code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["bench.json", "bench.png", "bench.svg"]
    content = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert content["recommended"] == "portable"
    again = run(*words)
    assert again.exit_code == 2
    assert "exists already" in again.output
    assert run(*words, "--force").exit_code == 0


def test_verify_writes_json_and_pictures(run, bundle_copy, tmp_path):
    pytest.importorskip("matplotlib")
    build(bundle_copy, "fp32")
    result = run(
        *("verify", "--bundle", bundle_copy, "--precision", "fp32", "--out", tmp_path / "out")
    )
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["verify.json", "verify.png", "verify.svg"]
    assert json.loads((tmp_path / "out" / "verify.json").read_text())["passed"]


@pytest.mark.parametrize("words", [("bench",), ("verify", "--precision", "fp32")])
def test_without_matplotlib_one_sentence_comes_before_the_work(
    run, words, bundle_copy, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run(*words, "--bundle", bundle_copy / "none", "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "drawing needs the package matplotlib" in result.output
    assert "[train]" in result.output
    assert not (tmp_path / "out").exists()


def test_force_means_nothing_without_out(run, bundle_copy):
    result = run("bench", "--bundle", bundle_copy, "--force")
    assert result.exit_code == 2
    assert "--force" in result.output
