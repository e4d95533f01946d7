from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from trml_export.evaluation import Rows, evaluate_checkpoint
from trml_rt.errors import UsageError


def test_a_split_without_samples_is_said(checkpoint, data, cache, tmp_path):
    rows = [r for r in data.read_text().splitlines() if json.loads(r)["split"] != "test"]
    path = data.parent / "no_test.jsonl"
    path.write_text("\n".join(rows))
    with pytest.raises(UsageError, match="no sample has the split 'test'"):
        evaluate_checkpoint(checkpoint, Rows(path), cache=cache)
