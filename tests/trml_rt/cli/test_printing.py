"""What a name holds reaches the terminal as text, and never as a command to it."""

from __future__ import annotations

import json
import logging
import os
import shlex

import pytest
from click.testing import CliRunner

from trml_rt.cli import printing, trml_rt
from trml_rt.errors import UsageError
from trml_rt.inputs.rows import read_rows

EVIL = "a\x1b[2Jb\nc\r\x9bd\u202ee\x7f"
SAFE = r"a\x1b[2Jb\nc\r\x9bd\u202ee\x7f"


def test_a_name_stays_on_its_line(capsys):
    printing.print_lines([f"one {EVIL}", "two  été 日本"])
    assert capsys.readouterr().out == f"one {SAFE}\ntwo  été 日本\n"


def test_half_a_surrogate_pair_of_a_path_can_be_printed(capsys):
    printing.print_lines([os.fsdecode(b"caf\xe9")])
    assert capsys.readouterr().out == "caf\\udce9\n"


def test_json_is_the_same_content_without_a_control_character(capsys):
    printing.print_json({"name": EVIL, EVIL: ["日本"]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": EVIL, EVIL: ["日本"]}
    assert not {"\x1b", "\x9b", "\u202e", "\x7f", "\r"} & set(out)
    assert "日本" in out


def test_an_error_keeps_the_lines_of_its_list_and_no_other():
    message = f"rows.jsonl: 2 problems\n  line 1: {EVIL}\n  line 2: bad"
    expected = f"rows.jsonl: 2 problems\n  line 1: {SAFE}\n  line 2: bad"
    assert printing.printable_lines(message) == expected


@pytest.fixture
def bundle(bundle_copy):
    return bundle_copy.rename(bundle_copy.with_name(f"-{EVIL}"))


def test_a_path_with_escapes_reaches_the_terminal_escaped(bundle):
    for words in (["inspect"], ["build", "--dry-run"], ["infer", "--precision", "fp16"]):
        ended = CliRunner().invoke(trml_rt, [*words, "--bundle", str(bundle)])
        said = ended.stdout + ended.stderr
        assert SAFE in said
        assert "\x1b" not in said
        assert "\x9b" not in said


def test_a_path_in_a_row_is_escaped_in_its_problem(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"video": EVIL}))
    with pytest.raises(UsageError) as caught:
        read_rows(tmp_path / "rows.jsonl")
    assert f"video {SAFE} does not exist" in printing.printable_lines(str(caught.value))


def test_a_log_line_is_escaped(tmp_path):
    command = trml_rt.commands["doctor"]

    def log(**_):
        logging.getLogger("trml_rt").warning("left out: %s", EVIL)

    before, command.callback = command.callback, log
    try:
        ended = CliRunner().invoke(trml_rt, ["doctor"])
    finally:
        command.callback = before
    assert ended.stderr == f"warning: left out: {SAFE}\n"


@pytest.mark.parametrize("name", ["plain", "with space", "-dash", "it's", "$HOME;rm"])
def test_a_suggested_command_can_be_typed(bundle_copy, name, monkeypatch):
    monkeypatch.chdir(bundle_copy.parent)
    bundle_copy.rename(name)
    for precision, command in (("fp16", "build"), ("int8", "calibrate")):
        words = ["build" if command == "calibrate" else "infer", f"--bundle={name}"]
        text = ["--text=x"] if command == "build" else []
        ended = CliRunner().invoke(trml_rt, [*words, "--precision", precision, *text])
        assert ended.exit_code == 5
        typed = shlex.split(ended.stderr[ended.stderr.index(f"trml-rt {command}") :])
        assert ("./-dash" if name == "-dash" else name) in typed
