from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
from click.testing import CliRunner

from trml_export.config import Config
from trml_export.data import read_dataset
from trml_export.data.processed import load_plain, processed
from trml_rt.errors import ArtefactMismatch


def _split(*texts: str) -> dict:
    count = len(texts)
    return {
        "raw_text": np.array(texts, dtype=object),
        "id": [f"v{count}$_${i}" for i in range(count)],
        "regression_labels": np.linspace(-1, 2, count).astype(np.float32),
        "annotations": ["Negative"] * count,
        "audio": np.zeros((count, 3, 2), np.float32),
        "length": np.int64(3),
    }


CONTENT = {"train": _split("good", "bad", " "), "valid": _split("so so"), "test": _split("a", "b")}


def _convert(tmp_path, content=CONTENT, *more: str, protocol: int = 4):
    source = tmp_path / "processed.pkl"
    data = content if isinstance(content, bytes) else pickle.dumps(content, protocol)
    source.write_bytes(data)
    return CliRunner().invoke(processed, [str(source), "--out", str(tmp_path / "out.jsonl"), *more])


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_comes_out_is_a_data_set_of_texts(tmp_path, protocol):
    result = _convert(tmp_path, protocol=protocol)
    assert result.exit_code == 0, result.output
    assert "5 samples, 1 left out for a blank text; texts alone" in result.output
    samples = read_dataset(tmp_path / "out.jsonl", Config()).samples
    assert [(s.id, s.split, s.text, s.target) for s in samples[:2]] == [
        ("v3$_$0", "train", "good", -1.0),
        ("v3$_$1", "train", "bad", 0.5),
    ]


def test_the_annotation_becomes_the_label(tmp_path):
    _convert(tmp_path)
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first["label"] == "negative"


class _Attack:
    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self):
        return os.system, (self._command,)


def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path):
    trace = tmp_path / "trace"
    result = _convert(tmp_path, {**CONTENT, "x": _Attack(f"touch {trace}")})
    assert result.exit_code == ArtefactMismatch.exit_code
    assert "is refused: it asks for posix.system" in result.output
    assert not trace.exists()
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("value", [eval, getattr, np.load, os.path.join, ArtefactMismatch])
def test_whatever_is_no_array_string_or_dict_is_refused(tmp_path, value):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(ArtefactMismatch, match="is refused"):
        load_plain(tmp_path / "a.pkl")


def test_a_reference_outside_of_the_file_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"Psomewhere\n.")
    with pytest.raises(ArtefactMismatch, match="refers to something outside"):
        load_plain(tmp_path / "a.pkl")


@pytest.mark.parametrize("data", [b"", b"no pickle", pickle.dumps(CONTENT)[:-40]])
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, data):
    result = _convert(tmp_path, data)
    assert result.exit_code == ArtefactMismatch.exit_code
    assert "is no whole pickle" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("valid"), "has no splits train and valid"),
        (lambda c: c["train"].pop("id"), "does not hold id, raw_text"),
        (lambda c: c["train"]["id"].pop(), "differ in length"),
        (lambda c: c["valid"]["regression_labels"].fill(np.nan), "is nan"),
    ],
)
def test_content_of_another_shape_is_refused(tmp_path, change, message):
    content = {"train": _split("good", "bad"), "valid": _split("so so")}
    change(content)
    result = _convert(tmp_path, content)
    assert result.exit_code == ArtefactMismatch.exit_code
    assert message in result.output


def test_a_file_is_not_replaced_by_accident(tmp_path):
    (tmp_path / "out.jsonl").write_text("mine")
    assert _convert(tmp_path).exit_code == 2
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    assert _convert(tmp_path, CONTENT, "--force").exit_code == 0
