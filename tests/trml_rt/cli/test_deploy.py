"""The commands `trml-rt deploy` and `trml-rt rollback`: what they print, and how they end."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from tests.conftest import TINY
from trml_rt.cli import trml_rt as program


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(TINY, tmp_path / "new")
    return lambda line: CliRunner().invoke(program, line.split())


def test_people_are_told_what_is_in_service_and_what_was_before(run, tmp_path):
    assert run(f"deploy {TINY} --current now").stdout.splitlines()[1].split() == [
        "before",
        "nothing",
    ]
    lines = run("deploy new --current now").stdout.splitlines()
    assert lines[:3] == [
        f"in service: {tmp_path}/new",
        f"  before      {TINY}",
        "  engines     portable, onnxruntime",
    ]
    assert [line.split()[0] for line in lines[3:]] == ["text", "video", "text_video"]
    assert run("deploy new --current now").stdout.startswith(f"in service: {tmp_path}/new, as bef")
    back = run("rollback --current now --json")
    assert json.loads(back.stdout)["folder"] == str(TINY)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("deploy none --current now", 5, "not a bundle"),
        ("deploy new --current new", 2, "is no link"),
        ("deploy new --current new/now", 2, "lies in the bundle"),
        ("deploy new --current now --max-ms 0", 4, "were asked for"),
        ("deploy new --current now --probe none.jsonl", 2, "cannot be read"),
        ("rollback --current now", 2, "no other bundle was in service before"),
    ],
)
def test_what_fails_is_one_sentence_and_changes_nothing(run, tmp_path, line, code, words):
    result = run(line)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


def test_a_bundle_is_proved_in_a_process_of_its_own_where_that_is_asked_for(run, tmp_path, capfd):
    assert run("deploy new --current now --isolate").exit_code == 0
    assert capfd.readouterr().out.startswith(f"in service: {tmp_path}/new")
