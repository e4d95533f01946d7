"""Calibration of a bundle: the record, the refusals, and INT8 engines built from it."""

from __future__ import annotations

import json
import os
import shutil
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")

from click.testing import CliRunner
from PIL import Image

import trml_rt
from tests.trml_calibration.tiny_cases import cases
from trml_calibration.calibrate import calibrate
from trml_calibration.judge import MaxDrop
from trml_calibration.search import guard
from trml_rt.build import build
from trml_rt.bundle import places
from trml_rt.bundle.calibration import open_calibration
from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as program
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError, VerificationFailed
from trml_rt.proof.golden import golden_answers

WORDS = ("good", "bad", "day", "what", "a", "not")
DATA = {"sha256": "0" * 64, "split": "train"}
METHODS = {"text": "max", "frame": "max"}
LAYER = "/MatMulAddFusion"  # the one of the tiny bundle's frame encoder
WIDE = MaxDrop(cosine=0.02, points=100)  # one layer of four channels is no fine thing to round


def feeds(count=40):
    make = np.random.default_rng(0)
    return {
        "text": [
            {"ids": make.integers(2, 12, (1, 4 + i % 4)).astype(np.int32)} for i in range(count)
        ],
        "frame": [
            {"frames": make.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)} for _ in range(count)
        ],
    }


def calibrated(folder, *, methods=METHODS, max_drop=WIDE, **options):
    bundle = Bundle(folder)
    calibrate(
        bundle,
        feeds(),
        cases(),
        folder / "calibration",
        data=DATA,
        methods=methods,
        max_drop=max_drop,
        **options,
    )
    return bundle


