from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from click.testing import CliRunner

from tests.layouts import MELD_PROBLEMS, MMSA_PROBLEMS, make_meld, make_mmsa
from trml_rt.cli import trml_rt


@pytest.mark.parametrize(
    ("name", "make", "known"),
    [("mmsa", make_mmsa, MMSA_PROBLEMS), ("meld", make_meld, MELD_PROBLEMS)],
)
def test_a_real_layout_is_trained_and_evaluated_with_its_faults(
    name, make, known, clip_folder, tmp_path
):
    def run(*arguments: str) -> dict:
        cache = ("--cache", str(tmp_path / "cache"), "--json")
        result = CliRunner().invoke(trml_rt, [*arguments, *cache])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    data = ("--data", str(make(tmp_path / "data")), "--format", name)
    checkpoint = str(tmp_path / "checkpoint")
    settings = ("--set", "epochs=1", "--set", "frames=2")
    trained = run(*("train", *data, "--backbone", str(clip_folder), "--out", checkpoint, *settings))
    in_training = {p["id"] for p in trained["problems"]}
    evaluated = run("eval", *data, "--checkpoint", checkpoint)
    in_test = {p["id"] for p in evaluated["problems"]}
    assert in_training | in_test == known.keys()
    assert evaluated["data"]["samples"] == (
        {"text_video": 0, "text": 1, "video": 1}
        if name == "mmsa"
        else {"text_video": 1, "text": 2, "video": 0}
    )
