"""What is kept of a calibration between two runs, and when it counts."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from tests.conftest import TINY
from trml_calibration.resume import Finding, Findings, key_of
from trml_rt.errors import ArtefactMismatch

SAID = {"refined": False, "checked": {"text": {"points_lost": None, "flips": np.float64(0.25)}}}


@pytest.fixture
def found():
    return Finding(onnx.load(TINY / "onnx" / "text.onnx"), SAID)


@pytest.fixture
def findings(tmp_path, found):
    kept = Findings(tmp_path / "calibration", "key")
    kept.keep("text", "cpu", found)
    kept.keep("frame", "cpu", Finding(None, SAID))
    return kept


def test_what_was_kept_is_taken_up_by_the_next_run(tmp_path, findings, found):
    again = Findings(tmp_path / "calibration", "key")
    assert again.take("text", "cpu") == found
    assert again.take("frame", "cpu") == Finding(None, SAID)
    assert again.take("text", "portable") is None
    assert Findings(tmp_path / "calibration", "other").take("text", "cpu") is None
    assert Findings(tmp_path / "elsewhere", "key").take("text", "cpu") is None
    again.forget()
    assert findings.take("text", "cpu") is None
    again.forget()


@pytest.mark.parametrize("name", ["text.cpu.json", "text.cpu.onnx"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff"])
def test_a_damaged_file_counts_as_absent(tmp_path, findings, name, content):
    (tmp_path / ".partial-calibration" / name).write_bytes(content)
    assert findings.take("text", "cpu") is None


def test_nothing_is_kept_through_a_link(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / ".partial-calibration").symlink_to(tmp_path / "mine")
    with pytest.raises(ArtefactMismatch, match="is a link"):
        Findings(tmp_path / "calibration", "key")


def test_every_input_changes_the_key():
    one, two = np.zeros((1, 2), np.int32), np.ones((1, 2), np.int32)
    keys = [
        key_of([], []),
        key_of(["a"], []),
        key_of([], [[]]),
        key_of([], [[{"ids": one}]]),
        key_of([], [[{"ids": two}]]),
        key_of([], [[{"text": one}]]),
        key_of([], [[{"ids": one.reshape(2, 1)}]]),
        key_of([], [[{"ids": one.view(np.float32)}]]),
        key_of([], [[{"ids": one}, {"ids": two}]]),
        key_of([], [[{"ids": one}], [{"ids": two}]]),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of(["a"], [[{"a": one, "b": two}]]) == key_of(["a"], [[{"b": two, "a": one}]])
