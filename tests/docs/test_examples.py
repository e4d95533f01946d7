"""Every command and every Python example of the pages runs, on a tiny bundle and tiny data.

A folder holds what the pages name: `bundle/`, `t.txt`, `v.mp4`, `rows.jsonl` and so on. Commands
that need what is not here are in `NOT_RUN`, each with its reason.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("tensorrt_rtx", reason="the pages also show TensorRT for RTX")
pytest.importorskip("openvino", reason="the pages also show OpenVINO")

pytest.importorskip("pyarrow", reason="the pages also show Parquet")
pytest.importorskip("uvicorn", reason="the pages also show a server")

import trml_rt
from tests import tiny
from tests.conftest import TINY
from tests.layouts import make_mmsa
from tests.signing import write_keys
from trml_rt.cli import trml_rt as program

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

NOT_RUN = {
    "build/vit_b32": "takes minutes, and a backbone of 600 MB",
    "rtsp://camera": "needs a camera",
    "/dev/video0": "needs a camera",
    "trml-rt serve": "runs until it is stopped; tests/trml_rt/serve/test_run.py starts it",
}
TRAINING = ("encode", "train", "eval", "export")
"""Commands that run one after another, in this order."""
NEEDS_GPU = re.compile(r"--backend tensorrt( |$)")
# An untrained backbone of 6 MB stands in for one of 600 MB that nobody may download here.
BACKBONE = re.compile(r"--backbone ViT-B-32-quickgelu --weights \S+")
# A layer of four channels is no fine thing to round: the tiny bundle loses more in INT8.
ROUGH = " --max-drop 0.02"


def commands():
    """Return each command of the pages once, in the order of the pages."""
    found = []
    for page in PAGES:
        for _, block in FENCE.findall(page.read_text()):
            for line in re.findall(r"^(?:\$ )?(trml-rt .+)$", block, re.MULTILINE):
                found.append(line.split(" #")[0].strip())
    return list(dict.fromkeys(found))


def examples():
    """Return each Python example, by page and number.

    That of the training side trains, so it runs in tests/trml_export/test_docs.py, on its fixtures.
    """
    return {
        f"{page.relative_to(ROOT)} {number}": block
        for page in PAGES
        for number, (language, block) in enumerate(FENCE.findall(page.read_text()))
        if language == "python" and "import trml_rt" in block
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What the pages name, and a bundle that is calibrated and built."""
    world = tmp_path_factory.mktemp("pages")
    shutil.copytree(ROOT / "samples", world / "samples")
    shutil.copy(world / "samples" / "smiling.mp4", world / "v.mp4")
    (world / "samples" / "glad.txt").write_text("What a good day.")  # words of the tiny bundle
    shutil.copy(world / "samples" / "glad.txt", world / "t.txt")
    (world / "v.srt").write_text("1\n00:00:00,500 --> 00:00:02,000\nWhat a good day.\n")
    Image.new("RGB", (40, 40), (200, 150, 120)).save(world / "face.jpg")
    write_rows(world)
    make_mmsa(world / "MOSI")
    columns = {"raw_text": ["a day"], "id": ["v$_$1"], "regression_labels": np.array([1.0])}
    (world / "unaligned_50.pkl").write_bytes(
        pickle.dumps(dict.fromkeys(("train", "valid"), columns))
    )
    torch.save({"weight": torch.zeros(2)}, world / "ViT-B-32.pt")
    tiny.clip_backbone(world / "clip")
    bundle = Path(shutil.copytree(TINY, world / "bundle"))
    trml_rt.calibrate_need(bundle, world / "held_out.jsonl")
    trml_rt.calibrate(bundle, world / "rows.jsonl", max_drop=0.02)
    for precision in ("fp32", "fp16", "int8"):
        trml_rt.build(bundle, precision)
    trml_rt.build(bundle, backend="openvino")
    private, _ = write_keys(world / "keys", ec.SECP256R1())
    for key in private.parent.iterdir():
        shutil.copy(key, world)
    trml_rt.sign(shutil.copytree(TINY, world / "signed"), private)
    return world


