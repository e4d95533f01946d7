"""The command `trml-rt eval`."""

from __future__ import annotations

import json
import shutil

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner

from trml_export.evaluation import CheckpointSubject, DataSplit, evaluate
from trml_rt.cli import trml_rt as program
from trml_rt.errors import UsageError


def _cases(text: str) -> dict[str, float]:
    content = json.loads(text)
    return {case["case"]: case["mae"] for case in content["runs"][0]["cases"]}


def test_a_bundle_scores_what_its_checkpoint_scores(checkpoint, exported, data, cache):
    run = CliRunner().invoke(
        program.commands["eval"],
        ["--data", str(data), "--bundle", str(exported[1]), "--json"],
    )
    assert run.exit_code == 0, run.output
    torch_cases = _cases(evaluate(CheckpointSubject(checkpoint, cache), DataSplit(data)).to_json())
    assert _cases(run.stdout) == pytest.approx(torch_cases, abs=1e-4)
    subject = json.loads(run.stdout)["subject"]
    assert (subject["kind"], subject["backend"]) == ("bundle", "onnxruntime")


def test_the_command_prints_a_table_and_names_unusable_inputs(checkpoint, data, cache, tmp_path):
    rows = data.read_text()
    (data.parent / "broken.mp4").write_bytes(b"no video" * 20)
    broken = data.parent / "with_broken.jsonl"
    row = {"id": "x", "split": "test", "text": "so", "video": "broken.mp4", "score": 0.0}
    broken.write_text(rows + json.dumps(row) + "\n")
    run = CliRunner().invoke(
        program.commands["eval"],
        ["--data", str(broken), "--checkpoint", str(checkpoint), "--cache", str(cache)],
    )
    assert run.exit_code == 0, run.output
    assert run.stdout.startswith("| mae")
    assert "x: undecodable" in run.stderr


@pytest.mark.parametrize("option", ["--json", None])
def test_a_name_with_control_characters_is_printed_as_text(
    checkpoint, data, cache, tmp_path, option
):
    evil = shutil.copytree(checkpoint, tmp_path / "a\x1b[2Jb\nc")
    words = ["--data", str(data), "--checkpoint", str(evil), "--cache", str(cache)]
    run = CliRunner().invoke(program, ["eval", *words, *([option] if option else [])])
    assert run.exit_code == 0, run.stderr
    assert "\x1b" not in run.stdout
    if option:
        assert json.loads(run.stdout)["subject"]["name"] == evil.name
    else:
        assert r"a\x1b[2Jb" in run.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give one of --checkpoint, --bundle, --backbone, not none"),
        (["--bundle", "b", "--backbone", "c"], "not --bundle and --backbone"),
        (["--bundle", "b", "--seeds", "3"], "--seeds: has no meaning with --bundle"),
        (["--checkpoint", "c", "--backend", "auto"], "--backend: has no meaning with --checkpoint"),
        (["--backbone", "c", "--precision", "fp16"], "--precision: has no meaning with --backbone"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    run = CliRunner().invoke(program.commands["eval"], ["--data", "d", *options])
    assert isinstance(run.exception, UsageError)
    assert message in str(run.exception)


@pytest.mark.parametrize("place", ["file", "file/below"])
@pytest.mark.parametrize("subject", ["--checkpoint", "--backbone"])
def test_a_cache_that_cannot_be_written_is_named(
    checkpoint, clip_folder, data, tmp_path, subject, place
):
    (tmp_path / "file").write_text("in the way")
    folder = {"--checkpoint": checkpoint, "--backbone": clip_folder}[subject]
    arguments = ["--data", data, subject, folder, "--cache", tmp_path / place]
    run = CliRunner().invoke(program, ["eval", *map(str, arguments)])
    assert run.exit_code == 3
    assert run.stderr.startswith(f"trml-rt: {tmp_path / place}")
    assert run.stderr.rstrip().endswith("name another folder with --cache")


def test_a_default_cache_that_cannot_be_written_is_named(checkpoint, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".trml-cache").write_text("in the way")
    run = CliRunner().invoke(
        program, ["eval", "--data", str(data), "--checkpoint", str(checkpoint)]
    )
    assert run.exit_code == 3
    assert run.stderr.startswith("trml-rt: .trml-cache/")


def test_a_report_below_a_file_is_refused_before_any_work(data, checkpoint, tmp_path):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "results"
    run = CliRunner().invoke(
        program, ["eval", "--data", str(data), "--checkpoint", str(checkpoint), "--out", str(out)]
    )
    assert run.exit_code == 3
    assert run.stderr.startswith(f"trml-rt: {out}: cannot be written")
