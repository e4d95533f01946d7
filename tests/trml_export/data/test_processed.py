from __future__ import annotations

import json
import os
import pickle
import struct

import numpy as np
import pytest
from click.testing import CliRunner

from trml_export.config import Config
from trml_export.data import read_dataset
from trml_export.data.plain_pickle import load_plain
from trml_rt.cli import trml_rt as program
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
    return CliRunner().invoke(
        program, ["convert", str(source), "--out", str(tmp_path / "out.jsonl"), *more]
    )


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


class _Forged:
    """Pickles as `call(*arguments)`, then set to `state`."""

    def __init__(self, call, arguments, state) -> None:
        self._parts = (call, arguments, state)

    def __reduce__(self):
        return self._parts


def _forged_type(code: str, *state: object) -> _Forged:
    return _Forged(np.dtype, (code, False, True), state)


def _forged_array(kind: object, data: object, size: int) -> _Forged:
    reconstruct = np.empty(0).__reduce__()[0]
    return _Forged(reconstruct, (np.ndarray, (0,), b"b"), (1, (size,), kind, False, data))


ADDRESSES = struct.pack("<4Q", *[0x4141414141] * 4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        pytest.param(
            _forged_array(_forged_type("O8", 3, "|", None, None, None, 8, 8, 0), ADDRESSES, 4),
            "cannot reshape array of size 32",
            id="objects that deny being objects",
        ),
        pytest.param(
            _forged_array(
                _forged_type("V8", 3, "|", None, ("f",), {"f": (np.dtype("O"), 0)}, 8, 1, 0),
                ADDRESSES,
                4,
            ),
            "has an array of the type 'V8'",
            id="a record of objects",
        ),
        pytest.param(
            _forged_array(_forged_type("f8", 3, "<", None, ("f",), {"f": 0}, 8, 8, 0), b"", 0),
            "type is put together of others",
            id="a number that becomes a record",
        ),
        pytest.param(
            _forged_array(np.dtype("O"), ["a"], 200_000),
            "cannot reshape array of size 1",
            id="a list shorter than its shape",
        ),
    ],
)
def test_a_forged_array_reads_no_memory_outside_of_the_file(tmp_path, array, message):
    result = _convert(tmp_path, {**CONTENT, "train": {**_split("good"), "raw_text": array}})
    assert result.exit_code == ArtefactMismatch.exit_code
    assert message in result.output


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.arange(6.0).reshape(2, 3, order="F"),
        np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(1, 0, 2),
        np.array([["a", None], [[1], "b"]], dtype=object),
        np.array(["one", "t\u00f6"]),
        np.array([b"one", b"two"]),
        np.array([True, False]),
        np.zeros((3, 0)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_an_array_comes_out_as_it_went_in(tmp_path, array, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"array": array}, protocol))
    found = np.asarray(load_plain(tmp_path / "a.pkl")["array"])
    assert found.dtype == array.dtype
    assert found.tolist() == array.tolist()


def test_scalars_of_numpy_come_out_as_they_went_in(tmp_path):
    values = [np.float32(0.5), np.int64(3), np.str_("ab"), np.bool_(True)]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(values))
    assert load_plain(tmp_path / "a.pkl") == values


def test_a_pickle_of_numpy_1_is_read(tmp_path):
    data = pickle.dumps(CONTENT, protocol=2)
    result = _convert(tmp_path, data.replace(b"numpy._core", b"numpy.core"))
    assert result.exit_code == 0, result.output


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


def _set(**columns: object):
    return lambda content: content["train"].update(columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("valid"), "has no splits train and valid"),
        (lambda c: c["train"].pop("id"), "does not hold id, raw_text"),
        (lambda c: c["train"]["id"].pop(), "differ in length"),
        (
            _set(raw_text=["good", ["bad"]]),
            "sample 1: its raw_text is of the type list and no text",
        ),
        (_set(raw_text=np.frombuffer(b"\xff" * 8, "<U1")), "what is no character"),
        (_set(raw_text=[np.zeros((2, 2)), np.zeros((2, 3))]), "a column is no list of values"),
        (_set(regression_labels=np.zeros((2, 3))), "differ in length"),
        (
            _set(regression_labels=["1", "2"]),
            "sample 0: its label is of the type str and no number",
        ),
        (_set(regression_labels=[1.0, np.nan]), "sample 1: its label is nan"),
        (_set(regression_labels=[1, 10**400]), "sample 1: its label is inf"),
        (
            _set(raw_text=np.array(["good", None])),
            "its raw_text is of the type NoneType and no text",
        ),
        (_set(raw_text=[b"good", b"\xff"]), "sample 1: its raw_text is no text"),
        (_set(raw_text=["good", "\ud83d"]), "sample 1: its raw_text is no text (surrogates"),
        (_set(annotations=["Positive", np.nan]), "its annotation is of the type float"),
        (_set(id=[3, 4]), "sample 0: its id is of the type int and no text"),
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
