"""Timing: the protocol between processes, and the advice that is drawn from it."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import threading

import pytest
from click.testing import CliRunner

from tests import media
from trml_rt.backends.process import python_command
from trml_rt.bench import BenchReport, recommend
from trml_rt.build import build
from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as program
from trml_rt.cli.bench_worker import engine_set_call
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError
from trml_rt.proof.board import Board
from trml_rt.proof.interleave import interleave

CONTENDER = """
import json, sys
say = lambda content: print(json.dumps(content), flush=True)
say({"load_ms": 1, "first_call_ms": 2})
for number, _ in enumerate(sys.stdin):
    say({"ms": %s * (number + 1), "answer": [number]})
say({"peak_mb": 7})
"""


def command(ms):
    return [sys.executable, "-c", CONTENDER % ms]


def test_calls_alternate_and_every_figure_comes_from_the_contender():
    found = interleave({"slow": command(2), "fast": command(1)}, 5, warm_up=1)
    assert found["slow"]["p50_ms"] == 8  # calls 2 to 6 of 2 ms more each
    assert found["fast"] == {
        **{"load_ms": 1, "first_call_ms": 2, "p25_ms": 3, "p50_ms": 4, "p75_ms": 5, "p90_ms": 5.6},
        **{"p99_ms": 5.96, "calls": 5, "peak_mb": 7, "speed_up": 2.0, "answer": [5]},
    }


def test_energy_is_the_mean_of_what_is_drawn_during_the_timed_calls():
    meter = iter([0.0, 100.0, 100.0, 103.0, 110.0, 111.0])  # before and after each call
    found = interleave({"a": command(1)}, 2, warm_up=1, joules=lambda: next(meter))
    assert found["a"]["joules_a_call"] == 2.0
    assert interleave({"a": command(1)}, 2, joules=lambda: None)["a"]["joules_a_call"] is None


def test_a_contender_that_dies_is_named():
    with pytest.raises(EnvironmentUnfit, match="'dead' ended early"):
        interleave({"dead": [sys.executable, "-c", "pass"]}, 3)


# It closes its input before it answers, so that the next call meets a broken pipe.
DYING = """
import json, os, sys
print(json.dumps({"load_ms": 1, "first_call_ms": 2}), flush=True)
sys.stdin.readline()
os.close(0)
print(json.dumps({"ms": 1, "answer": [1]}), flush=True)
"""


def test_a_contender_that_dies_between_two_calls_is_named():
    with pytest.raises(EnvironmentUnfit, match="'dying' ended early"):
        interleave({"dying": [sys.executable, "-c", DYING]}, 3)


def report(**gains):
    """Return engine sets in which each precision has the gains given for text and video."""
    return {
        name: {"portable": {"speed_up": 1.0}}
        | {precision: {"speed_up": pair[place]} for precision, pair in gains.items()}
        for place, name in enumerate(("text", "video"))
    }


def test_the_advice_lets_no_engine_set_get_slower():
    assert recommend(report(fp16=(1.0, 1.1), int8=(1.6, 1.3)))[0] == "int8"
    choice, why = recommend(report(fp16=(1.0, 1.0), int8=(2.0, 0.7)))
    assert choice == "portable"
    assert "int8 text 2.00x, video 0.70x" in why
    assert recommend(report())[0] == "portable"


def test_a_gain_on_one_engine_set_is_enough_where_the_others_stay_level():
    assert recommend(report(int8=(1.6, 0.99)))[0] == "int8"
    assert recommend(report(int8=(1.04, 1.0)))[0] == "portable"
    assert recommend(report(fp16=(1.3, 1.0), int8=(1.6, 1.0)))[0] == "int8"


def test_int8_must_beat_fp16_and_not_the_portable_graphs_alone():
    assert recommend(report(fp16=(3.0, 3.0), int8=(3.1, 3.1)))[0] == "fp16"
    assert recommend(report(fp16=(3.0, 3.0), int8=(3.3, 3.3)))[0] == "int8"
    assert recommend(report(fp32=(3.0, 3.0), fp16=(0.5, 9.0), int8=(2.0, 2.0)))[0] == "fp32"


def test_a_precision_that_is_not_built_is_refused(bundle_copy):
    from trml_rt.bench import bench

    with pytest.raises(ArtefactMismatch, match="no fp16 engines yet"):
        bench(Bundle(bundle_copy), ["fp16"])


def test_with_nothing_built_the_advice_is_to_build_something(bundle_copy):
    result = CliRunner().invoke(program, ["bench", "--bundle", str(bundle_copy), "--calls", "1"])
    assert result.exit_code == 0, result.output
    command = f"trml-rt build --bundle {bundle_copy} --precision fp32"
    advice = f"portable (nothing else that fits is built; build one: {command})"
    assert result.stdout.splitlines()[-1] == f"recommended: {advice}"


def test_a_contender_that_cannot_load_says_so_in_one_sentence(bundle_copy):
    wanted = {"engine_set": "text", "backend": "onnxruntime", "precision": "fp16"}
    words = [json.dumps({"bundle": str(bundle_copy), **wanted})]
    ended = subprocess.run(
        python_command("trml_rt.cli.bench_worker", *words),
        **{"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "check": False},
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(f"trml-rt: {bundle_copy}: no fp16 engines yet")


def test_the_command_times_every_engine_set(bundle_copy):
    build(Bundle(bundle_copy), "fp32")
    words = ["bench", "--bundle", str(bundle_copy), "--calls", "2", "--json"]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 0, result.output
    sets = json.loads(result.stdout)["engine_sets"]
    assert list(sets) == ["text", "video", "text_video"]
    assert list(sets["text"]) == ["portable", "fp32"]
    assert sets["text"]["fp32"]["score_difference"] < 1e-5


def test_rows_and_callers_are_timed_and_every_answer_is_held_to_the_portable_one(bundle_copy):
    build(Bundle(bundle_copy), "fp32")
    words = ["bench", "--bundle", str(bundle_copy), "--calls", "5", "--text", "good"]
    more = ["--batch", "1, 3,3", "--callers", "2"]
    result = CliRunner().invoke(program, [*words, *more, "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert list(report["batches"]) == list(report["callers"]) == ["text"]
    assert list(report["batches"]["text"]) == ["1", "3"]
    measured = report["batches"]["text"]["3"]["fp32"]
    assert measured["rows_a_second"] == pytest.approx(3e3 / measured["p50_ms"], rel=0.01)
    assert measured["score_difference"] < 1e-5
    assert measured["calls"] == 5
    at_once = report["callers"]["text"]["2"]["fp32"]
    assert at_once["rounds"] == 2  # of four calls: each caller makes at least 5
    assert at_once["calls_a_second"] == pytest.approx(8e3 / at_once["p50_ms"], rel=0.01)
    assert at_once["score_difference"] < 1e-5
    lines = CliRunner().invoke(program, [*words, *more]).stdout.splitlines()
    head = lines.index("text: rows a second, by rows a call")
    assert lines[head + 1].split() == ["1", "3"]
    assert [line.split()[0] for line in lines[head + 2 : head + 4]] == ["portable", "fp32"]
    assert "text: calls a second, by callers at once" in lines


def test_a_worker_calls_on_as_many_rows_or_threads_as_it_is_told(bundle_copy):
    arguments = (str(bundle_copy), "text", "onnxruntime", "portable")
    alone = engine_set_call(*arguments)().answer
    assert engine_set_call(*arguments, rows=3)().answer == pytest.approx(alone * 3, abs=1e-5)
    before = threading.active_count()
    at_once = engine_set_call(*arguments, callers=2, calls=4)
    assert at_once().answer == pytest.approx(alone * 8, abs=1e-5)
    assert threading.active_count() == before + 2


@pytest.mark.parametrize("numbers", ["0", "65537", "two", "", "1,,2", "1;2"])
@pytest.mark.parametrize("option", ["--batch", "--callers"])
def test_numbers_that_make_no_sense_are_refused(option, numbers):
    result = CliRunner().invoke(program, ["bench", option, numbers])
    assert result.exit_code == 2
    assert option in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["batches", "callers"])
@pytest.mark.parametrize("value", [8, "8", [0], [True], ["8"], None])
def test_lists_of_numbers_that_make_no_sense_are_refused_in_python(bundle_copy, name, value):
    with pytest.raises(UsageError, match=f"^{name}: must be "):
        sys.modules["trml_rt.bench"].bench(bundle_copy, **{name: value})


def test_a_report_is_compared_with_an_earlier_one_which_must_be_of_the_same(bundle_copy, tmp_path):
    words = ["bench", "--bundle", str(bundle_copy), "--calls", "3", "--text", "good"]
    first = CliRunner().invoke(program, [*words, "--json"])
    path = tmp_path / "earlier.json"
    path.write_text(first.stdout)
    second = CliRunner().invoke(program, [*words, "--compare", str(path)])
    assert second.exit_code == 0, second.output
    assert f"against {path}" in second.stdout
    assert re.search(r"^  text, portable +\d+\.\d\dx  (faster|slower|same)$", second.stdout, re.M)
    content = json.loads(first.stdout)
    content["engine_sets"]["video"] = content["engine_sets"].pop("text")
    path.write_text(json.dumps(content))
    other = CliRunner().invoke(program, [*words, "--compare", str(path)])
    assert "  2 more in one of the two alone; --json names them" in other.stdout
    words[-1] = "bad"
    refused = CliRunner().invoke(program, [*words, "--compare", str(path)])
    assert refused.exit_code == 5
    told = f"{path}: inputs is {{'text': 'good'}} there, {{'text': 'bad'}} here; compare with"
    assert told in refused.stderr
    absent = CliRunner().invoke(program, [*words, "--compare", str(path.with_name("no.json"))])
    assert absent.exit_code == 2
    assert "correct --compare" in absent.stderr


def test_energy_clock_and_heat_are_printed_and_warned_of(bundle_copy, monkeypatch, tmp_path):
    rises = itertools.count()

    class Warm(Board):
        def __init__(self) -> None:
            super().__init__(tmp_path)

        def _watch(self) -> None:
            pass  # it would read the meter, too

        def joules(self) -> float:
            return next(rises)

        def report(self) -> dict:
            heat = {"highest": 88.0, "sensor": "coretemp"}
            seen = {"energy": "RAPL package-0", "throttled": 2, "temperature_c": heat}
            seen["clock_mhz"] = {"first": 2000, "last": 1500}
            return super().report() | seen | {"warnings": ["the clock fell"]}

    monkeypatch.setattr(sys.modules["trml_rt.bench"], "Board", Warm)
    words = ["bench", "--bundle", str(bundle_copy), "--calls", "1", "--text", "good"]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 0, result.output
    assert "  1.000 J  1.00x" in result.stdout
    assert "energy RAPL package-0, with what every other process draws" in result.stdout
    assert "clock 2000 to 1500 MHz; throttled 2 times; at most 88 °C (coretemp)" in result.stdout
    assert "the clock fell" in result.stderr


def test_a_peak_that_the_system_does_not_tell_is_called_unknown(bundle_copy, monkeypatch):
    figures = dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "load_ms", "first_call_ms"), 1.0)
    contenders = {"portable": {**figures, "peak_mb": None, "joules_a_call": None, "speed_up": 1.0}}
    report = BenchReport(
        *(1, "b", "0" * 64, "onnxruntime", {}, None, {"text": contenders}, {}, {}, {}),
        *("portable", "alone", {}, {}, Board(bundle_copy).report(), None),
    )
    monkeypatch.setattr(sys.modules["trml_rt.bench"], "bench", lambda *_, **__: report)
    result = CliRunner().invoke(program, ["bench", "--bundle", str(bundle_copy)])
    assert "peak unknown  " in result.output
    assert "nan" not in result.output


def test_calls_go_from_files_to_the_answer_and_tell_their_parts(bundle_copy, tmp_path):
    clip = media.write_video(tmp_path / "a.mp4", 20)
    words = ["bench", "--bundle", str(bundle_copy), "--calls", "3", "--video", str(clip)]
    result = CliRunner().invoke(program, [*words, "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["inputs"] == {"video": str(clip)}
    assert list(report["engine_sets"]) == ["video"]
    measured = report["engine_sets"]["video"]["portable"]
    assert list(measured["shares_ms"]) == ["decode", "preprocess", "frame", "fuse_video", "rest"]
    assert measured["shares_ms"]["decode"] > 0
    assert sum(measured["shares_ms"].values()) == pytest.approx(measured["p50_ms"], rel=0.5)
    lines = CliRunner().invoke(program, [*words, "--text", "good"]).stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")][:3] == [
        "text",
        "video",
        "text_video",
    ]
    assert any(line.strip().startswith("decode ") for line in lines)


def test_a_text_of_unknown_tokens_is_refused_although_the_video_would_do(bundle_copy, tmp_path):
    clip = media.write_video(tmp_path / "a.mp4", 20)
    words = ["--video", str(clip), "--text", "\U0001f60d"]
    result = CliRunner().invoke(program, ["bench", "--bundle", str(bundle_copy), *words])
    assert result.exit_code == 6
    assert "knows no part of the text" in result.stderr


def test_an_input_that_the_bundle_does_not_serve_is_refused(bundle_copy, monkeypatch):
    opened = Bundle(bundle_copy)
    text_alone = [each for each in opened.manifest.engine_sets if each.name == "text"]
    fewer = opened.manifest.model_copy(update={"engine_sets": text_alone})
    monkeypatch.setattr(opened, "manifest", fewer)
    with pytest.raises(UsageError, match="does not serve video"):
        sys.modules["trml_rt.bench"].bench(opened, video=media.write_video(bundle_copy / "a.mp4"))


@pytest.mark.parametrize("option", ["--text", "--video"])
def test_an_input_that_cannot_be_used_is_refused_before_any_timing(bundle_copy, tmp_path, option):
    path = tmp_path / "empty.mp4"
    path.touch()
    words = ["bench", "--bundle", str(bundle_copy), option, str(path)]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 6
    assert "empty.mp4" in result.stderr
