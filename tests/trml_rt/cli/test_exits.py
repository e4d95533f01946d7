"""How a command ends: one sentence and an exit code, whatever went wrong."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.conftest import TINY
from trml_rt._version import __version__
from trml_rt.cli import exits, trml_rt
from trml_rt.errors import UsageError, import_fault, lacks_package

RUN = [sys.executable, "-c", "from trml_rt.cli import main; main()"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def end(error):
    """Return the exit code of a command that raises `error`."""

    def fail():
        raise error

    command = exits.Exits("fail", callback=fail)
    with pytest.raises(SystemExit) as caught:
        command.main([])
    return caught.value.code


def test_an_error_of_ours_is_one_sentence_and_its_code(capsys):
    assert end(UsageError("no such thing")) == 2
    assert capsys.readouterr().err == "trml-rt: no such thing\n"


def test_a_file_that_cannot_be_read_or_written_is_named(capsys):
    assert end(PermissionError(errno.EACCES, "Permission denied", "/a/file")) == 3
    assert capsys.readouterr().err == "trml-rt: /a/file: Permission denied\n"


def test_a_name_that_is_too_long_is_a_fault_of_what_was_typed(capsys):
    assert end(OSError(errno.ENAMETOOLONG, "File name too long", "aaa")) == 2
    assert capsys.readouterr().err == "trml-rt: aaa: File name too long\n"


def test_an_oserror_that_names_nothing_is_a_bug_and_shows_its_traceback():
    def fail():
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        exits.Exits("fail", callback=fail).main([])


def test_memory_that_runs_out_is_no_traceback(capsys):
    assert end(MemoryError()) == 3
    assert capsys.readouterr().err.startswith("trml-rt: memory ran out; close other programs")


def test_ctrl_c_is_130(capsys):
    assert end(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.strip() == "trml-rt: interrupted"


FAILING = [
    (["infer", "--json"], 2, "UsageError", "neither text nor video is given; give at least one"),
    (["infer", "--mood", "--json"], 2, "UsageError", "No such option '--mood'."),
    (["inspect", "--bundle", "absent", "--json"], 5, "ArtefactMismatch", None),
    (["infer", "--video", "absent.mp4", "--jsonl"], 6, "InputUnusable", None),
]


@pytest.mark.parametrize(("words", "code", "kind", "message"), FAILING)
def test_programs_get_an_error_as_json_and_people_still_get_the_sentence(
    words, code, kind, message
):
    result = CliRunner().invoke(trml_rt, words)
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, error["code"], error["kind"]) == (code, code, kind)
    assert error["message"] in result.stderr
    assert message in (None, error["message"])
    assert error.get("reason") == ("undecodable" if kind == "InputUnusable" else None)
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize("command", sorted(trml_rt.commands))
def test_every_command_tells_its_errors_as_json(command):
    result = CliRunner().invoke(trml_rt, [command, "--no-such-option", "--json"])
    assert json.loads(result.stdout)["error"]["code"] == result.exit_code == 2


def test_an_error_is_no_json_unless_asked_for():
    assert CliRunner().invoke(trml_rt, ["infer"]).stdout == ""
    assert CliRunner().invoke(trml_rt, ["inspect", "--", "--json"]).stdout == ""


def test_a_document_that_is_printed_already_stays_the_only_one(tmp_path):
    result = CliRunner().invoke(trml_rt, ["doctor", "--bundle", str(tmp_path), "--json"])
    assert result.exit_code == 3
    assert "error" not in json.loads(result.stdout)


def test_an_interrupt_is_told_as_json_too(capsys):
    def stop():
        raise KeyboardInterrupt

    as_json = click.Option(["--json"], is_flag=True, expose_value=False)
    with pytest.raises(SystemExit):
        exits.Exits("stop", callback=stop, params=[as_json]).main(["--json"])
    error = json.loads(capsys.readouterr().out)["error"]
    assert error == {"code": 130, "kind": "KeyboardInterrupt", "message": "interrupted"}


def test_a_full_disk_behind_standard_output_is_said():
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*RUN, "inspect"], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 3
    assert ended.stderr == "trml-rt: standard output: No space left on device\n"


@pytest.mark.parametrize(
    "command",
    [
        ["inspect"],
        ["inspect", "--json"],
        ["stream", "--bundle", str(TINY), "--video", "test:?frames=1"],
    ],
)
def test_a_closed_standard_output_is_said(command):
    words = [*RUN, *command]
    closed = "import os, sys; os.close(1); os.execv(sys.argv[1], sys.argv[1:])"
    ended = subprocess.run(
        [sys.executable, "-c", closed, *words], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    assert ended.returncode == 3
    assert ended.stderr == "trml-rt: standard output: closed; nothing can be printed there\n"


def test_a_full_disk_behind_another_file_is_not_laid_to_standard_output():
    def fail():
        with Path("/dev/full").open("w") as full:
            full.write("x")

    with pytest.raises(OSError, match="No space left on device"):
        exits.Exits("fail", callback=fail).main([])


def test_a_reader_that_goes_away_ends_the_command_without_a_traceback():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        ended = subprocess.run(
            [*RUN, "inspect"], env=ENVIRONMENT, stdout=closed, stderr=subprocess.PIPE, text=True
        )
    assert (ended.returncode, ended.stderr) == (1, "")


# The program as pip installs it, which sends itself Ctrl-C as it begins to import a module.
PROGRAM = """
import os, signal, sys

