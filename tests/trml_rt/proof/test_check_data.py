"""What a data set holds is counted, and all that is wrong with it is listed with its line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from PIL import Image

import trml_rt
from tests.conftest import TINY
from tests.layouts import make_mmsa
from trml_rt.cli import trml_rt as program
from trml_rt.errors import UsageError


@pytest.fixture
def table(tmp_path):
    """Return what writes a table of rows and gives its path."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "bad.mp4").write_bytes(b"no video")

    def write(*lines):
        path = tmp_path / "rows.csv"
        path.write_text("\n".join(("split,text,video,score,label,speaker", *lines)))
        return path

    return write


GOOD = ("train,hi,a.png,-1,,Ann", "train,ho,,2.5,,", "val,,a.png,,joy,", "test,hu,,,joy,")


def test_rows_are_counted_by_split_and_presence_and_targets_by_kind(table):
    check = trml_rt.check_data(table(*GOOD))
    assert check.splits == {
        "train": {"text": 1, "video": 0, "text_video": 1},
        "valid": {"text": 0, "video": 1, "text_video": 0},
        "test": {"text": 1, "video": 0, "text_video": 0},
    }
    assert check.scores == {"rows": 2, "least": -1.0, "largest": 2.5}
    assert (check.labels, check.extra, check.decoded) == ({"joy": 2}, ["speaker"], None)
    assert check.usable
    check.raise_if_unusable()


def test_problems_are_listed_by_line_and_the_other_rows_counted(table):
    check = trml_rt.check_data(table("nowhere,hi,,,,", *GOOD, "test,hi,none.mp4,,,"))
    assert [problem.line for problem in check.problems] == [2, 7]
    assert sum(sum(counts.values()) for counts in check.splits.values()) == len(GOOD)
    with pytest.raises(UsageError, match="2 problems\n  line 2: split must be"):
        check.raise_if_unusable()


def test_targets_are_held_to_the_task_that_is_named(table):
    path = table(*GOOD)
    assert [p.line for p in trml_rt.check_data(path, bundle=TINY).problems] == [3]
    of_training = trml_rt.check_data(path, overrides=["score_range=[-3, 3]"])
    assert [p.line for p in of_training.problems] == [4, 5]
    assert trml_rt.check_data(table(GOOD[0]), overrides=["epochs=1"]).usable
    with pytest.raises(UsageError, match="config: has no meaning with bundle"):
        trml_rt.check_data(path, bundle=TINY, config="training.json")
    with pytest.raises(UsageError, match="overrides: has no meaning with bundle"):
        trml_rt.check_data(path, bundle=TINY, overrides=["epochs=1"])


def test_targets_are_held_to_a_configuration_as_training_takes_it(table, tmp_path):
    path, config = table("train,ho,,2,,"), tmp_path / "training.json"
    config.write_text('{"score_range": [-1, 1]}')
    assert [p.line for p in trml_rt.check_data(path, config=config).problems] == [2]
    wider = ["score_range=[-3, 3]"]
    assert trml_rt.check_data(path, config=config, overrides=wider).usable
    words = ["check-data", "--data", str(path), "--config", "gone.json"]
    result = CliRunner().invoke(program, words)
    assert (result.exit_code, result.stderr.split(":")[1]) == (2, " gone.json")


def test_clips_are_decoded_once_each_if_asked_for(table):
    path = table(*GOOD, "test,hi,bad.mp4,,,", "test,ho,bad.mp4,,,")
    assert trml_rt.check_data(path).usable
    check = trml_rt.check_data(path, decode=True)
    assert check.decoded == 1
    assert [(p.line, "bad.mp4" in p.message) for p in check.problems] == [(6, True)]


def test_a_row_that_another_split_has_too_is_told_and_no_problem(table):
    check = trml_rt.check_data(table(*GOOD, "test,hi,a.png,,,", "train,ho,,1,,"))
    assert [str(row) for row in check.repeated] == ["line 6: 6 of test repeats line 2 of train"]
    assert check.usable


def test_a_file_without_rows_is_a_problem(table):
    assert [str(problem) for problem in trml_rt.check_data(table()).problems] == ["holds no row"]


def test_other_layouts_are_checked_too(tmp_path):
    make_mmsa(tmp_path)
    check = trml_rt.check_data(tmp_path, layout="mmsa")
    assert check.scores is not None
    assert "train" in check.splits


def test_the_command_prints_counts_and_exits_with_2_on_problems(table):
    words = ["check-data", "--data", str(table(*GOOD))]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 0
    assert "train: 2 rows; 1 with both, 1 with text alone, 0 with video alone" in result.stdout
    assert result.stdout.splitlines()[-1] == "usable"
    table(*GOOD, *["nowhere,hi,,,,"] * 25)
    result = CliRunner().invoke(program, [*words, "--json"])
    assert result.exit_code == 2
    assert len(json.loads(result.stdout)["problems"]) == 25
    assert result.stderr.count("\n  line") == 20


def test_it_needs_neither_torch_nor_onnx(table):
    code = (
        "import sys, trml_rt\n"
        "sys.modules |= dict.fromkeys(('torch', 'onnx', 'open_clip'))\n"
        "assert trml_rt.check_data(sys.argv[1], decode=True).usable\n"
        "assert not trml_rt.check_data(sys.argv[1], overrides=['epochs=1']).usable\n"
    )
    subprocess.run([sys.executable, "-c", code, str(table(*GOOD))], check=True)
