"""The table of docs/backbones.md is that of the record."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("open_clip")

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "benchmarks/results/backbones.json").read_text())


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("backbones", ROOT / "benchmarks/backbones.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_record(script):
    page = (ROOT / "docs/backbones.md").read_text()
    assert script.table(RECORD) in page
    alone = sum(said == "works" for said in RECORD["names"].values())
    assert f"{alone} of the {len(RECORD['names'])} names" in page


def test_a_name_works_or_is_refused_as_the_record_says(script):
    some = ("ViT-B-32-quickgelu", "ViT-L-14", "roberta-ViT-B-32", "coca_ViT-B-32")
    said = script.names()
    assert {name: said[name] for name in some} == {name: RECORD["names"][name] for name in some}
