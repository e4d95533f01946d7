from __future__ import annotations

import json
from pathlib import Path

import pytest

from trml_export.config import Config, load_config
from trml_export.data import FORMATS, read_dataset
from trml_rt.cli import trml_rt
from trml_rt.errors import UsageError


def test_an_unknown_layout_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="no layout 'csv'; choose jsonl, mmsa, meld"):
        read_dataset(Path("data"), Config(), "csv")


@pytest.mark.parametrize("command", ["train", "eval"])
def test_the_command_line_offers_every_layout(command):
    (option,) = (p for p in trml_rt.commands[command].params if "--format" in p.opts)
    assert list(option.type.choices) == list(FORMATS)


@pytest.mark.parametrize(("name", "limits"), [("jsonl", (None, None)), ("mmsa", (0.1, 120.0))])
def test_a_layout_brings_its_limits_for_clips(name, limits):
    config = load_config(defaults=FORMATS[name].defaults)
    assert (config.shortest_clip, config.longest_clip) == limits


def test_what_a_user_sets_wins_over_what_a_layout_brings(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"longest_clip": 10}))
    config = load_config(path, overrides=["shortest_clip=1"], defaults=FORMATS["meld"].defaults)
    assert (config.shortest_clip, config.longest_clip) == (1.0, 10.0)
    assert config.task == "classification"


@pytest.mark.parametrize(
    ("layout", "file"), [("mmsa", "label.csv"), ("meld", "train_sent_emo.csv")]
)
def test_a_folder_that_is_absent_or_a_file_is_said_to_be(tmp_path, layout, file):
    config = load_config(defaults=FORMATS[layout].defaults)
    with pytest.raises(UsageError, match=f"nowhere: does not exist; name the folder of {file}"):
        read_dataset(tmp_path / "nowhere", config, layout)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"file: is not a folder; name the folder of {file}"):
        read_dataset(tmp_path / "file", config, layout)