@pytest.fixture
def rows(tmp_path):
    """Forty-eight rows with a text and a picture each."""
    make = np.random.default_rng(1)
    lines = []
    for number in range(48):
        Image.fromarray(make.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(
            tmp_path / f"{number}.png"
        )
        words = " ".join(make.choice(WORDS, 5))
        row = {"id": f"r{number}", "split": "train", "text": words, "video": f"{number}.png"}
        lines.append(json.dumps(row))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    return tmp_path / "rows.jsonl"


def test_the_record_names_data_method_and_every_layer(bundle_copy):
    record = open_calibration(calibrated(bundle_copy)).record
    assert record.data.model_dump() == DATA
    assert record.engines["frame"].method == "max"
    assert list(record.engines["frame"].forms["cpu"].layers.values()) == ["int8"]
    assert record.engines["text"].forms["cpu"].layers == {}


def test_the_same_data_give_the_same_bytes(bundle_copy):
    calibrated(bundle_copy)
    first = {p.name: p.read_bytes() for p in (bundle_copy / "calibration").iterdir()}
    calibrated(bundle_copy, force=True)
    assert {p.name: p.read_bytes() for p in (bundle_copy / "calibration").iterdir()} == first


def content(folder):
    return {path.name: path.read_bytes() for path in (folder / "calibration").iterdir()}


class Searches:
    """Counts the searches, and stops before the one of number `last` as Ctrl-C does."""

    def __init__(self):
        self.done, self.last = 0, None

    def __call__(self, *words):
        if self.done == self.last:
            raise KeyboardInterrupt
        self.done += 1
        return guard(*words)


@pytest.fixture
def searches(monkeypatch):
    counting = Searches()
    monkeypatch.setattr("trml_calibration.calibrate.guard", counting)
    return counting


def stop_after(searches, folder, count, **options):
    """Calibrate `folder`, interrupted after `count` searches; then count anew, without a stop."""
    searches.done, searches.last = 0, count
    with pytest.raises(KeyboardInterrupt):
        calibrated(folder, **options)
    searches.done, searches.last = 0, None


def leftovers(folder):
    return [path.name for path in folder.glob(".partial-*")]


@pytest.mark.parametrize("max_drop", [WIDE, MaxDrop(cosine=1e-6, points=100)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_interrupted_calibration_goes_on_to_the_same_bytes(
    bundle_copy, searches, count, max_drop
):
    calibrated(bundle_copy, max_drop=max_drop)
    expected = content(bundle_copy)
    shutil.rmtree(bundle_copy / "calibration")
    stop_after(searches, bundle_copy, count, max_drop=max_drop)
    assert leftovers(bundle_copy) == [".partial-calibration"]
    calibrated(bundle_copy, max_drop=max_drop)
    assert searches.done == 4 - count
    assert content(bundle_copy) == expected
    assert leftovers(bundle_copy) == []


@pytest.mark.parametrize(
    "change",
    [{"max_drop": MaxDrop(cosine=0.03, points=100)}, {"methods": METHODS | {"text": "entropy"}}],
)
def test_what_was_found_of_another_input_is_found_anew(bundle_copy, searches, change):
    stop_after(searches, bundle_copy, 3)
    calibrated(bundle_copy, **change)
    assert searches.done == 4


def test_force_finds_everything_anew(bundle_copy, searches):
    stop_after(searches, bundle_copy, 3)
    calibrated(bundle_copy, force=True)
    assert searches.done == 4


def test_a_user_of_one_form_does_not_wait_for_the_other(bundle_copy, searches):
    record = open_calibration(calibrated(bundle_copy, wanted=["cpu"])).record
    assert searches.done == 2
    assert [list(engine.forms) for engine in record.engines.values()] == [["cpu"], ["cpu"]]
    assert [list(engine.left_out) for engine in record.engines.values()] == [[], []]
    assert build(Bundle(bundle_copy), "int8").verified


def test_a_build_that_takes_the_form_that_was_not_made_says_what_makes_it(bundle_copy):
    calibrated(bundle_copy, wanted=["portable"])
    words = r"calibrated without the cpu form, .*: trml-rt calibrate .* --data rows.jsonl --force"
    with pytest.raises(ArtefactMismatch, match=words):
        build(Bundle(bundle_copy), "int8")


def test_the_command_takes_forms_and_refuses_others(bundle_copy, rows):
    words = ["calibrate", str(bundle_copy), "--data", str(rows), "--max-drop", "0.02", "--json"]
    result = CliRunner().invoke(program, [*words, "--form", "cpu"])
    engines = json.loads(result.stdout)["engines"]
    assert [list(engine["forms"]) for engine in engines.values()] == [["cpu"], ["cpu"]]
    assert CliRunner().invoke(program, [*words, "--form", "gpu"]).exit_code == 2
    with pytest.raises(UsageError, match="no form 'gpu'; choose portable, cpu"):
        trml_rt.calibrate(bundle_copy, rows, forms="gpu", force=True)


def test_an_existing_calibration_is_not_replaced_unasked(bundle_copy):
    calibrated(bundle_copy)
    with pytest.raises(UsageError, match="exists already"):
        calibrated(bundle_copy)


def test_a_modality_without_samples_is_refused(bundle_copy):
    some = {"text": feeds()["text"]}
    with pytest.raises(UsageError, match="calibrating 'frame' needs 32 samples"):
        calibrate(
            Bundle(bundle_copy),
            some,
            cases(),
            bundle_copy / "calibration",
            data=DATA,
            methods=METHODS,
            max_drop=WIDE,
        )
    assert not (bundle_copy / "calibration").exists()


def test_a_full_disk_is_said_and_leaves_nothing(bundle_copy, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trml_calibration.calibrate.store_fp16", full)
    with pytest.raises(EnvironmentUnfit, match="free some space"):
        calibrated(bundle_copy)
    assert not (bundle_copy / "calibration").exists()


def test_int8_engines_answer_and_say_what_they_are(bundle_copy):
    bundle = calibrated(bundle_copy)
    report = build(bundle, "int8")
    assert (report.manifest.weights, report.manifest.compute) == ("int8", "int8")
    assert "_int8_" in report.folder.name
    with trml_rt.load(bundle_copy) as portable, trml_rt.load(bundle_copy, precision="int8") as rt:
        answer, expected = rt.infer(text="good day"), portable.infer(text="good day")
    assert answer.verified
    assert answer.score == pytest.approx(expected.score, abs=0.05)


def test_tensorrt_compiles_the_calibrated_graph_with_the_rest_of_it_in_fp16(bundle_copy):
    pytest.importorskip("tensorrt_rtx", reason='needs pip install ".[rtx]"')
    calibrated(bundle_copy)
    words = ["build", "--bundle", str(bundle_copy), "--backend", "tensorrt-rtx", "--target", "8.9"]
    result = CliRunner().invoke(program, [*words, "--precision", "int8", "--json"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["products"]["frame"] == {"int8": 1}
    assert content["products"]["fuse_text"] == {"fp16": 1}
    assert {name.partition("_")[0] for name in content["islands"]["frame"]} == {
        "ReduceMean",
        "ReduceL2",
    }


def test_int8_without_a_calibration_is_refused_with_the_command(bundle_copy):
    with pytest.raises(ArtefactMismatch, match=r"int8 needs ranges from real data: trml-rt calib"):
        build(Bundle(bundle_copy), "int8")


def test_a_changed_byte_in_a_calibrated_graph_is_refused(bundle_copy):
    bundle = calibrated(bundle_copy)
    path = bundle_copy / "calibration" / "frame.cpu.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtefactMismatch, match=r"frame\.cpu\.onnx: the content differs"):
        build(bundle, "int8")


def test_a_calibration_of_other_graphs_is_refused(bundle_copy):
    calibrated(bundle_copy)
    path = bundle_copy / "calibration" / "calibration.json"
    content = json.loads(path.read_text())
    content["engines"]["text"]["source"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(ArtefactMismatch, match="text was calibrated for a graph 000"):
        build(bundle_copy, "int8")


def test_engines_of_another_calibration_do_not_fit(bundle_copy):
    build(calibrated(bundle_copy), "int8")
    calibrated(bundle_copy, force=True, max_drop=MaxDrop(cosine=0.5))
    with pytest.raises(ArtefactMismatch, match=r"calibration is '.*' there"):
        trml_rt.load(bundle_copy, precision="int8")


def test_the_commands_calibrate_build_and_inspect(bundle_copy, rows):
    def run(*words):
        result = CliRunner().invoke(program, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.stdout

    out = run(
        "calibrate", bundle_copy, "--data", rows, "--method", "frame=entropy", "--max-drop", 0.02
    )
    assert "frame, cpu: 1 of 1 layers in INT8" in out
    run("build", "--bundle", bundle_copy, "--precision", "int8", "--no-bench")
    assert "frame: 1 of 1 layers in INT8" in run("inspect", "--bundle", bundle_copy)


def test_an_int8_build_says_at_its_end_what_to_run_and_why(bundle_copy, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    calibrated(bundle_copy)
    words = ["build", "--bundle", str(bundle_copy), "--precision", "int8", "--json"]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["recommended"] in ("portable", "int8")
    assert "int8 text" in content["because"]


def test_an_unknown_engine_or_method_is_a_usage_error(bundle_copy, rows):
    for word in ("mood=max", "guess"):
        words = ["calibrate", str(bundle_copy), "--data", str(rows), "--method", word]
        assert CliRunner().invoke(program, words).exit_code == 2


def test_an_encoder_that_was_not_asked_for_stays_in_fp32(bundle_copy):
    bundle = calibrated(bundle_copy, methods={"frame": "max"})
    assert list(open_calibration(bundle).record.engines) == ["frame"]
    files = build(bundle, "int8").manifest.files
    assert (files["frame"].layers, files["text"].layers) == ({LAYER: "int8"}, {})


def test_an_encoder_that_cannot_hold_the_gate_is_left_out_and_recorded(bundle_copy):
    bundle = calibrated(bundle_copy, max_drop=MaxDrop(cosine=1e-6))
    frame = open_calibration(bundle).record.engines["frame"]
    assert frame.forms == {}
    assert list(frame.left_out) == ["portable", "cpu"]
    assert [harm.layer for harm in frame.left_out["cpu"].sensitivity] == [LAYER]
    report = build(bundle, "int8")
    assert report.manifest.files["frame"].layers == {}


def test_no_encoder_in_int8_is_a_failure_and_leaves_nothing(bundle_copy):
    with pytest.raises(VerificationFailed, match=r"no encoder holds the gate.*--max-drop"):
        calibrated(bundle_copy, methods={"frame": "max"}, max_drop=MaxDrop(cosine=1e-6))
    assert not (bundle_copy / "calibration").exists()


def test_a_form_without_one_int8_encoder_is_not_built_as_int8(bundle_copy):
    calibrated(bundle_copy)
    path = bundle_copy / "calibration" / "calibration.json"
    record = json.loads(path.read_text())
    for engine in record["engines"].values():
        form = engine["forms"].pop("cpu")
        engine["left_out"]["cpu"] = {
            key: form[key] for key in ("refined", "checked", "sensitivity")
        }
    path.write_text(json.dumps(record))
    with pytest.raises(ArtefactMismatch, match=r"every encoder in FP32 .* --max-drop"):
        build(Bundle(bundle_copy), "int8")


def test_the_record_says_what_each_engine_set_lost(bundle_copy):
    record = open_calibration(calibrated(bundle_copy)).record
    seen = record.engines["frame"].forms["cpu"].checked
    assert list(seen) == ["video", "text_video"]
    assert seen["video"].rows > len(cases())  # those of the golden files are among them
    assert 0.98 <= seen["video"].least_cosine < 1
    assert seen["video"].points_lost is None  # no labels


@pytest.mark.parametrize("word", ["much", "2", "-0.1", "1 points", "1pointss"])
def test_a_drop_that_is_none_is_a_usage_error(bundle_copy, rows, word):
    words = ["calibrate", str(bundle_copy), "--data", str(rows), f"--max-drop={word}"]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 2
    assert "such as 0.01" in result.stderr


def test_a_drop_in_points_and_one_of_the_cosine_are_kept_in_the_record(bundle_copy, rows):
    words = ["calibrate", str(bundle_copy), "--data", str(rows), "--engine", "text"]
    words += ["--max-drop", "0.5points", "--max-drop", "0.02", "--json"]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["max_drop"] == {"cosine": 0.02, "points": 0.5}
    assert list(content["engines"]) == ["text"]


def test_rows_of_the_check_take_no_part_in_the_ranges(bundle_copy, rows):
    """Forty-eight rows are thirty-six samples, and twelve to check on."""
    words = ["calibrate", str(bundle_copy), "--data", str(rows), "--max-drop", "0.02", "--json"]
    content = json.loads(CliRunner().invoke(program, words).stdout)
    golden = sum(
        len(case.inputs["frame_mask"])
        for case in golden_answers(Bundle(bundle_copy))[0]
        if "frame_mask" in case.inputs
    )
    frame = content["engines"]["frame"]
    assert frame["samples"] == 36
    assert frame["forms"]["cpu"]["checked"]["video"]["rows"] == 12 + golden


def test_a_calibration_replaces_nothing_through_a_link_of_the_bundle(bundle_copy, rows, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "calibration.json").write_text("mine")
    (bundle_copy / "calibration").symlink_to(victim)
    words = ["calibrate", str(bundle_copy), "--data", str(rows), "--force"]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 5
    assert "is a link, which no build writes through" in result.stderr
    assert (victim / "calibration.json").read_text() == "mine"


@pytest.mark.parametrize("form", ["text.portable.onnx", "text.cpu.onnx"])
def test_inspect_and_lint_see_a_changed_graph_of_either_form(bundle_copy, form):
    calibrated(bundle_copy)
    assert trml_rt.inspect(bundle_copy).calibration["frame"]["forms"]["cpu"]["in_int8"] == 1
    path = bundle_copy / "calibration" / form
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtefactMismatch, match=f"{form}: the content differs"):
        trml_rt.inspect(bundle_copy)
    assert [f.text for f in trml_rt.lint(bundle_copy).findings if f.rule == "hash"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["data"].pop("sha256"), "data.sha256: key is missing"),
        (lambda r: r["data"].update(split=7), "data.split: a string expected, 7 found"),
        (lambda r: r["data"].update(more="x"), "data.more: unknown key"),
        (lambda r: r["engines"]["text"].update(samples=0), "samples: a positive whole number"),
        (lambda r: checked(r).update(rows=-5), "rows: a positive whole number expected, -5 found"),
        (lambda r: checked(r).update(flips=1.5), "flips: at most 1"),
        (lambda r: checked(r).update(least_cosine=-2.0), "least_cosine: at least -1.001"),
    ],
)
def test_a_record_of_what_cannot_be_is_refused(bundle_copy, change, words):
    calibrated(bundle_copy)
    path = bundle_copy / "calibration" / "calibration.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtefactMismatch, match=words):
        trml_rt.inspect(bundle_copy)


def checked(record):
    return record["engines"]["text"]["forms"]["cpu"]["checked"]["text"]


def test_a_calibration_of_the_shipped_bundle_lies_elsewhere(
    bundle_copy, rows, tmp_path, monkeypatch
):
    monkeypatch.setattr(places, "default_bundle", lambda: bundle_copy)
    words = r"--data rows\.jsonl --out calibration, then build with --calibration calibration$"
    with pytest.raises(ArtefactMismatch, match=words):
        build(bundle_copy, "int8")
    with pytest.raises(UsageError, match=r"would lie in the installed package.*--out"):
        trml_rt.calibrate(bundle_copy, rows)
    assert not (bundle_copy / "calibration").exists()
    report = trml_rt.calibrate(bundle_copy, rows, out=tmp_path / "out", max_drop=0.05)
    assert report.folder == tmp_path / "out"
