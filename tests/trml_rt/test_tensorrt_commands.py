"""The commands on TensorRT engines, which must do there what they do on ONNX Runtime's.

fake_device.py says what stands in for the GPU and the compiler.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import trml_rt
from tests.trml_rt.fake_device import make
from trml_rt.cli import trml_rt as program


@pytest.fixture
def rows(tmp_path):
    """Three rows with a text and a picture each; `texts.jsonl` beside it has the texts alone."""
    noise = np.random.default_rng(1).integers(0, 256, (3, 9, 9, 3), dtype=np.uint8)
    lines = []
    for number, words in enumerate(["good day", "bad", "a day"]):
        Image.fromarray(noise[number]).save(tmp_path / f"{number}.png")
        lines.append({"id": str(number), "split": "test", "text": words, "score": 0.5})
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    lines = [line | {"video": f"{line['id']}.png"} for line in lines]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "rows.jsonl"


def run(command, folder, *words, backend="tensorrt"):
    words = [command, "--bundle", folder, "--backend", backend, *words]
    result = CliRunner().invoke(program, [str(word) for word in words])
    assert "Traceback" not in result.stderr
    return result


def verified(folder):
    with trml_rt.load(folder, backend="tensorrt", precision="fp32") as rt:
        return rt.infer(text="good").verified


def test_engines_are_verified_on_rows_of_ones_own(device, bundle_copy, rows):
    folder = make(bundle_copy).folder
    words = ("--precision", "fp32", "--data", rows, "--split", "test")
    result = run("verify", bundle_copy, *words, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads((folder / "verify.json").read_text())
    assert json.loads(result.stdout) == record
    assert [found["rows"] for found in record["engine_sets"].values()] == [3, 3, 3]
    assert device.trt.engines  # it was they that ran, not ONNX Runtime's
    assert verified(bundle_copy)


def test_engines_that_fail_are_exit_code_4_and_unverified_from_then_on(device, bundle_copy, rows):
    make(bundle_copy)
    words = ("--precision", "fp32", "--data", rows.with_name("texts.jsonl"), "--split", "test")
    result = run("verify", bundle_copy, *words)
    assert result.exit_code == 4
    assert "video: no inputs to compare on" in result.stderr
    assert not verified(bundle_copy)


def test_verify_refuses_what_is_not_built_or_not_here(device, bundle_copy, monkeypatch):
    result = run("verify", bundle_copy, "--precision", "fp16")
    assert result.exit_code == 5
    assert "no fp16 tensorrt engines yet; build them: trml-rt build" in result.stderr
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert run("verify", bundle_copy, "--precision", "fp32").exit_code == 3