def write_rows(world):
    make = np.random.default_rng(0)
    lines, held_out = [], []
    for number in range(96):
        pixels = make.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(world / f"{number}.png")
        split = ("train", "train", "valid", "test")[number % 4]
        text = " ".join(make.choice(["good", "bad", "day", "a", "what"], 5))
        score = float(make.uniform(-1, 1))
        row = {"id": str(number), "split": split, "text": text, "video": f"{number}.png"}
        lines.append(json.dumps(row | {"score": score}))
        held_out += [
            json.dumps(row | {"id": f"{number} {n}", "split": "valid", "score": 0.0}) for n in "ab"
        ]
    for name in ("rows.jsonl", "clips.jsonl"):
        (world / name).write_text("\n".join(lines))
    (world / "held_out.jsonl").write_text("\n".join(held_out))


@pytest.fixture
def world(prepared, tmp_path, monkeypatch):
    """A copy of what the pages name, as the working directory."""
    folder = Path(shutil.copytree(prepared, tmp_path / "world"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRML_RT_BUNDLE", str(folder / "bundle"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return folder


def without_calibration(world):
    shutil.rmtree(world / "bundle")
    shutil.copytree(TINY, world / "bundle")


def run(line):
    return CliRunner().invoke(program, shlex.split(line)[1:])


def test_what_is_not_run_is_still_in_the_pages():
    assert [word for word in NOT_RUN if not any(word in line for line in commands())] == []


@pytest.mark.parametrize(
    "line",
    [
        line
        for line in commands()
        if not any(word in line for word in NOT_RUN)
        and line.split()[1] not in TRAINING
        and "made" not in line
    ],
)
def test_a_command_of_the_pages_runs(world, line):
    without_ray = "--ray" in line and importlib.util.find_spec("ray") is None
    expected = 3 if NEEDS_GPU.search(line) or without_ray else 0
    if line.startswith("trml-rt calibrate "):
        without_calibration(world)
        line += ROUGH
        if "MOSI" in line:
            expected = 2  # its three clips are too few to calibrate on, and the command says so
    if line.startswith("trml-rt merge"):
        for shard in (other for other in commands() if "--shard" in other):
            assert run(shard).exit_code == 0
    if "rollback" in line or "--bundle current" in line:
        for bundle in ("bundle/", "signed/"):
            assert run(f"trml-rt deploy {bundle} --current current").exit_code == 0
    if "--replay" in line:
        run("trml-rt stream --video v.mp4 --record s.jsonl")
    result = run(line)
    assert result.exit_code == expected, result.output
    assert "Traceback" not in result.output


def test_the_commands_from_training_to_a_bundle_run_one_after_another(world):
    lines = [line for line in commands() if line.split()[1] in TRAINING]
    lines = [line for line in lines if "made" not in line]
    assert len(lines) >= 3
    lines = dict.fromkeys(BACKBONE.sub("--backbone clip --set epochs=2", line) for line in lines)
    for line in sorted(lines, key=lambda line: TRAINING.index(line.split()[1])):
        words = line + (" --force" if " export " in line else "")
        result = run(words)
        assert result.exit_code == 0, (words, result.output)


def test_the_first_training_of_the_page_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [line for line in commands() if "made" in line]
    verbs = [line.split()[1] for line in lines]
    assert verbs == ["sample-data", "check-data", "train", "eval", "export", "infer"]
    for line in lines:
        result = run(line)
        assert result.exit_code == 0, (line, result.output)
    assert result.output.startswith("positive")


@pytest.mark.parametrize("name", examples())
def test_a_python_example_of_the_pages_runs(world, name, capsys):
    block = examples()[name]
    if "calibrate(" in block:
        without_calibration(world)
    exec(compile(block, name, "exec"), {})
