"""The unit of systemd and the files of Docker name what exists; systemd reads its own."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from trml_rt.cli import trml_rt as program

ROOT = Path(__file__).parents[1]
SERVICE = ROOT / "service"
UNIT = SERVICE / "trml-rt.service"
DOCKERFILES = [SERVICE / "Dockerfile", SERVICE / "Dockerfile.jetpack"]
EXEC = re.search(r"^ExecStart=(.+)$", UNIT.read_text(), re.MULTILINE)[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()


def started():
    """The words of each command that a file starts, after the program."""
    yield shlex.split(EXEC)[1:]
    for path in DOCKERFILES:
        yield re.findall(r'"([^"]+)"', re.search(r"^CMD (.+)$", path.read_text(), re.MULTILINE)[1])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_every_line_of_the_unit(tmp_path):
    unit = tmp_path / UNIT.name  # with a program that is there
    unit.write_text(UNIT.read_text().replace(shlex.split(EXEC)[0], "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    told = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, told) == (0, []), done.stderr


@pytest.mark.parametrize("words", [*started()], ids=" ".join)
def test_the_command_that_is_started_is_one_of_ours(words):
    command = program.commands.get(words[0])
    if command is None:
        pytest.skip(f"no command {words[0]} in this tree")
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_gets_what_the_wheel_is_made_of(path):
    ignored = path.with_name(f"{path.name}.dockerignore").read_text().splitlines()
    taken = {line[1:] for line in ignored if line.startswith("!")}
    assert [name for name in sorted(taken) if not (ROOT / name).exists()] == []
    asked = re.search(r'readme = "(.+)"', PYPROJECT)[1]
    assert taken >= {"trml_rt", "export", "calibration", "pyproject.toml", "hatch_build.py", asked}


@pytest.mark.parametrize("path", [UNIT, *DOCKERFILES], ids=lambda path: path.name)
def test_an_extra_that_is_installed_exists(path):
    extras = set(re.findall(r"^(\w+) = \[", PYPROJECT, re.MULTILINE))
    named = {
        e for listed in re.findall(r"\[([a-z,]+)\]", path.read_text()) for e in listed.split(",")
    }
    if "serve" not in extras:
        named -= {"serve"}  # comes with the command
    assert named
    assert named <= extras
