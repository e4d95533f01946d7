from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def test_the_protocol_cases_cover_the_complete_samples_alone(protocol):
    counts = {c["case"]: c["samples"] for c in protocol.runs[0]["cases"]}
    complete = protocol.data["samples"]["text_video"]
    assert {n for case, n in counts.items() if case != "as_is"} == {complete}
    assert counts["as_is"] == sum(protocol.data["samples"].values())


def test_the_floors_answer_the_same_whatever_the_input(protocol, data):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    mean = np.mean([row["score"] for row in rows if row["split"] == "train"])
    test = [row for row in rows if row["split"] == "test"]
    expected = np.mean([abs(row["score"] - mean) for row in test])
    assert protocol.floors["training_mean"]["as_is"]["mae"] == pytest.approx(expected)
    whole = np.mean([abs(r["score"] - mean) for r in test if "text" in r and "video" in r])
    assert protocol.floors["training_mean"]["complete"]["mae"] == pytest.approx(whole)
