"""Every key of a configuration is described by the class that checks it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from trml_export.config import Config
from trml_export.config_keys import config_keys
from trml_rt.cli import trml_rt
from trml_rt.errors import UsageError

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()


def test_every_key_has_its_default_and_a_meaning_and_stands_in_the_page():
    keys = config_keys()
    assert [entry.key for entry in keys] == list(Config.model_fields)
    assert {e.key: e.default for e in keys} == Config().model_dump(mode="json")
    assert [entry.key for entry in keys if not entry.meaning] == []
    table = PAGE.split("## Configuration")[1].split("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in row.split("`")
    }
    assert [entry.key for entry in keys if entry.key not in named] == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("frames", "whole number at least 1 and at most 64"),
        ("longest_clip", "number above 0, or null"),
        ("normalise", "true or false"),
        ("temporal_encoder", "one of gru, mean"),
        ("labels", "list, each a string"),
        ("score_range", "list of 2, each a number"),
        ("class_weights", "one of none, balanced, or list, each a number above 0"),
        ("dropout", "number at least 0 and below 1"),
    ],
)
def test_a_type_is_said_in_words(key, words):
    assert [entry.type for entry in config_keys(key)] == [words]


def test_an_unknown_key_is_told_the_nearest():
    with pytest.raises(UsageError, match="epoch: unknown key epoch; did you mean epochs\\?"):
        config_keys("epoch")


def test_the_command_prints_one_key_or_all():
    one = CliRunner().invoke(trml_rt, ["config", "epochs"]).stdout
    assert one.splitlines()[0] == "epochs = 50"
    every = json.loads(CliRunner().invoke(trml_rt, ["config", "--json"]).stdout)
    assert [entry["key"] for entry in every] == list(Config.model_fields)
