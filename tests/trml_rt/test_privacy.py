"""Nothing is written under HOME and nothing is sent, whatever the libraries below would do."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import TINY

COMMAND = "from trml_rt.cli import main; main()"
COMMANDS = {
    "infer": ("infer", "--text", "t.txt"),
    "doctor": ("doctor",),
    "bench": ("bench", "--calls", "1"),
    "inspect": ("inspect",),
}
if importlib.util.find_spec("openvino") is not None:  # whose own import would report to its vendor
    COMMANDS["openvino"] = ("infer", "--text", "t.txt", "--backend", "openvino")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run Python code in a process with an empty HOME, and return what it left there."""
    (tmp_path / "t.txt").write_text("what a good day")
    (tmp_path / "home").mkdir()
    paths = os.pathsep.join(os.path.realpath(p) for p in sys.path if p)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": paths,
        "TRML_RT_BUNDLE": str(TINY),
    }

    def start(code, *arguments, before=(), **more):
        done = subprocess.run(
            [*before, sys.executable, "-c", code, *arguments],
            env=environment | more,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return sorted(p.name for p in (tmp_path / "home").rglob("*"))

    return start


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_command_leaves_nothing_under_home(run, words):
    assert run(COMMAND, *words) == []


@pytest.mark.parametrize("module", ["trml_calibration.graph", "trml_export.config"])
def test_the_other_packages_leave_nothing_under_home(run, module):
    pytest.importorskip(module)
    assert run(f"import {module}, onnxruntime") == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_command_opens_a_network_socket(run, tmp_path):
    trace = tmp_path / "trace"
    before = ("strace", "-f", "-qq", "-o", str(trace), "-e", "trace=socket,connect,sendto")
    for words in COMMANDS.values():
        run(COMMAND, *words, before=before)
        assert "AF_INET" not in trace.read_text()
    run("import socket; socket.socket()", before=before)
    assert "AF_INET" in trace.read_text()  # this is how one would be seen


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("", "1"), ("0", "0")])
def test_only_the_users_own_word_turns_telemetry_on(run, before, after):
    code = f"import os, trml_rt; assert os.environ['ORT_DISABLE_TELEMETRY'] == {after!r}"
    run(code, **({} if before is None else {"ORT_DISABLE_TELEMETRY": before}))


def test_doctor_says_whether_telemetry_is_off(monkeypatch):
    from trml_rt import doctor

    def found():
        return next(c for c in doctor(TINY).checks if c.name == "ONNX Runtime telemetry")

    assert (found().ok, found().found) == (True, "off, ORT_DISABLE_TELEMETRY=1")
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    assert (found().ok, found().required) == (False, False)
    assert found().remedy == "unset ORT_DISABLE_TELEMETRY"
