"""Every argument that makes no sense is one sentence, in Python and on the command line."""

from __future__ import annotations

import os

import numpy as np
import pytest
from click.testing import CliRunner

import trml_rt
from tests.conftest import TINY
from trml_rt import CompileOptions, UsageError
from trml_rt.bundle import arguments
from trml_rt.cli import trml_rt as program

BAD_PATHS = [5, b"bytes", "", "zero\0byte", True, ["a"], "\ud800"]
BAD_COUNTS = [0, -5, 1.5, "3", None, True, 10**5000 * -1]
ELSEWHERE = {"backend": "tensorrt-rtx"}


def refused(function, *given, **named) -> str:
    with pytest.raises(UsageError) as caught:
        function(*given, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", BAD_PATHS, ids=repr)
def test_what_is_no_path_is_named_by_its_argument(value):
    for function in (trml_rt.load, trml_rt.inspect, trml_rt.doctor, trml_rt.bench, trml_rt.build):
        assert refused(function, value).startswith("bundle: ")
    assert refused(trml_rt.calibrate, TINY, value).startswith("data: ")
    assert refused(trml_rt.verify, TINY, data=value).startswith("data: ")
    assert refused(trml_rt.build, TINY, data=value).startswith("data: ")
    named = {"precision": "int8", "calibration": value}
    assert refused(trml_rt.build, TINY, **named).startswith("calibration: ")
    assert refused(trml_rt.preview_build, TINY, **named).startswith("calibration: ")


@pytest.mark.parametrize("value", BAD_COUNTS, ids=lambda value: str(type(value)))
def test_what_is_no_count_is_refused_with_the_least_one(value, tmp_path):
    for sentence in (
        refused(trml_rt.calibrate, TINY, tmp_path, rows=value),
        refused(trml_rt.verify, TINY, data=tmp_path, rows=value),
        refused(trml_rt.build, TINY, data=tmp_path, rows=value),
    ):
        assert sentence.startswith("rows: must be a whole number, at least 1, not ")
    assert refused(trml_rt.calibrate, TINY, tmp_path, samples=value).startswith("samples: must")
    assert refused(trml_rt.bench, TINY, calls=value).startswith("calls: must")


@pytest.mark.parametrize("value", [0, -1, 10**9, 1.5, "2"], ids=repr)
def test_threads_are_the_same_to_load_bench_and_the_commands(value):
    for function in (trml_rt.load, trml_rt.bench):
        assert refused(function, TINY, threads=value).startswith("threads: must be a whole")
    for command in ("infer", "bench"):
        if value != "2":
            assert CliRunner().invoke(program, [command, f"--threads={value}"]).exit_code == 2


@pytest.mark.parametrize("value", [0, 257, 1.5, "2", None, True], ids=repr)
def test_what_is_no_number_of_callers_is_refused_with_the_limits(value):
    sentence = refused(trml_rt.load, TINY, callers=value)
    assert sentence.startswith("callers: must be a whole number, 1 to 256, not ")


def test_callers_have_no_more_threads_in_all_than_an_engine_may_have():
    arguments.check_threads(64, 4)
    sentence = refused(trml_rt.load, TINY, callers=4, threads=65)
    assert sentence == "callers: 4 with 65 threads each are more than 256 threads; give fewer"


def test_the_command_line_has_the_limits_of_the_functions():
    # test_bench.py has the limits of two; a command's --device is a name, native_runtime's a number
    seen, others = set(), {"batches", "callers", "device"}
    for command in program.commands.values():
        for option in command.params:
            if option.name in arguments.WHOLE and option.name not in others:
                limits = (option.type.min, option.type.max)
                assert limits == arguments.WHOLE[option.name], (command.name, option.name)
                seen.add(option.name)
    assert seen == arguments.WHOLE.keys() - others


@pytest.mark.parametrize("value", [None, "int4", 16, ["fp32"]], ids=repr)
def test_a_precision_that_there_is_not_is_refused_with_the_choice(value):
    for function in (trml_rt.verify, trml_rt.build, trml_rt.preview_build):
        assert refused(function, TINY, value).startswith("no precision ")


def test_a_layout_that_there_is_not_is_refused_with_the_choice(tmp_path):
    for function in (trml_rt.calibrate, lambda *given, **named: trml_rt.verify(data=1, **named)):
        sentence = refused(function, TINY, tmp_path, layout="zz")
        assert sentence == "no layout 'zz'; choose jsonl, mmsa, meld"


@pytest.mark.parametrize("value", [None, 5, ["a"], b"auto", np.zeros(3)], ids=repr)
def test_what_is_no_name_of_a_back_end_is_refused(value):
    for function in (trml_rt.load, trml_rt.verify, trml_rt.build):
        assert refused(function, TINY, backend=value).startswith("no back end ")


def test_auto_is_no_back_end_that_engines_were_built_for():
    for function in (trml_rt.verify, trml_rt.build):
        assert refused(function, TINY, backend="auto").startswith("no back end 'auto'")


def test_one_name_stands_for_a_list_of_one(tmp_path):
    with pytest.raises(trml_rt.ArtefactMismatch, match="no fp16 engines yet"):
        trml_rt.bench(TINY, "fp16")
    assert arguments.names_of("engines", "text") == ["text"]
    pytest.importorskip("onnx")
    assert refused(trml_rt.calibrate, TINY, tmp_path, engines="zz").startswith("no encoder 'zz'")


@pytest.mark.parametrize("value", [[], 5, [5], {"text"}], ids=repr)
def test_what_is_no_list_of_names_is_refused(value, tmp_path):
    assert refused(trml_rt.calibrate, TINY, tmp_path, engines=value).startswith("engines: ")
    assert refused(trml_rt.bench, TINY, value).startswith("precisions: ")


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "x", True, 10**5000], ids=type)
def test_a_drop_that_is_none_is_refused_with_its_limits(value, tmp_path):
    sentence = refused(trml_rt.calibrate, TINY, tmp_path, max_drop=value)
    assert sentence.startswith("max_drop: must be a number, 0 to 1, not ")
    sentence = refused(trml_rt.calibrate, TINY, tmp_path, max_drop_points=value)
    assert sentence.startswith("max_drop_points: must be a number, 0 to 100, not ")


