"""The command line: what it prints, and the exit code of every kind of failure."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import textwrap
from dataclasses import replace

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests import media
from tests.conftest import TINY
from trml_rt.bundle.folder import default_bundle
from trml_rt.cli import trml_rt
from trml_rt.inspect import inspect as inspected


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("TRML_RT_BUNDLE", str(TINY))
    return lambda *words: CliRunner().invoke(trml_rt, [str(word) for word in words])


@pytest.fixture
def text(tmp_path):
    (tmp_path / "t.txt").write_text("what a good day")
    return tmp_path / "t.txt"


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(np.full((9, 12, 3), 200, np.uint8)).save(tmp_path / "face.png")
    return tmp_path / "face.png"


def one_sentence(result) -> str:
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("trml-rt: ")
    return lines[0]


def leaves(group, *words):
    """Yield every command that is no group, by the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, *words, name)
        else:
            yield " ".join((*words, name)), command


BY_WORDS = dict(leaves(trml_rt))
COMMANDS = sorted(BY_WORDS)


def test_every_command_of_this_version_is_there():
    expected = "bench build bundle calibrate calibrate-need check-data check-signature clean"
    expected += " config convert deploy doctor"
    expected += (
        " encode eval export export-triton infer inspect lint merge rollback sample-data serve sign"
        " stream timeline train verify"
    )
    assert expected.split() == sorted(trml_rt.commands)
    assert sorted(trml_rt.commands["bundle"].commands) == ["copy", "path"]


def test_help_lists_the_commands_in_order_of_use_with_whole_summaries(run):
    listed = run("--help").output.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    expected = (
        "infer stream timeline serve merge build verify bench inspect doctor lint bundle clean"
    )
    expected += " sign check-signature deploy rollback export-triton calibrate calibrate-need"
    expected += " sample-data check-data config encode train eval export convert"
    assert [line.split()[0] for line in listed] == expected.split()
    for line in listed:
        assert len(line) <= 80
        assert line.endswith(".")
        assert not line.endswith("...")


@pytest.mark.parametrize("command", [*COMMANDS, "bundle"])
def test_help_ends_in_an_example(run, command):
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Example" in result.output.strip().rsplit("\n\n", 1)[-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_json_on_request(command):
    assert "--json" in [option for p in BY_WORDS[command].params for option in p.opts]


def test_infer_answers_for_people(run, text):
    result = run("infer", "--text", text)
    assert result.exit_code == 0
    assert result.output.splitlines()[0].split()[0] in ("negative", "neutral", "positive")
    assert "virtual, not given" in result.output


def test_infer_answers_in_json_for_programs(run, text, picture):
    result = run("infer", "--text", text, "--video", picture, "--json")
    answer = json.loads(result.stdout)
    assert list(answer) == [
        *("label", "score", "inputs", "engine_set", "backend", "engines", "verified", "ms")
    ]
    assert answer["inputs"]["video"] == {"state": "real", "frames": 1, "incomplete": False}


def test_infer_answers_the_same_when_the_decoder_is_isolated(run, picture):
    alone, here = (
        json.loads(run("infer", "--video", picture, "--json", *more).output)
        for more in (["--isolate"], [])
    )
    assert {**alone, "ms": 0} == {**here, "ms": 0}


def test_infer_answers_on_one_line_for_a_log(run, text):
    result = run("infer", "--text", text, "--jsonl")
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout)["inputs"]["video"]["reason"] == "not_given"


def test_infer_without_any_input_is_a_usage_error(run):
    result = run("infer")
    assert result.exit_code == 2
    assert "neither text nor video" in one_sentence(result)


def test_an_unknown_option_is_a_usage_error(run):
    assert run("infer", "--mood", "good").exit_code == 2


@pytest.mark.parametrize("content", [b"", b" \n\t", b"\x00\x01\x02", b"\xff\xfe\xfa"], ids=repr)
def test_text_that_is_no_text_is_exit_code_6(run, tmp_path, content):
    (tmp_path / "bad.txt").write_bytes(content)
    result = run("infer", "--text", tmp_path / "bad.txt")
    assert result.exit_code == 6
    assert "bad.txt" in one_sentence(result)
    assert result.stdout == ""


def test_text_that_is_absent_or_a_folder_is_exit_code_6(run, tmp_path):
    assert run("infer", "--text", tmp_path / "absent.txt").exit_code == 6
    assert run("infer", "--text", tmp_path).exit_code == 6


@pytest.mark.parametrize("content", [b"", b"not a video", bytes(range(256)) * 40], ids=len)
def test_video_that_is_no_video_is_exit_code_6(run, tmp_path, content):
    (tmp_path / "bad.mp4").write_bytes(content)
    result = run("infer", "--video", tmp_path / "bad.mp4")
    assert result.exit_code == 6
    assert "bad.mp4" in one_sentence(result)
    assert result.stdout == ""