def interrupt(event, words):
    if event == "import" and words[0] == os.environ["AT"]:
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(interrupt)
from trml_rt.cli import main
sys.exit(main())
"""


def program(tmp_path, at="nothing"):
    (tmp_path / "trml-rt").write_text(PROGRAM)
    environment = ENVIRONMENT | {"AT": at, "TRML_RT_BUNDLE": str(TINY)}
    return [sys.executable, str(tmp_path / "trml-rt")], environment


@pytest.mark.parametrize(
    "module", ["numpy", "pydantic_core._pydantic_core", "trml_rt.cli.exits", "onnxruntime"]
)
def test_ctrl_c_during_any_import_is_said_in_a_word(tmp_path, module):
    command, environment = program(tmp_path, module)
    (tmp_path / "t.txt").write_text("a good day")
    words = [*command, "infer", "--text", str(tmp_path / "t.txt")]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.strip()) == (130, "trml-rt: interrupted")


def test_the_package_runs_as_the_program_does_and_ctrl_c_ends_it_in_a_word():
    run = {"env": ENVIRONMENT, "capture_output": True, "text": True}
    told = subprocess.run([sys.executable, "-m", "trml_rt", "-V"], **run)
    assert told.stdout == f"trml-rt, version {__version__}\n"
    command = "import trml_rt, signal; print(signal.getsignal(2) is signal.default_int_handler)"
    assert subprocess.run([sys.executable, "-c", command], **run).stdout == "True\n"
    # A finder of modules that stands in the way of numpy sends Ctrl-C while the package loads.
    early = f"import sys; sys.argv = ['-m']; sys.orig_argv = ['python', '-m', 'trml_rt']\n{EARLY}"
    ended = subprocess.run([sys.executable, "-c", early], **run)
    assert (ended.returncode, ended.stderr) == (130, "trml-rt: interrupted\n")


EARLY = """
import os, signal
hook = lambda event, words: event == "import" and words[0] == "numpy" and os.kill(os.getpid(), 2)
sys.addaudithook(hook)
import trml_rt
"""


def failed(kind, message, cause, **named):
    """Return an error as an import raises it, with what it came from."""
    try:
        try:
            raise cause
        except KeyboardInterrupt:
            raise kind(message, **named)  # noqa: B904 - Cython does not say what it comes from
    except kind as error:
        return error


@pytest.mark.parametrize("kind", [ImportError, SystemError, UsageError])
def test_an_interrupted_import_is_no_missing_package_whatever_came_of_it(capsys, kind):
    assert end(failed(kind, "initialization failed", KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.strip() == "trml-rt: interrupted"
    if kind is ImportError:
        error = failed(kind, "initialization failed", KeyboardInterrupt(), name="onnx")
        with pytest.raises(KeyboardInterrupt):
            import_fault(error, "onnx")
        with pytest.raises(KeyboardInterrupt):
            lacks_package("lint", error, "build")


def test_a_package_that_is_there_and_does_not_load_is_not_called_absent():
    damaged = ImportError("libfoo.so.1: cannot open shared object file", name="onnx")
    assert import_fault(damaged, "onnx").startswith("cannot be loaded (libfoo.so.1: cannot open")
    assert "onnx, which cannot be loaded (libfoo" in str(lacks_package("lint", damaged, "build"))
    absent = ModuleNotFoundError("No module named 'onnx'", name="onnx")
    assert import_fault(absent, "onnx") == "is not installed"
    assert str(lacks_package("lint", absent, "build")).startswith("lint needs the package onnx; ")
    inner = ModuleNotFoundError("No module named 'flatbuffers'", name="flatbuffers")
    assert import_fault(inner, "onnxruntime") == "cannot be loaded (No module named 'flatbuffers')"


@pytest.fixture
def own_interrupts(monkeypatch):
    """Give SIGINT back as it was, and forget what came."""
    monkeypatch.setattr(exits, "_last_interrupt", -math.inf)
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_several_ctrl_c_in_a_row_do_not_stop_the_cleaning_up(own_interrupts, capsys):
    cleaned = []

    def work():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned.append(True)

    with pytest.raises(SystemExit) as caught, exits.interrupted_once():
        exits.Exits("work", callback=work).main([])
    assert (caught.value.code, cleaned) == (130, [True])
    assert capsys.readouterr().err.strip() == "trml-rt: interrupted"


def test_an_error_just_after_ctrl_c_came_of_it(own_interrupts, capsys):
    def work():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ImportError("initialization failed")

    with pytest.raises(SystemExit) as caught, exits.interrupted_once():
        exits.Exits("work", callback=work).main([])
    assert caught.value.code == 130


def children(pid):
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return []


def has_begun(pid):
    """Say whether a process of a bench is past its start and most imports."""
    with contextlib.suppress(FileNotFoundError):
        is_worker = "bench_worker" in Path(f"/proc/{pid}/cmdline").read_text()
        return is_worker and "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()
    return False


def runs(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, ["trml-rt: interrupted"]), (signal.SIGKILL, -signal.SIGKILL, [])],
    ids=["Ctrl-C", "kill -9"],
)
def test_a_bench_that_ends_takes_its_processes_with_it_and_none_of_them_speaks(
    tmp_path, number, code, said
):
    command, environment = program(tmp_path)
    bench = subprocess.Popen(
        [*command, "bench", "--calls", "1000000"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: any(map(has_begun, children(bench.pid))))
    workers = children(bench.pid)
    assert [os.getpgid(int(worker)) == bench.pid for worker in workers] == [False]
    os.killpg(bench.pid, number)  # as a terminal does
    _, told = bench.communicate(timeout=30)
    assert bench.returncode == code
    assert [line for line in told.splitlines() if line and "calls of each" not in line] == said
    wait_for(lambda: not any(runs(worker) for worker in workers))
