"""The made data set is always the same, is without fault, and follows its scores."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import trml_rt
from trml_export.config import Config
from trml_export.data import read_dataset
from trml_export.data.sample_data import ROWS, make_sample_data
from trml_rt.cli import trml_rt as program
from trml_rt.errors import UsageError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_sample_data(tmp_path_factory.mktemp("made") / "made")


def test_every_split_has_every_kind_of_row_and_no_row_is_repeated(made):
    check = trml_rt.check_data(made, overrides=["epochs=1"], decode=True)
    assert (check.usable, check.repeated, check.extra) == (True, [], [])
    assert set(check.splits) == {"train", "valid", "test"}
    assert sum(sum(counts.values()) for counts in check.splits.values()) == ROWS
    assert min(min(counts.values()) for counts in check.splits.values()) >= 10
    assert set(check.labels) == set(Config().labels)


def test_labels_are_those_that_the_default_thresholds_give(made):
    low, high = Config().thresholds
    for row in map(json.loads, made.read_text().splitlines()):
        place = (row["score"] >= low) + (row["score"] >= high)
        assert row["label"] == Config().labels[place]
    assert len(read_dataset(made, Config()).samples) == ROWS


def test_it_is_the_same_each_time_and_says_that_it_is_made(made, tmp_path):
    again = make_sample_data(tmp_path / "again")
    for path in sorted(p for p in made.parent.rglob("*") if p.is_file()):
        assert (again.parent / path.relative_to(made.parent)).read_bytes() == path.read_bytes()
    assert "made" in (made.parent / "README.md").read_text()


def test_a_glad_face_is_another_than_a_sad_one(made):
    assert len({path.read_bytes() for path in (made.parent / "faces").iterdir()}) == ROWS * 3 // 4


def test_a_folder_that_is_there_is_replaced_only_if_asked_for(tmp_path):
    words = ["sample-data", str(tmp_path / "made")]
    made = CliRunner().invoke(program, [*words, "--json"])
    assert json.loads(made.stdout) == {"data": str(tmp_path / "made/data.jsonl"), "rows": ROWS}
    assert CliRunner().invoke(program, words).exit_code == 2
    assert CliRunner().invoke(program, [*words, "--force"]).exit_code == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(UsageError):
        make_sample_data(tmp_path / "other", force=True)