def test_video_that_is_absent_or_a_folder_is_exit_code_6(run, tmp_path):
    assert run("infer", "--video", tmp_path / "absent.mp4").exit_code == 6
    assert run("infer", "--video", tmp_path).exit_code == 6


def test_a_name_that_no_file_can_have_is_exit_code_6(run):
    assert run("infer", "--video", "v" * 300).exit_code == 6
    assert run("infer", "--text", "t" * 300).exit_code == 6


def test_degrade_answers_with_the_input_that_is_left(run, text, tmp_path):
    result = run("infer", "--text", text, "--video", tmp_path / "no.mp4", "--degrade", "--json")
    assert json.loads(result.stdout)["inputs"]["video"] == {
        "state": "virtual",
        "reason": "undecodable",
    }


def test_a_damaged_bundle_is_exit_code_5(run, text, bundle_copy):
    (bundle_copy / "onnx" / "text.onnx").write_bytes(b"")
    result = run("infer", "--text", text, "--bundle", bundle_copy)
    assert result.exit_code == 5
    assert "onnx/text.onnx" in one_sentence(result)


def test_a_folder_that_is_no_bundle_is_exit_code_5(run, text, tmp_path):
    result = run("infer", "--text", text, "--bundle", tmp_path)
    assert result.exit_code == 5
    assert "not a bundle" in one_sentence(result)


def test_build_prints_progress_to_stderr_and_the_folder_to_stdout(run, bundle_copy):
    result = run("build", "--bundle", bundle_copy)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"built: {bundle_copy}")
    assert "[5/5]" in result.stderr


def test_build_fp16_then_infer_with_it(run, bundle_copy, text):
    pytest.importorskip("onnx")
    assert run("build", "--bundle", bundle_copy, "--precision", "fp16").exit_code == 0
    result = run("infer", "--text", text, "--bundle", bundle_copy, "--precision", "fp16", "--json")
    assert "_fp16_" in json.loads(result.stdout)["engines"]


def test_build_fp16_without_onnx_names_the_extra(run, bundle_copy, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "trml_calibration.fp16_stored", None)
    result = run("build", "--bundle", bundle_copy, "--precision", "fp16")
    assert result.exit_code == 3
    assert 'pip install ".[build]"' in one_sentence(result)


def test_inspect_describes_the_bundle_and_its_engines(run, bundle_copy):
    run("build", "--bundle", bundle_copy)
    content = json.loads(run("inspect", "--bundle", bundle_copy, "--json").stdout)
    assert content["engine_sets"]["text"] == ["text", "fuse_text"]
    assert [built["fits"] for built in content["built"].values()] == [True]


def test_inspect_for_people_names_every_engine(run):
    output = run("inspect").output
    assert all(name in output for name in ("text", "frame", "fuse_text_video"))


def test_inspect_breaks_a_long_list_of_layers(run, monkeypatch):
    names = [f"/blocks.{n}/attention/MatMulAddFusion" for n in range(25)]
    built = {
        "fits": True,
        "why_not": [],
        "folder": "engines/cpu_int8",
        "layers": {"text": dict.fromkeys(names, "fp32")},
    }
    described = inspected(TINY)
    described = replace(described, built={"cpu_int8": built})
    monkeypatch.setattr(sys.modules["trml_rt.inspect"], "inspect", lambda _: described)
    told = run("inspect").stdout.split("0 of 25 layers in INT8; in FP32:\n")[1].splitlines()
    assert max(map(len, told)) <= 88
    assert ", ".join(line.strip().rstrip(",") for line in told) == ", ".join(names)


def test_inspect_finds_a_changed_byte_in_any_file(run, bundle_copy):
    path = bundle_copy / "golden" / "text.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert run("inspect", "--bundle", bundle_copy).exit_code == 5


