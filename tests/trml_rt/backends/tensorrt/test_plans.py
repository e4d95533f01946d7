"""TensorRT engines in a bundle: built, found, refused by field, chosen. With stand-ins.

fake_device.py says what stands in for the GPU and the compiler.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import trml_rt
from tests.conftest import file_entry
from tests.trml_rt.backends.tensorrt import fake_device
from tests.trml_rt.backends.tensorrt.fake_device import LAYERS, make
from trml_rt.backends import CompileOptions, row_of
from trml_rt.build import build
from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as cli
from trml_rt.engines.key import built_for_here
from trml_rt.errors import (
    ArtefactMismatch,
    BackendUnavailable,
    EnvironmentUnfit,
    UsageError,
    VerificationFailed,
)
from trml_rt.inspect import inspect

NOISE = np.random.default_rng(5).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


def built(folder):
    return sorted(path.name for path in (folder / "engines").iterdir() if path.is_dir())


def test_engines_are_verified_and_answer(device, bundle_copy):
    report = make(bundle_copy)
    with trml_rt.load(bundle_copy, backend="onnxruntime") as cpu:
        expected = cpu.infer(text="good", video=NOISE)
    with trml_rt.load(bundle_copy, backend="tensorrt") as rt:
        answer = rt.infer(text="good", video=NOISE)
    assert answer.score == pytest.approx(expected.score, abs=1e-6)
    assert (answer.backend, answer.engines) == ("tensorrt", report.folder.name)
    assert answer.verified
    assert report.folder.name.startswith("sm87_trt10.3.0_fp32_")


def test_the_manifest_holds_products_as_parsed_and_layers_as_built(device, bundle_copy):
    manifest = make(bundle_copy, "fp16").manifest
    assert (manifest.weights, manifest.compute) == ("fp16", "fp16")
    assert manifest.products["text"] == {"fp16": 4}
    assert manifest.plan_layers["text"] == LAYERS


def test_the_build_log_and_pure_plans_lie_beside_the_manifest(device, bundle_copy):
    folder = make(bundle_copy).folder
    names = ["frame", "fuse_text", "fuse_text_video", "fuse_video", "text"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["build.log", "manifest.json", "verify.json", *(f"{name}.plan" for name in names)]
    )
    assert "300 MiB at the peak" in (folder / "build.log").read_text()


def test_the_build_log_says_where_the_peak_of_memory_is_unknown(device, bundle_copy):
    device.peak_mib = None
    log = (make(bundle_copy).folder / "build.log").read_text()
    assert log.count("peak of memory unknown") == 5


def test_each_engine_compiles_with_its_profile_workspace_and_progress(device, bundle_copy, caplog):
    with caplog.at_level("INFO", "trml_rt"):
        make(bundle_copy, options=CompileOptions(workspace_mib=64))
    profiles = {Path(r.plan).stem: r.profile for r in device.requests}
    assert profiles["fuse_video"] == {
        "frame_vectors": ([1, 4, 4], [1, 4, 4], [3, 4, 4]),
        "frame_mask": ([1, 4], [1, 4], [3, 4]),
    }
    assert {r.workspace_mib for r in device.requests} == {64}
    assert "[1/5] text: compiling, computes in fp32" in caplog.messages
    assert "text: building engine, 1 of 6" in caplog.messages


@pytest.mark.parametrize(("words", "checked"), [([], True), (["--no-memory-check"], False)])
def test_the_look_at_memory_can_be_passed_over(device, bundle_copy, words, checked):
    pytest.importorskip("onnx")
    command = ["build", "--bundle", str(bundle_copy), "--backend", "tensorrt", *words]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    assert device.checks_memory is checked
    refused = CliRunner().invoke(cli, ["build", "--bundle", str(bundle_copy), "--no-memory-check"])
    assert (refused.exit_code, "--memory-check" in refused.stderr) == (2, True)
    with pytest.raises(UsageError, match="memory_check: must be True or False, not 0"):
        build(Bundle(bundle_copy), backend="tensorrt", options=CompileOptions(memory_check=0))


def test_plans_whose_types_are_not_told_are_built_with_a_warning(
    device, bundle_copy, monkeypatch, caplog
):
    monkeypatch.setattr(fake_device, "LAYERS", {"other": 2, "unknown": 9})
    folder = make(bundle_copy, "fp16").folder
    content = json.loads((folder / "manifest.json").read_text())
    assert content["plan_layers"]["text"] == {"other": 2, "unknown": 9}
    words = "text: TensorRT's inspector tells no types of this plan"
    assert words in caplog.text
    assert words in (folder / "build.log").read_text()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_graphs_are_made_plain_before_they_are_compiled(device, bundle_copy, precision):
    onnx = pytest.importorskip("onnx")
    read = []
    device.look = lambda request: read.append(onnx.load(request.graph))
    trml_rt.build(bundle_copy, precision, backend="tensorrt")
    assert len(read) == 5
    for model in read:
        weights = {tensor.name for tensor in model.graph.initializer}
        casts = [node for node in model.graph.node if node.op_type == "Cast"]
        assert not [node for node in casts if node.input[0] in weights]


def test_small_graphs_may_keep_another_precision(device, bundle_copy, monkeypatch):
    report = make(bundle_copy, "int8", islands=["norm"])
    small = ("fuse_text", "fuse_video", "fuse_text_video")
    assert report.manifest.islands == {name: ["norm"] for name in small}
    asked = {Path(r.plan).stem: r.precision for r in device.requests}
    assert (asked["text"], asked["frame"], asked["fuse_text"]) == ("int8", "int8", "fp16")


def test_a_second_build_finds_the_first(device, bundle_copy):
    assert make(bundle_copy).built
    assert not make(bundle_copy).built
    assert make(bundle_copy, force=True).built


def test_engines_that_miss_the_gate_are_not_installed(device, bundle_copy, edit_manifest):
    path = bundle_copy / "golden" / "text.npz"
    golden = dict(np.load(path))
    golden["prediction"] = golden["prediction"] + 0.5
    np.savez(path, **golden)
    folder = edit_manifest(lambda m: m["files"].update({"golden/text.npz": file_entry(path)}))
    with pytest.raises(VerificationFailed, match=r"text/score: differs by 0\.5"):
        make(folder)
    assert built(folder) == []


OTHERS = {
    "GPU": {"name": b"Fake Thor"},
    "compute capability": {"major": 11, "minor": 0},
    "multiprocessors": {"multiProcessorCount": 20},
}


@pytest.mark.parametrize("field", OTHERS)
def test_e1_engines_of_another_gpu_are_refused_by_field_before_they_load(
    device, bundle_copy, field
):
    make(bundle_copy)
    device.become()
    for name, value in OTHERS[field].items():
        setattr(device.cuda.properties, name, value)
    with pytest.raises(ArtefactMismatch) as caught:
        trml_rt.load(bundle_copy, backend="tensorrt")
    assert f"{field} is '" in str(caught.value)
    assert f"trml-rt build --bundle {bundle_copy} --precision fp32 --backend tensorrt" in str(
        caught.value
    )
    assert device.trt.engines == []


def test_e1_engines_of_another_tensorrt_or_cuda_are_refused_by_both_values(device, bundle_copy):
    make(bundle_copy)
    device.become(version="10.16.1")
    device.cuda.cudaDriverGetVersion = lambda: (0, 13020)
    with pytest.raises(ArtefactMismatch) as caught:
        trml_rt.load(bundle_copy, backend="tensorrt", precision="fp32")
    assert "back end version is '10.3.0' there, '10.16.1' here" in str(caught.value)
    assert "CUDA is '12.6' there, '13.2' here" in str(caught.value)


def test_auto_takes_engines_that_fit_and_says_so(device, bundle_copy):
    make(bundle_copy)
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").backend == "tensorrt"


def test_auto_takes_fp16_before_fp32_and_int8_only_by_name(device, bundle_copy, monkeypatch):
    for precision in ("fp32", "int8"):
        make(bundle_copy, precision)
    with trml_rt.load(bundle_copy) as rt:
        assert "_fp32_" in rt.infer(text="good").engines
    make(bundle_copy, "fp16")
    with trml_rt.load(bundle_copy) as rt:
        assert "_fp16_" in rt.infer(text="good").engines
    with trml_rt.load(bundle_copy, precision="int8") as rt:
        assert "_int8_" in rt.infer(text="good").engines


def test_auto_goes_to_onnxruntime_where_they_do_not_fit_and_says_so(device, bundle_copy, caplog):
    make(bundle_copy)
    device.become(version="10.16.1")
    with trml_rt.load(bundle_copy) as rt:
        answer = rt.infer(text="good")
    assert (answer.backend, answer.engines) == ("onnxruntime", "portable")
    [said] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "onnxruntime answers" in said.getMessage()
    assert "back end version is '10.3.0' there, '10.16.1' here" in said.getMessage()


def test_auto_says_that_the_driver_is_too_old_and_that_engines_are_not_verified(
    device, bundle_copy, caplog
):
    folder = make(bundle_copy).folder
    device.cuda.cudaGetDevice = lambda: (2, None)
    trml_rt.load(bundle_copy).close()
    assert "no GPU can be used (CUDA: cudaGetDevice: out of memory" in caplog.text
    device.become()
    caplog.clear()
    (folder / "verify.json").unlink()
    trml_rt.load(bundle_copy).close()
    assert f"{folder}: not verified; verify it: trml-rt verify --bundle" in caplog.text


def test_auto_is_silent_where_it_takes_engines_or_there_are_none(device, bundle_copy, caplog):
    trml_rt.load(bundle_copy).close()
    make(bundle_copy)
    trml_rt.load(bundle_copy).close()
    assert "answers" not in caplog.text


def test_auto_with_a_precision_keeps_to_it_on_onnxruntime(device, bundle_copy):
    make(bundle_copy, "fp16")
    build(Bundle(bundle_copy), "fp32")
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert rt.infer(text="good").engines.startswith("cpu-")


def test_a_bundle_without_tensorrt_engines_never_looks_for_tensorrt(bundle_copy, monkeypatch):
    monkeypatch.setattr("trml_rt.backends.tensorrt.plans.import_tensorrt", None)
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").backend == "onnxruntime"


def test_a_named_back_end_without_engines_names_the_command(device, bundle_copy):
    with pytest.raises(ArtefactMismatch, match="no fp16 tensorrt engines yet; build them: trml-rt"):
        trml_rt.load(bundle_copy, backend="tensorrt")


def test_infer_with_a_back_end_that_is_absent_is_exit_code_3(bundle_copy, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    (tmp_path / "t.txt").write_text("good")
    words = ["infer", "--text", str(tmp_path / "t.txt"), "--bundle", str(bundle_copy)]
    result = CliRunner().invoke(cli, [*words, "--backend", "tensorrt"])
    assert result.exit_code == 3
    assert result.stderr.startswith("trml-rt: tensorrt is not installed; on a Jetson it comes")


def test_a_named_back_end_that_is_absent_is_never_replaced(bundle_copy, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailable, match="tensorrt is not installed"):
        trml_rt.load(bundle_copy, backend="tensorrt")


def test_without_a_gpu_a_named_back_end_says_so(device, bundle_copy):
    make(bundle_copy)
    device.cuda.cudaGetDevice = lambda: (2, None)
    with pytest.raises(EnvironmentUnfit, match="no GPU can be used"):
        trml_rt.load(bundle_copy, backend="tensorrt")
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").backend == "onnxruntime"


def test_builder_options_make_other_engines_that_fit_as_well(device, bundle_copy):
    make(bundle_copy, options=CompileOptions(workspace_mib=64))
    with trml_rt.load(bundle_copy, backend="tensorrt") as rt:
        rt.infer(text="good")
    make(bundle_copy)
    assert len(built(bundle_copy)) == 2
    with trml_rt.load(bundle_copy, backend="tensorrt") as rt:
        options = rt.infer(text="good").engines
    manifest = json.loads((bundle_copy / "engines" / options / "manifest.json").read_text())
    assert "workspace_mib=1024" in manifest["built_for"]["builder options"]


def test_a_timing_cache_belongs_to_one_gpu_tensorrt_and_cuda(device, bundle_copy):
    make(bundle_copy)
    make(bundle_copy, force=True)
    device.become(version="10.16.1")
    make(bundle_copy)
    caches = [r.timing_cache for r in device.requests[::5]]
    assert caches[0] == caches[1] != caches[2]
    assert Path(caches[0]).parent == bundle_copy / "engines"
    make(bundle_copy, backend="tensorrt-rtx")
    assert device.requests[-1].timing_cache is None


def test_an_rtx_plan_belongs_to_a_compute_capability_not_to_a_gpu(device, bundle_copy):
    device.become(capability=(8, 9))
    report = make(bundle_copy, backend="tensorrt-rtx")
    assert report.folder.name.startswith("sm89_rtx1.7.1.116_fp32_")
    device.cuda.properties.name = b"Another of its kind"
    device.cuda.properties.multiProcessorCount = 99
    assert inspect(bundle_copy).built[report.folder.name]["fits"]
    device.cuda.properties.minor = 6
    why = inspect(bundle_copy).built[report.folder.name]["why_not"]
    assert why == ["compute capability is '8.9' there, '8.6' here"]


def test_plans_for_a_gpu_elsewhere_are_not_verified_and_auto_leaves_them(device, bundle_copy):
    report = make(bundle_copy, backend="tensorrt-rtx", options=CompileOptions(target="8.9"))
    assert not report.verified
    device.become(capability=(8, 9))
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").backend == "onnxruntime"


def test_on_the_gpu_itself_plans_from_elsewhere_are_built_anew_and_verified(
    device, bundle_copy, caplog
):
    elsewhere = make(bundle_copy, backend="tensorrt-rtx", options=CompileOptions(target="8.9"))
    device.become(capability=(8, 9))
    with caplog.at_level("INFO", "trml_rt"):
        here = make(bundle_copy, backend="tensorrt-rtx")
    assert (here.folder, here.built) == (elsewhere.folder, True)
    assert caplog.messages[0].endswith("its engines are not verified")
    assert here.verified


def test_inspect_says_which_back_end_engines_are_for(device, bundle_copy):
    folder = make(bundle_copy).folder
    found = inspect(bundle_copy).built[folder.name]
    assert (found["backend"], found["fits"]) == ("tensorrt", True)


def test_fp16_and_int8_engines_depend_on_the_golden_inputs_that_show_outliers(device, bundle_copy):
    bundle = Bundle(bundle_copy)
    files = {
        f"golden of {s.name}": bundle.manifest.files[s.golden].sha256
        for s in bundle.manifest.engine_sets
    }
    for precision in ("fp16", "int8"):
        assert files.items() <= built_for_here(bundle, precision, row_of("tensorrt")).items()
    assert not files.keys() & built_for_here(bundle, "fp32", row_of("tensorrt")).keys()


def test_int8_engines_depend_on_the_calibration(device, bundle_copy):
    bundle = Bundle(bundle_copy)
    assert "calibration" not in built_for_here(bundle, "int8", row_of("tensorrt"))
    (bundle_copy / "calibration").mkdir()
    (bundle_copy / "calibration" / "calibration.json").write_text("{}")
    assert len(built_for_here(bundle, "int8", row_of("tensorrt"))["calibration"]) == 64
    assert "calibration" not in built_for_here(bundle, "fp16", row_of("tensorrt"))


def test_settings_that_contradict_each_other_are_refused(device, bundle_copy):
    with pytest.raises(UsageError, match="--target: has no meaning with tensorrt"):
        make(bundle_copy, options=CompileOptions(target="8.9"))
    with pytest.raises(UsageError, match="--workspace: has no meaning with onnxruntime"):
        make(bundle_copy, backend="onnxruntime", options=CompileOptions(workspace_mib=64))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--target", "8.9"], 2),
        (["--precision", "int8"], 5),  # without a calibration
        (["--backend", "tensorrt", "--precision", "int8"], 5),
        (["--backend", "tensorrt", "--precision", "int8", "--calibration", "nowhere"], 5),
        (["--backend", "tensorrt-rtx", "--target", "8.9", "--data", "rows.jsonl"], 2),
        (["--backend", "tensorrt-rtx", "--target", "8.9", "--split", "test"], 2),
        (["--backend", "tensorrt-rtx", "--target", "8.9", "--no-bench"], 2),
        (["--workspace", "8"], 2),
        (["--backend", "tensorrt", "--target", "8.9"], 2),
        (["--backend", "magic"], 2),
    ],
)
def test_the_command_refuses_what_makes_no_sense(device, bundle_copy, words, code):
    result = CliRunner().invoke(cli, ["build", "--bundle", str(bundle_copy), *words])
    assert result.exit_code == code
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(find_spec("onnx") is None, reason="plain graphs need onnx")
def test_the_command_builds_and_prints_the_folder(device, bundle_copy):
    words = ["build", "--bundle", str(bundle_copy), "--backend", "tensorrt"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0
    assert result.stdout == f"built: {bundle_copy}/engines/{built(bundle_copy)[0]}\n"
    result = CliRunner().invoke(cli, [*words, "--force", "--json"])
    assert json.loads(result.stdout)["backend"] == "tensorrt"
