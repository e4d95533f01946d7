"""OpenVINO on the tiny bundle: engines that are built, loaded, run, and refused."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import trml_rt
from trml_rt.backends import ONNXRUNTIME, CompileOptions, row_of
from trml_rt.backends import openvino as module
from trml_rt.backends.cpu import half_type
from trml_rt.backends.openvino import OpenVinoBackend, built_for
from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as program
from trml_rt.engines.fastest import read_fastest
from trml_rt.errors import (
    ArtefactMismatch,
    BackendUnavailable,
    EnvironmentUnfit,
    UsageError,
    VerificationFailed,
)
from trml_rt.proof.compare import LIMITS, Limits

pytest.importorskip("openvino", reason="needs the extra openvino")

needs_half = pytest.mark.skipif(half_type() is None, reason="this CPU has no units for bf16 or f16")
TEXT = {"ids": np.array([[1, 2, 3, 4]], np.int32)}


@pytest.fixture
def built(bundle_copy):
    """The tiny bundle with FP32 engines."""
    folder = trml_rt.build(bundle_copy, backend="openvino").folder
    return Bundle(bundle_copy), folder


def loaded(built, name="text", file=None):
    bundle, folder = built
    path = file or folder / f"{name}.blob"
    return OpenVinoBackend(1, compiled=True).load(bundle.manifest.engines[name], path)


def test_engines_in_fp32_answer_as_the_portable_graphs_do(built):
    bundle, folder = built
    frames = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    with (
        trml_rt.load(bundle) as portable,
        trml_rt.load(bundle, backend="openvino", precision="fp32", threads=1) as compiled,
        trml_rt.load(bundle, backend="openvino") as graphs,
    ):
        for inputs in ({"text": "good"}, {"video": frames}, {"text": "bad", "video": frames}):
            expected = portable.infer(**inputs).score
            answer = compiled.infer(**inputs)
            assert answer.score == pytest.approx(expected, abs=1e-5)
            assert (answer.backend, answer.engines) == ("openvino", folder.name)
            assert answer.verified
            answer = graphs.infer(**inputs)
            assert answer.score == pytest.approx(expected, abs=1e-5)
            assert (answer.backend, answer.engines) == ("openvino", "portable")


@needs_half
def test_engines_in_fp16_compute_in_half_precision_and_say_so(bundle_copy):
    report = trml_rt.build(bundle_copy, "fp16", backend="openvino")
    manifest = report.manifest
    assert report.verified
    assert (manifest.weights, manifest.compute) == ("fp32", "fp16")
    assert manifest.built_for["half precision"] == half_type()
    assert manifest.plan_layers["frame"] == {half_type(): 1}
    head = (report.folder / "frame.blob").read_bytes().partition(b"\n")[0]
    assert head.decode() == f"computes in {half_type()}"
    with trml_rt.load(bundle_copy, backend="openvino", precision="fp16") as rt:
        assert rt.infer(text="good").verified
    shown = trml_rt.inspect(bundle_copy).built[report.folder.name]
    assert (shown["fits"], shown["plan_layers"]["frame"]) == (True, {half_type(): 1})


@needs_half
def test_an_engine_that_fails_in_half_precision_computes_in_fp32_and_commands_say_so(
    bundle_copy, monkeypatch
):
    strict = {"bf16": 0.999995, "f16": 0.9999999}[half_type()]
    monkeypatch.setitem(LIMITS, "fp16", Limits(strict, strict, 1e-2, 0.999, 0.0, 0.0))
    report = trml_rt.build(bundle_copy, "fp16", backend="openvino")
    assert list(report.manifest.widened) == ["frame"]
    layers = report.manifest.plan_layers
    assert (layers["frame"], layers["fuse_text"]) == ({"f32": 1}, {half_type(): 1})
    head = (report.folder / "frame.blob").read_bytes().partition(b"\n")[0]
    assert head == b"computes in f32"
    words = ["--bundle", str(bundle_copy)]
    dry = ["build", "--backend", "openvino", "--precision", "fp16", "--dry-run", *words]
    assert CliRunner().invoke(program, dry).stdout.splitlines() == [
        f"fits already: {report.folder}",
        f"half precision of this CPU: {half_type()}",
    ]
    shown = CliRunner().invoke(program, ["inspect", *words]).stdout
    assert "    frame: layers as compiled: 1 in f32\n" in shown
    assert "    frame: computes in FP32, since video/frame_vectors: least cosine " in shown
    timed = ["bench", "--backend", "openvino", "--calls", "1", *words]
    shown = CliRunner().invoke(program, timed).stdout
    assert "fp16: frame computes in FP32, since video/frame_vectors: least cosine " in shown


def test_int8_engines_compute_in_int8_where_the_calibration_says_so(bundle_copy):
    pytest.importorskip("onnx")
    from tests.trml_calibration.test_calibrate import calibrated

    calibrated(bundle_copy, methods={"frame": "max"})
    report = trml_rt.build(bundle_copy, "int8", backend="openvino", verify=False)
    layers = report.manifest.plan_layers
    assert set(layers["frame"]) & {"i8", "u8"}
    others = {kind for name, found in layers.items() if name != "frame" for kind in found}
    assert others == {"f32"}
    heads = {
        name: (report.folder / f"{name}.blob").read_bytes().partition(b"\n")[0].decode()
        for name in ("frame", "text", "fuse_text")
    }
    assert heads["frame"] == f"computes in {half_type() or 'f32'}"
    assert {heads["text"], heads["fuse_text"]} == {"computes in f32"}
    with trml_rt.load(bundle_copy, backend="openvino", precision="int8") as rt:
        answer = rt.infer(video=np.zeros((2, 8, 8, 3), np.uint8))
    assert (answer.engines, answer.verified) == (report.folder.name, False)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_compiled_model_that_computes_in_another_type_is_not_installed(
    bundle_copy, monkeypatch, precision
):
    monkeypatch.setattr(module, "half_type", lambda: "bf16")
    monkeypatch.setattr(module, "_checked", lambda compiled, kind: compiled)
    monkeypatch.setattr(module, "_count_products", lambda compiled: {"f32": 3})
    if precision == "int8":
        pytest.importorskip("onnx")
        from tests.trml_calibration.test_calibrate import calibrated

        calibrated(bundle_copy, methods={"text": "max"})
    kind = {"fp16": "bf16 or f16", "int8": "i8 or u8"}[precision]
    words = rf"OpenVINO computes none of its products in {kind}, but in f32; take another precisi"
    with pytest.raises(VerificationFailed, match=words):
        trml_rt.build(bundle_copy, precision, backend="openvino")
    assert list((bundle_copy / "engines").glob("cpu-*")) == []


def test_fp32_stays_fp32_on_a_cpu_with_units_for_less(built):
    manifest = json.loads((built[1] / "manifest.json").read_text())
    assert {kind for layers in manifest["plan_layers"].values() for kind in layers} == {"f32"}


def test_fp16_is_refused_where_the_cpu_has_no_units_for_it(bundle_copy, monkeypatch):
    monkeypatch.setattr(module, "half_type", lambda: None)
    words = r"fp16 on openvino: this CPU has no units for bf16 or f16 \(its features: "
    for build in (trml_rt.build, trml_rt.preview_build):
        with pytest.raises(EnvironmentUnfit, match=words):
            build(bundle_copy, "fp16", backend="openvino")
    assert trml_rt.preview_build(bundle_copy, backend="openvino").would_build
    assert list((bundle_copy / "engines").glob("cpu-*")) == []
    assert built_for("openvino", CompileOptions())["half precision"] == "none"


def test_a_type_that_openvino_replaces_without_a_word_is_refused(tiny_bundle):
    unasked = {"bf16": "f16", "f16": "bf16", None: "f16"}[half_type()]
    bundle = Bundle(tiny_bundle)
    with pytest.raises(EnvironmentUnfit, match=f"OpenVINO computes in .* and not in {unasked}"):
        OpenVinoBackend().compile(bundle.path(bundle.manifest.engines["text"].file), unasked)


def test_threads_that_call_one_engine_get_their_own_answers(built):
    engine = loaded(built)
    rows = [{"ids": np.full((1, 2 + n % 3), 1 + n % 7, np.int32)} for n in range(8)]
    expected = [engine.run(row)["text_vector"] for row in rows]
    wrong = []

    def work(number):
        for _ in range(50):
            found = engine.run(rows[number])["text_vector"]
            if not np.array_equal(found, expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("precision", [None, "fp32"])
@pytest.mark.parametrize(
    ("arguments", "streams", "threads"),
    [
        ({"threads": 1}, "1", "1"),
        ({"threads": 1, "callers": 2}, "2", "2"),
        ({"callers": 2}, "2", None),
    ],
    ids=str,
)
def test_each_caller_has_a_stream_with_threads_of_its_own(
    built, precision, arguments, streams, threads
):
    bundle, _ = built
    with (
        trml_rt.load(bundle, backend="openvino", precision=precision, **arguments) as rt,
        trml_rt.load(bundle) as portable,
    ):
        assert rt.infer("good").score == pytest.approx(portable.infer("good").score, abs=1e-5)
        compiled = rt._dispatcher._engines.get("text")._compiled
        assert str(compiled.get_property("NUM_STREAMS")) == streams
        found = str(compiled.get_property("INFERENCE_NUM_THREADS"))
        assert found == threads or (threads is None and int(found) >= 1)


def test_outputs_are_the_callers_own(built):
    engine = loaded(built)
    first = engine.run(TEXT)["text_vector"]
    kept = first.copy()
    engine.run({"ids": np.array([[5, 6]], np.int32)})
    assert np.array_equal(first, kept)
    first[:] = 0
    assert np.array_equal(engine.run(TEXT)["text_vector"], kept)


def test_a_closed_engine_is_a_wrong_call_and_closing_twice_is_fine(built):
    engine = loaded(built)
    engine.close()
    engine.close()
    with pytest.raises(UsageError, match="closed"):
        engine.run(TEXT)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a model that `trml-rt build` compiled"),
        (b"computes in i4\n", "not a model that `trml-rt build` compiled"),
        (b"computes in f32\nnonsense", "OpenVINO cannot load it: "),
    ],
)
def test_a_file_that_is_no_engine_is_refused(built, tmp_path, content, words):
    file = tmp_path / "text.blob"
    file.write_bytes(content)
    with pytest.raises(ArtefactMismatch, match=rf"text\.blob: {words}"):
        loaded(built, file=file)


def test_a_file_that_is_not_there_is_refused(built, tmp_path):
    with pytest.raises(ArtefactMismatch, match=r"lost\.blob: cannot be read \(No such file"):
        loaded(built, file=tmp_path / "lost.blob")


def test_a_graph_that_openvino_does_not_know_is_refused(built, tmp_path):
    (tmp_path / "text.onnx").write_bytes(b"nonsense")
    engine = built[0].manifest.engines["text"]
    with pytest.raises(ArtefactMismatch, match=r"text\.onnx: OpenVINO cannot load it: Unable to r"):
        OpenVinoBackend().load(engine, tmp_path / "text.onnx")


def test_an_engine_of_other_tensors_is_refused(built):
    with pytest.raises(ArtefactMismatch, match="input 'ids': int32 stated, nothing found"):
        loaded(built, file=built[1] / "frame.blob")


def test_a_call_that_openvino_refuses_is_refused_in_one_sentence(built):
    with pytest.raises(ArtefactMismatch, match=r"text\.blob: OpenVINO cannot run it: Port for "):
        loaded(built).run({"words": np.ones((1, 2), np.int32)})


@pytest.mark.parametrize("words", ["Failed to allocate 8 bytes of memory", "std::bad_alloc"])
def test_too_little_memory_is_no_fault_of_the_engine(built, words):
    class Exhausted:
        def create_infer_request(self):
            raise RuntimeError(f"Exception from src/core.cpp:9:\n{words}\n\n")

    engine = module.OpenVinoEngine(Exhausted(), built[0].manifest.engines["text"], Path("a.blob"))
    with pytest.raises(EnvironmentUnfit, match=rf"a\.blob: this machine lacks .* \({words}\)"):
        engine.run(TEXT)


def test_a_folder_whose_name_is_no_text_serves(bundle_copy, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff"))
    bundle_copy.rename(odd)
    trml_rt.build(odd, backend="openvino")
    for precision in (None, "fp32"):
        with trml_rt.load(odd, backend="openvino", precision=precision) as rt:
            assert rt.infer(text="good").backend == "openvino"


def test_engines_of_another_version_are_refused_by_field(built, monkeypatch):
    here = built_for("openvino", CompileOptions())
    monkeypatch.setattr(module, "built_for", lambda *_: here | {"back end version": "2030.1"})
    with pytest.raises(ArtefactMismatch, match=r"back end version is '\d.*' there, '2030.1' here"):
        trml_rt.load(built[0], backend="openvino", precision="fp32")


def test_without_its_package_a_build_says_how_to_install_it(bundle_copy, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    words = r'OpenVINO is not installed; .*pip install "\.\[openvino\]", or take backend "onnxrunti'
    with pytest.raises(BackendUnavailable, match=words):
        trml_rt.build(bundle_copy, backend="openvino")
    [check] = module.checks("openvino", False)
    assert (check.ok, check.required) == (False, False)
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").backend == ONNXRUNTIME.name


def test_the_check_of_the_machine_names_cpu_and_half_precision():
    [check] = row_of("openvino").load().checks("openvino", True)
    assert (check.ok, check.required) == (True, True)
    assert check.found.endswith(f"half precision: {half_type() or 'none, so no fp16'}")


def test_a_build_writes_down_what_was_fastest_and_auto_takes_it(bundle_copy, monkeypatch):
    speeds = {"portable": 1.0, "onnxruntime fp32": 1.1, "openvino fp32": 1.5}

    def interleave(contenders, calls, **_):
        assert list(contenders) == list(speeds)
        return {name: {"answer": [0.0], "speed_up": speeds[name]} for name in contenders}

    monkeypatch.setattr(sys.modules["trml_rt.bench"], "interleave", interleave)
    first = trml_rt.build(bundle_copy, "fp32")
    assert read_fastest(Bundle(bundle_copy)) is None
    report = trml_rt.build(bundle_copy, "fp32", backend="openvino", advise=True)
    assert report.recommended == "openvino fp32"
    found = read_fastest(Bundle(bundle_copy))
    sets = ("text", "video", "text_video")
    assert found.engines == report.folder.name
    assert found.compared == {
        first.folder.name: dict.fromkeys(sets, 1.1),
        report.folder.name: dict.fromkeys(sets, 1.5),
    }
    with trml_rt.load(bundle_copy) as rt:
        answer = rt.infer(text="good")
    assert (answer.backend, answer.engines) == ("openvino", report.folder.name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with trml_rt.load(bundle_copy) as rt:  # without the package nothing else changes
        assert rt.infer(text="good").backend == "onnxruntime"


def test_the_command_measures_at_the_end_of_a_build_and_bench_times_all_back_ends(
    bundle_copy, tmp_path
):
    words = ["--bundle", str(bundle_copy), "--json"]
    built = CliRunner().invoke(program, ["build", "--backend", "openvino", *words])
    assert built.exit_code == 0, built.output
    content = json.loads(built.stdout)
    assert content["recommended"] in ("portable", "openvino fp32")
    assert "openvino fp32 text" in content["because"]
    assert read_fastest(Bundle(bundle_copy)).compared.keys() == {Path(content["engines"]).name}
    trml_rt.build(bundle_copy, "fp32")
    timed = CliRunner().invoke(program, ["bench", "--backend", "auto", "--calls", "1", *words])
    report = json.loads(timed.stdout)
    assert list(report["engine_sets"]["text"]) == ["portable", "onnxruntime fp32", "openvino fp32"]
    assert report["engines"]["openvino fp32"] == Path(content["engines"]).name
    assert report["engine_sets"]["video"]["openvino fp32"]["score_difference"] < 1e-4


def test_a_bench_of_all_back_ends_times_verified_engines_alone(bundle_copy):
    trml_rt.build(bundle_copy, backend="openvino", verify=False)
    words = "no fp32 engines that fit and are verified; `trml-rt inspect` says why"
    with pytest.raises(ArtefactMismatch, match=words):
        trml_rt.bench(bundle_copy, "fp32", backend="auto")