def test_doctor_finds_this_machine_fit(run):
    report = json.loads(run("doctor", "--json").stdout)
    assert report["fit"]
    assert "back end onnxruntime" in [check["name"] for check in report["checks"]]


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("train --data gone --backbone b --out o", "--data"),
        ("train --data . --backbone b --out o --config gone", "--config"),
        ("train --data . --backbone b --out o --weights gone", "--weights"),
        ("eval --data gone --checkpoint .", "--data"),
        ("eval --data . --checkpoint gone", "--checkpoint"),
        ("eval --data . --backbone b --config gone", "--config"),
        ("export gone --out o", "CHECKPOINT"),
        ("export . --out o --card gone", "--card"),
    ],
)
def test_what_is_not_there_is_named_before_pytorch_is_imported(run, monkeypatch, command, option):
    for name in [name for name in sys.modules if name.partition(".")[0] == "trml_export"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run(*command.split())
    assert result.exit_code == 2
    assert one_sentence(result) == f"trml-rt: gone: does not exist; correct {option}"


def test_a_name_that_is_too_long_is_refused_before_pytorch_is_imported(run):
    result = run("train", "--data", "x" * 300, "--backbone", "b", "--out", "o")
    assert result.exit_code == 2
    assert one_sentence(result).endswith("x: File name too long; correct --data")


@pytest.mark.parametrize("option", ["--text", "--video"])
def test_a_closed_standard_input_is_said_in_a_sentence(option):
    program = [sys.executable, "-m", "trml_rt", "infer", option, "-"]
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", *program]
    ended = subprocess.run(closed, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == f"trml-rt: {option} -: standard input is closed; name a file\n"


def test_eval_names_a_bundle_that_is_none_before_pytorch_is_imported(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "trml_export.evaluation", None)
    result = run("eval", "--data", tmp_path, "--bundle", tmp_path)
    assert result.exit_code == 5
    assert "model.json cannot be read" in one_sentence(result)


def test_doctor_with_a_damaged_bundle_is_exit_code_3(run, tmp_path):
    result = run("doctor", "--bundle", tmp_path)
    assert result.exit_code == 3
    assert "bundle" in one_sentence(result)
    assert "not fit" in result.stdout


def test_ctrl_c_is_said_in_a_word_and_is_exit_code_130(run, monkeypatch, text):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("trml_rt.runtime.load", interrupt)
    result = run("infer", "--text", text)
    assert result.exit_code == 130
    assert one_sentence(result) == "trml-rt: interrupted"


def test_a_clip_that_breaks_off_says_so(run, tmp_path):
    clip = media.write_video(tmp_path / "clip.mkv", 40)
    result = run("infer", "--video", media.truncate(clip, 0.5), "--json")
    assert json.loads(result.stdout)["inputs"]["video"]["incomplete"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_parses_calls_one_function_and_prints(command):
    function = ast.parse(textwrap.dedent(inspect.getsource(BY_WORDS[command].callback)))
    body = function.body[0].body[1:]  # without its docstring
    assert body[-1].end_lineno - body[0].lineno < 20


SINGLE = [
    (command, option)
    for command in COMMANDS
    for option in BY_WORDS[command].params
    if option.param_type_name == "option" and not option.multiple
]


@pytest.mark.parametrize(
    ("command", "option"), SINGLE, ids=lambda each: getattr(each, "name", each)
)
def test_an_option_that_is_given_twice_is_refused(run, command, option):
    words = [option.opts[0]] if option.is_flag else [option.opts[0], "x"]
    needed = ["x"] * sum(p.param_type_name == "argument" for p in BY_WORDS[command].params)
    result = run(*command.split(), *words, *needed, *words)
    assert result.exit_code == 2
    assert one_sentence(result) == f"trml-rt: {option.opts[0]}: is given 2 times; give it once"


def test_an_option_and_its_opposite_are_one_option(run):
    result = run("build", "--verify", "--no-verify")
    assert one_sentence(result) == "trml-rt: --verify: is given 2 times; give it once"


@pytest.mark.parametrize(
    "words", ["infer --text", "infer --bundle", "lint --bundle=", "train --set"]
)
def test_an_empty_value_is_refused_and_never_the_working_directory(run, words):
    command, option = words.split()
    result = run(command, *([option] if "=" in option else [option, ""]))
    assert result.exit_code == 2
    assert one_sentence(result) == (
        f"trml-rt: {option.strip('=')}: is empty; give a value, or leave it out"
    )


def test_an_empty_argument_is_refused_by_its_name(run):
    assert "BUNDLE: is empty" in one_sentence(run("calibrate", "", "--data", "x"))


@pytest.mark.parametrize("words", [["--text", "what a good day"], ["--text-file", "{text}"]])
def test_infer_takes_the_text_as_typed_or_a_file(run, text, words):
    expected = json.loads(run("infer", "--text", text, "--json").stdout)["score"]
    found = run("infer", *(word.format(text=text) for word in words), "--json")
    assert json.loads(found.stdout)["score"] == expected


def test_infer_reads_standard_input(text, picture, monkeypatch):
    def run(*words, data):
        result = CliRunner().invoke(
            trml_rt, ["infer", "--bundle", str(TINY), "--json", *map(str, words)], input=data
        )
        return json.loads(result.stdout)["score"]

    typed = run("--text", text, data=b"")
    assert run("--text", "-", data=text.read_bytes()) == typed
    assert run("--text-file", "-", data=text.read_bytes()) == typed
    assert run("--video", "-", data=picture.read_bytes()) == run("--video", picture, data=b"")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--text", "a", "--text-file", "b"], "--text and --text-file are both given"),
        (["--text", "-", "--video", "-"], "--text and --video cannot both be standard input"),
        (["--text-file", "-", "--video", "-"], "--text-file and --video cannot both be standard"),
    ],
)
def test_two_sources_of_one_input_are_a_usage_error(run, words, why):
    result = run("infer", *words)
    assert result.exit_code == 2
    assert why in one_sentence(result)


def test_the_path_of_the_bundle_is_that_which_commands_use(run, tmp_path, monkeypatch):
    assert run("bundle", "path").stdout == f"{TINY}\n"
    assert json.loads(run("bundle", "path", "--json").stdout) == {"bundle": str(TINY)}
    monkeypatch.chdir(TINY.parent)
    monkeypatch.setenv("TRML_RT_BUNDLE", TINY.name)
    assert run("bundle", "path").stdout == f"{TINY}\n"
    monkeypatch.delenv("TRML_RT_BUNDLE")
    assert run("bundle", "path").stdout == f"{default_bundle()}\n"
    monkeypatch.setenv("TRML_RT_BUNDLE", str(tmp_path))
    assert run("bundle", "path").exit_code == 5


def test_a_bundle_is_copied(run, tmp_path):
    result = run("bundle", "copy", tmp_path / "copy")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"copied: {tmp_path / 'copy'}, ")
    again = run("bundle", "copy", tmp_path / "copy")
    assert again.exit_code == 2
    assert "pass --force" in one_sentence(again)
    report = json.loads(run("bundle", "copy", tmp_path / "copy", "--force", "--json").stdout)
    assert report["folder"] == str(tmp_path / "copy")


