"""`trml-rt-probe`, the doctor of the native library, as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("TRML_RT_BUILD", ROOT / "build" / "native"))
PROGRAM = BUILD / "trml_rt" / "native" / "trml-rt-probe"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="make native builds the program")


def probe(*words, **environment):
    return subprocess.run(
        [PROGRAM, *words], capture_output=True, text=True, env={"PATH": "/usr/bin"} | environment
    )


def test_a_fit_machine_ends_with_0_and_says_what_would_answer():
    done = probe(TINY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "fit"
    assert "ok       engines: portable engines on openvino" in done.stdout
    assert probe(TRML_RT_BUNDLE=str(TINY)).stdout == done.stdout


def test_json_is_one_document_with_the_same_checks():
    content = json.loads(probe("--json", TINY).stdout)
    assert content["fit"] is True
    assert [check["name"] for check in content["checks"]][:3] == ["library", "system", "bundle"]


def test_what_is_not_fit_ends_with_3_and_is_named(tmp_path):
    done = probe(tmp_path)
    assert done.returncode == 3
    assert f"MISSING  bundle: {tmp_path}: not a bundle" in done.stdout
    assert done.stdout.splitlines()[-1] == "not fit"
    assert probe("--precision", "int8", TINY).returncode == 3


def test_wrong_words_end_with_2():
    for words in (["--magic"], [TINY, TINY], ["--backend"], ["--backend", "magic"]):
        done = probe(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(("usage: ", "trml-rt-probe: no back end 'magic'"))
    assert probe("--help").returncode == 0


def test_a_name_cannot_disguise_a_line(tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "a\x1b[2K\nok  all: \x9bm"))
    done = probe(folder)
    assert "\x1b" not in done.stdout
    assert "\x9b" not in done.stdout
    assert "/a\\x1b[2K\\x0aok  all: \\x9bm" in done.stdout
    shown = probe("--json", folder).stdout
    assert "\x9b" not in shown
    assert str(folder) in json.loads(shown)["checks"][2]["found"]


def test_a_reader_that_cannot_be_written_to_is_told_by_the_code():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([PROGRAM], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3
