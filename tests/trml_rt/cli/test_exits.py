"""How a command ends: one sentence and an exit code, whatever went wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trml_rt.cli import exits
from trml_rt.errors import UsageError

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


def test_an_oserror_that_names_nothing_is_a_bug_and_shows_its_traceback():
    def fail():
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        exits.Exits("fail", callback=fail).main([])


def test_ctrl_c_is_130(capsys):
    assert end(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.strip() == "trml-rt: interrupted"


def test_a_full_disk_behind_standard_output_is_said():
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*RUN, "inspect"], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 3
    assert ended.stderr == "trml-rt: standard output: No space left on device\n"


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