def test_methods_must_name_their_encoders(tmp_path):
    assert refused(trml_rt.calibrate, TINY, tmp_path, methods="zz").startswith("methods: must")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "8.9"}, "options: must be CompileOptions, not dict"),
        (CompileOptions(target=8.9), "target: must be a compute capability such as '8.9'"),
        (CompileOptions(target="x"), "target: must be a compute capability such as '8.9'"),
        (CompileOptions(workspace_mib=0), "workspace_mib: must be a whole number, 1 to 1048576"),
        (CompileOptions(optimization_level=6), "optimization_level: must be a whole number, 0 to"),
    ],
)
def test_settings_of_a_compiler_are_judged_alike_by_a_build_and_its_preview(options, words):
    for function in (trml_rt.build, trml_rt.preview_build):
        assert refused(function, TINY, options=options, **ELSEWHERE).startswith(words)


def test_an_argument_that_would_not_be_read_is_refused(tmp_path):
    for function in (trml_rt.build, trml_rt.verify):
        for given in ({"split": "test"}, {"layout": "mmsa"}, {"rows": 7}):
            words = f"{next(iter(given))}: has no meaning without data; leave it out"
            assert refused(function, TINY, **given) == words
    assert "without a verif" in refused(trml_rt.build, TINY, data=tmp_path, verify=False)
    for function in (trml_rt.build, trml_rt.preview_build):
        sentence = refused(function, TINY, "fp32", calibration=tmp_path)
        assert sentence == "calibration: has no meaning with fp32; leave it out"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("build --split test", "--split: has no meaning without --data"),
        ("build --split valid", "--split: has no meaning without --data"),
        ("verify --precision fp32 --format jsonl", "--format: has no meaning without --data"),
        ("build --rows 5 --format mmsa", "--format, --rows: has no meaning without --data"),
        ("build --no-verify --data x", "--data: has no meaning with --no-verify"),
        ("build --calibration x --dry-run", "--calibration: has no meaning with fp32"),
    ],
)
def test_an_option_that_would_not_be_read_is_refused(words, sentence):
    ended = CliRunner().invoke(
        program, words.split(), env=os.environ | {"TRML_RT_BUNDLE": str(TINY)}
    )
    assert (ended.exit_code, ended.stderr) == (2, f"trml-rt: {sentence}; leave it out\n")


def test_a_dry_run_says_what_the_build_with_force_would_do(bundle_copy):
    def run(*words):
        return CliRunner().invoke(program, ["build", "--bundle", str(bundle_copy), *words]).stdout

    run()
    assert run("--dry-run").startswith("fits already")
    assert run("--dry-run", "--force").startswith("would build")


@pytest.mark.parametrize("words", ["max entropy", "text=max text=entropy"])
def test_two_methods_for_the_same_encoders_are_refused(words):
    named = [f"--method={word}" for word in words.split()]
    ended = CliRunner().invoke(program, ["calibrate", str(TINY), "--data", "x", *named])
    assert (ended.exit_code, "given twice" in ended.stderr) == (2, True)