def test_engines_are_cleaned(run, bundle_copy):
    run("build", "--bundle", bundle_copy)
    [folder] = (p for p in (bundle_copy / "engines").iterdir() if p.is_dir())
    dry = run("clean", "--bundle", bundle_copy, "--dry-run").stdout.splitlines()
    assert dry[0] == f"would remove: {folder}"
    assert dry[1].startswith("would free 0.")
    kept = run("clean", "--bundle", bundle_copy, "--unfit").stdout.splitlines()
    assert kept == [f"kept: {folder} (fits this device)", "freed 0.0 MB"]
    report = json.loads(run("clean", "--bundle", bundle_copy, "--json").stdout)
    assert report["removed"] == [str(folder)]
    assert not folder.exists()


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "text": "good", "score": 0.5}\n{"id": "b", "video": "no.mp4"}\n')
    return path


def test_infer_on_an_archive_tells_what_became_of_the_rows_and_exits_7(run, rows, tmp_path):
    result = run("infer", "--data", rows, "--out", tmp_path / "a.csv", "--workers", 1)
    assert result.exit_code == 7
    lines = result.stdout.splitlines()
    assert lines[0] == f"{tmp_path / 'a.csv'}: 2 rows, 1 with an error"
    assert lines[1:4] == ["present: text 1", "virtual video: not_given 1", "errors: undecodable 1"]
    assert result.stderr.endswith("mend their files, and pass --retry-failed\n")
    told = json.loads(run("infer", "--data", rows, "--out", tmp_path / "b.jsonl", "--json").stdout)
    assert (told["rows"], told["failed"], told["errors"]) == (2, 1, {"undecodable": 1})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--data", "rows.jsonl"), "--data is given without --out"),
        (("--text", "a", "--out", "a.csv"), "--out: has no meaning without --data; leave it out"),
        (("--text", "a", "--resume"), "--resume: has no meaning without --data; leave it out"),
        (
            ("--data", "r", "--out", "a.csv", "--text", "a"),
            "--text: has no meaning with --data; leave it out",
        ),
    ],
)
def test_options_of_an_archive_and_of_one_call_do_not_mix(run, words, sentence):
    result = run("infer", *words)
    assert result.exit_code == 2
    assert sentence in one_sentence(result)


def test_merge_puts_shards_together(run, rows, tmp_path):
    shards = [tmp_path / f"{number}.jsonl" for number in (1, 2)]
    rows.write_text("".join(f'{{"id": "{n}", "text": "good"}}\n' for n in range(8)))
    for number, shard in enumerate(shards, start=1):
        options = ("--out", shard, "--workers", 1, "--shard", f"{number}/2")
        assert run("infer", "--data", rows, *options).exit_code == 0
    result = run("merge", *shards, "--out", tmp_path / "all.jsonl", "--json")
    assert (result.exit_code, json.loads(result.stdout)["rows"]) == (0, 8)
    assert run("merge", *shards, "--out", tmp_path / "all.jsonl").exit_code == 2
