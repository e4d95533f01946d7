from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from trml_export.evaluation import DataSplit
from trml_rt.errors import UsageError


def test_a_split_has_its_own_samples_alone(data, tiny_config):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    split = DataSplit(data, name="valid")
    samples = split.samples_of(split.read(tiny_config))
    assert [s.id for s in samples] == [row["id"] for row in rows if row["split"] == "valid"]


def test_a_split_without_samples_is_said(data, tiny_config):
    rows = [r for r in data.read_text().splitlines() if json.loads(r)["split"] != "test"]
    path = data.parent / "no_test.jsonl"
    path.write_text("\n".join(rows))
    with pytest.raises(UsageError, match="no sample has the split 'test'"):
        DataSplit(path).read(tiny_config)
