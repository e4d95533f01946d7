"""Rows for calibration and verification, from every layout of a data set."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tests.layouts import make_meld, make_mmsa
from trml_rt.build import build
from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as program
from trml_rt.cli.options import rows_of
from trml_rt.errors import UsageError
from trml_rt.inputs.rows import evenly, read_rows


@pytest.fixture
def lines(tmp_path):
    """Return what writes rows to a file and gives its path."""

    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        return path

    return write


def row(number, **more):
    return {"id": f"r{number}", "split": "train", "text": "a day", **more}


def test_rows_of_one_split_in_file_order_with_or_without_a_target(lines):
    path = lines(row(1, score=0.5), row(2, split="test"), row(3, label="joy", video="c.mp4"))
    found = read_rows(path, "train")
    assert [(r.id, r.score, r.label) for r in found.rows] == [
        ("r1", 0.5, None),
        ("r3", None, "joy"),
    ]
    assert found.rows[1].video == path.parent / "c.mp4"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"id": 7}, "id must be a string"),
        ({"text": None}, "text or video must be there"),
        ({"score": True}, "score must be a number"),
        ({"label": 3}, "label must be a string"),
    ],
)
def test_a_wrong_line_is_named(lines, more, words):
    with pytest.raises(UsageError, match=f"line 2: {words}"):
        read_rows(lines(row(1), row(2, **more)), "train")


def test_rows_are_set_apart_without_one_in_both(lines):
    kept, apart = read_rows(lines(*map(row, range(10))), "train").apart(4)
    assert [r.id for r in apart.rows] == ["r0", "r4", "r8"]
    assert len(kept.rows) == 7
    assert not {r.id for r in kept.rows} & {r.id for r in apart.rows}


def test_rows_are_taken_evenly():
    assert evenly(range(10), 3) == [0, 3, 6]
    assert evenly(range(2), 3) == [0, 1]


def test_mosi_as_mmsa_has_it_gives_scores(tmp_path, capsys):
    found = rows_of(make_mmsa(tmp_path / "MOSI"), "train", "mmsa")
    scores = {r.id: (r.score, r.label, r.video is None) for r in found.rows}
    assert scores["-3g5yACwYnA$_$1"] == (2.4, None, False)
    assert scores["-3g5yACwYnA$_$0010"] == (1.0, None, True)  # its clip is gone, its text is not
    assert "left out: -3g5yACwYnA$_$0010: " in capsys.readouterr().err


def test_meld_gives_labels_of_its_test_split(tmp_path):
    found = rows_of(make_meld(tmp_path / "MELD"), "test", "meld")
    assert {r.split for r in found.rows} == {"test"}
    assert {r.label for r in found.rows} == {"fear", "disgust", "neutral"}
    assert {r.score for r in found.rows} == {None}


def test_engines_are_verified_on_a_data_set_as_it_is_distributed(bundle_copy, tmp_path):
    make_mmsa(tmp_path / "MOSI")
    build(Bundle(bundle_copy), "fp32")
    words = ["verify", "--bundle", bundle_copy, "--precision", "fp32", "--split", "train"]
    words += ["--data", tmp_path / "MOSI", "--format", "mmsa", "--json"]
    result = CliRunner().invoke(program, list(map(str, words)))
    assert result.exit_code == 0, result.stderr
    assert "left out: -3g5yACwYnA$_$2: " in result.stderr
    sets = json.loads(result.stdout)["engine_sets"]
    assert {name: found["rows"] for name, found in sets.items()} == {
        "text": 3,  # two with their clip, one without; the broken clip's row is left out
        "video": 2,
        "text_video": 2,
    }
    assert sets["text"]["accuracy"]["rows"] == 3
