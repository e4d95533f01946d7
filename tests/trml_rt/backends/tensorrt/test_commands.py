"""The commands on TensorRT engines, which must do there what they do on ONNX Runtime's.

fake_device.py says what stands in for the GPU and the compiler.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import trml_rt
from tests.conftest import file_entry
from tests.trml_rt.backends.tensorrt.fake_device import make
from trml_rt.backends import CompileOptions
from trml_rt.build import preview_build
from trml_rt.cli import trml_rt as program
from trml_rt.errors import ArtefactMismatch, UsageError

NEEDS_ONNX = pytest.mark.skipif(find_spec("onnx") is None, reason="plain graphs need onnx")


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


@pytest.fixture
def elsewhere(bundle_copy, tmp_path):
    """Two calibrations of `bundle_copy` outside of it."""
    pytest.importorskip("onnx")
    from tests.trml_calibration.test_calibrate import calibrated

    folders = []
    for name, methods in (("all", {"text": "max", "frame": "max"}), ("one", {"frame": "max"})):
        calibrated(bundle_copy, methods=methods)
        folders.append((bundle_copy / "calibration").rename(tmp_path / name))
    return folders


@pytest.fixture
def gpu_in_workers(device, monkeypatch, tmp_path):
    """Give the processes that `bench` starts the stand-ins as well."""
    (tmp_path / "sitecustomize.py").write_text(
        "import pytest\n"
        "from tests.trml_rt.backends.tensorrt.fake_device import Device\n"
        "Device(pytest.MonkeyPatch())\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))


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
    told = json.loads(result.stdout)
    assert told == {"passed": True, "problems": [], "warnings": [], **record}
    assert [found["fp32"]["rows"] for found in record["engine_sets"].values()] == [3, 3, 3]
    assert device.trt.engines  # it was they that ran, not ONNX Runtime's
    assert verified(bundle_copy)


def spoil_golden(folder):
    """Let the golden file of texts say something that no engine answers."""
    path = folder / "golden" / "text.npz"
    golden = dict(np.load(path))
    np.savez(path, **golden | {"prediction": golden["prediction"] + np.float32(0.1)})
    content = json.loads((folder / "model.json").read_text())
    content["files"]["golden/text.npz"] = file_entry(path)
    (folder / "model.json").write_text(json.dumps(content))


def test_engines_that_fail_are_exit_code_4_and_unverified_from_then_on(device, bundle_copy, rows):
    spoil_golden(bundle_copy)
    make(bundle_copy, verify=False)
    words = ("--precision", "fp32", "--data", rows.with_name("texts.jsonl"), "--split", "test")
    result = run("verify", bundle_copy, *words)
    assert result.exit_code == 4
    assert "text/score: differs by 0.1, 0.001 allowed (golden files)" in result.stderr
    assert not verified(bundle_copy)


@NEEDS_ONNX
def test_rows_of_text_alone_verify_every_engine_set(device, bundle_copy, rows):
    words = ("--data", rows.with_name("texts.jsonl"), "--split", "test")
    assert run("build", bundle_copy, *words).exit_code == 0
    assert verified(bundle_copy)


def test_verify_refuses_what_is_not_built_or_not_here(device, bundle_copy, monkeypatch):
    result = run("verify", bundle_copy, "--precision", "fp16")
    assert result.exit_code == 5
    assert "no fp16 tensorrt engines yet; build them: trml-rt build" in result.stderr
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert run("verify", bundle_copy, "--precision", "fp32").exit_code == 3


@NEEDS_ONNX
def test_a_build_verifies_on_the_rows_that_are_named(device, bundle_copy, rows):
    result = run("build", bundle_copy, "--data", rows, "--split", "test", "--rows", 2, "--json")
    assert result.exit_code == 0, result.output
    [folder] = (bundle_copy / "engines").glob("sm87*")
    sets = json.loads((folder / "verify.json").read_text())["engine_sets"]
    assert [found["fp32"]["rows"] for found in sets.values()] == [2, 2, 2]
    assert verified(bundle_copy)


@NEEDS_ONNX
def test_engines_that_fail_are_not_installed(device, bundle_copy):
    spoil_golden(bundle_copy)
    assert run("build", bundle_copy).exit_code == 4
    assert not list((bundle_copy / "engines").glob("sm87*"))


@NEEDS_ONNX
def test_engines_built_without_verification_say_so_until_they_are_built_with_it(
    device, bundle_copy
):
    result = run("build", bundle_copy, "--no-verify")
    assert result.stdout.startswith("built: ")
    assert result.stdout.endswith(", not verified\n")
    assert not verified(bundle_copy)
    assert run("build", bundle_copy, "--no-verify").stdout.startswith("already built: ")
    result = run("build", bundle_copy)
    assert result.stdout.startswith("built: ")
    assert "its engines are not verified" in result.stderr
    assert verified(bundle_copy)


def test_a_dry_run_says_folder_and_reason_as_on_onnxruntime_and_writes_nothing(device, bundle_copy):
    content = json.loads(run("build", bundle_copy, "--dry-run", "--json").stdout)
    assert not (bundle_copy / "engines").exists()
    assert device.requests == []
    assert content.keys() == preview_build(bundle_copy, "fp32").to_dict().keys()
    assert content["would_build"]
    assert content["why"][0].startswith(f"{bundle_copy}: no engines sm87_trt10.3.0_fp32_")
    assert content["sources"]["text"] == str(bundle_copy / "onnx" / "text.onnx")

    folder = make(bundle_copy, verify=False).folder
    assert content["engines"] == str(folder)
    content = json.loads(run("build", bundle_copy, "--dry-run", "--json").stdout)
    assert "not verified" in content["why"][0]
    words = ("--dry-run", "--no-verify")
    assert run("build", bundle_copy, *words).stdout == f"fits already: {folder}\n"


def test_a_dry_run_for_a_gpu_elsewhere_needs_none_here(device, bundle_copy):
    device.cuda.cudaGetDevice = lambda: (2, None)
    words = ("--target", "8.9", "--dry-run")
    result = run("build", bundle_copy, *words, backend="tensorrt-rtx")
    assert result.stdout.startswith(f"would build: {bundle_copy}/engines/sm89_rtx")
    make(bundle_copy, backend="tensorrt-rtx", options=CompileOptions(target="8.9"))
    result = run("build", bundle_copy, *words, backend="tensorrt-rtx")
    assert result.stdout.startswith("fits already")


def test_for_a_gpu_elsewhere_nothing_can_be_verified(device, bundle_copy, rows):
    words = ("--target", "8.9", "--data", rows, "--split", "test")
    result = run("build", bundle_copy, *words, backend="tensorrt-rtx")
    assert result.exit_code == 2
    assert "--data, --split: has no meaning with --target" in result.stderr
    options = CompileOptions(target="8.9")
    with pytest.raises(UsageError, match="data: has no meaning with a target"):
        make(bundle_copy, backend="tensorrt-rtx", options=options, data=rows)


def test_int8_engines_of_a_calibration_elsewhere_are_built_and_found(
    device, bundle_copy, elsewhere
):
    words = ("--precision", "int8", "--calibration", elsewhere[0], "--no-bench")
    digest = hashlib.sha256((elsewhere[0] / "calibration.json").read_bytes()).hexdigest()
    content = json.loads(run("build", bundle_copy, *words, "--dry-run", "--json").stdout)
    assert content["built_for"]["calibration"] == digest
    assert content["sources"]["frame"] == str(elsewhere[0] / "frame.portable.onnx")
    result = run("build", bundle_copy, *words, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["built_for"] == content["built_for"]
    with trml_rt.load(bundle_copy, backend="tensorrt", precision="int8") as rt:
        assert rt.infer(text="good").verified
    assert run("verify", bundle_copy, "--precision", "int8").exit_code == 0


def test_a_bundle_takes_engines_of_any_calibration_until_there_are_two_or_one_of_its_own(
    device, bundle_copy, elsewhere
):
    for folder in elsewhere:
        words = ("--precision", "int8", "--calibration", folder, "--no-bench")
        assert run("build", bundle_copy, *words).exit_code == 0
    with pytest.raises(ArtefactMismatch, match="2 engine folders fit alike"):
        trml_rt.load(bundle_copy, backend="tensorrt", precision="int8")
    elsewhere[1].rename(bundle_copy / "calibration")
    with trml_rt.load(bundle_copy, backend="tensorrt", precision="int8") as rt:
        engines = rt.infer(text="good").engines
    built_for = json.loads((bundle_copy / "engines" / engines / "manifest.json").read_text())[
        "built_for"
    ]
    own = (bundle_copy / "calibration" / "calibration.json").read_bytes()
    assert built_for["calibration"] == hashlib.sha256(own).hexdigest()


def test_bench_times_tensorrt_engines_beside_the_portable_graphs(gpu_in_workers, bundle_copy):
    make(bundle_copy)
    result = run("bench", bundle_copy, "--calls", 2, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["backend"], content["device"]["gpu"]) == ("tensorrt", "Fake Orin")
    assert [list(found) for found in content["engine_sets"].values()] == [["portable", "fp32"]] * 3
    assert content["engine_sets"]["video"]["fp32"]["score_difference"] < 1e-5
    assert content["recommended"] in ("portable", "fp32")


def test_portable_graphs_are_timed_on_onnxruntime_though_auto_would_take_tensorrt(
    device, bundle_copy, monkeypatch
):
    commands = []

    def interleave(contenders, calls, **_):
        commands.append(
            {name: json.loads(words[-1])["backend"] for name, words in contenders.items()}
        )
        return {name: {"answer": [0.0], "speed_up": 1.0} for name in contenders}

    monkeypatch.setattr(sys.modules["trml_rt.bench"], "interleave", interleave)
    make(bundle_copy)
    assert run("bench", bundle_copy, "--json").exit_code == 0
    assert run("bench", bundle_copy, "--json", backend="onnxruntime").exit_code == 0
    assert commands[0] == {"portable": "onnxruntime", "fp32": "tensorrt"}
    assert commands[-1] == {"portable": "onnxruntime"}


def test_bench_refuses_what_is_not_built_or_not_here(device, bundle_copy, monkeypatch):
    for words in ((), ("--precision", "int8")):
        result = run("bench", bundle_copy, *words)
        assert result.exit_code == 5
        assert "--backend tensorrt" in result.stderr
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert run("bench", bundle_copy).exit_code == 3


def test_an_int8_build_is_weighed_against_fp16_where_that_is_built(
    gpu_in_workers, bundle_copy, elsewhere
):
    assert run("build", bundle_copy, "--precision", "fp16").exit_code == 0
    words = ("--precision", "int8", "--calibration", elsewhere[0], "--json")
    content = json.loads(run("build", bundle_copy, *words).stdout)
    assert content["recommended"] in ("portable", "fp16", "int8")
    assert "fp16 text" in content["because"]
    assert "int8 text" in content["because"]
