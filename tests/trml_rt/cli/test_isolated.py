"""A command in a process of its own: the same answers, and no harm from a bundle to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import TINY
from trml_rt.cli import isolated as module
from trml_rt.cli import trml_rt


def run(*words):
    return CliRunner().invoke(trml_rt, [*map(str, words)], standalone_mode=True)


@pytest.fixture
def child(monkeypatch):
    """Let the process of its own run other code than that of the command."""

    def does(code):
        monkeypatch.setattr(module, "python_command", lambda *_: [sys.executable, "-c", code])

    return does


def test_a_command_prints_the_same_apart(capfd):
    here = run("inspect", "--bundle", TINY, "--json").stdout
    apart = run("inspect", "--isolate", "--bundle", TINY, "--isolate-seconds=300", "--json")
    assert apart.exit_code == 0
    assert json.loads(capfd.readouterr().out) == json.loads(here)


def test_a_command_fails_the_same_apart(capfd, tmp_path):
    assert run("inspect", "--bundle", tmp_path / "none", "--isolate").exit_code == 5
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"trml-rt: {tmp_path / 'none'}: not a bundle")


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", 5, "the process that read it crashed (SIGSEGV)"),
        ("import os; os.abort()", 5, "the process that read it crashed (SIGABRT)"),
        ("import os; os.kill(os.getpid(), 9)", 3, "the process that read it was killed"),
        ("while True: pass", 5, "is not done after 1 s; if you trust it, allow more with"),
    ],
)
def test_what_a_bundle_does_to_the_process_is_one_sentence(child, code, exit_code, words):
    child(code)
    result = run("lint", "--bundle", TINY, "--isolate", "--isolate-seconds", "1")
    assert result.exit_code == exit_code
    [line] = result.stderr.splitlines()
    assert line.startswith(f"trml-rt: {TINY}: {words}")


def test_infer_runs_the_engines_of_a_bundle_apart(capfd):
    words = ("infer", "--text", "a good day", "--bundle", TINY, "--json")
    here = json.loads(run(*words).stdout)
    assert run(*words, "--isolate-bundle", "--isolate-mib", "4000").exit_code == 0
    apart = json.loads(capfd.readouterr().out)
    assert (apart["score"], apart["engine_set"]) == (here["score"], "text")


def test_an_endless_graph_costs_infer_one_sentence(child):
    child("while True: pass")
    words = ("--bundle", TINY, "--isolate-bundle", "--isolate-seconds", "1")
    result = run("infer", "--text", "a good day", *words)
    assert result.exit_code == 5
    [line] = result.stderr.splitlines()
    assert line.startswith(f"trml-rt: {TINY}: is not done after 1 s")


def test_memory_beyond_the_limit_is_not_given(child):
    child("import time; time.sleep(0.3); bytearray(300 << 20)")
    assert run("lint", "--isolate", "--isolate-mib", "200").exit_code == 1  # MemoryError
    assert run("lint", "--isolate", "--isolate-mib", "600").exit_code == 0


def test_the_process_ends_even_if_nobody_waits_for_it(child, tmp_path):
    told = tmp_path / "limits"
    child(
        "import resource, time; time.sleep(0.3)\n"
        "kinds = resource.RLIMIT_CPU, resource.RLIMIT_CORE\n"
        f"open({str(told)!r}, 'w').write(repr([resource.getrlimit(kind) for kind in kinds]))"
    )
    assert run("lint", "--isolate", "--isolate-seconds", "30").exit_code == 0
    most = 30 * os.cpu_count()
    assert told.read_text() == repr([(most, most), (0, 0)])


def test_what_the_process_has_started_ends_with_it(child, tmp_path):
    told = tmp_path / "pid"
    child(
        "import subprocess, sys, time\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(told)!r}, 'w').write(str(other.pid))\n"
        "time.sleep(60)"
    )
    run("lint", "--isolate", "--isolate-seconds", "3")
    assert ended(int(told.read_text()))


# In a process of its own: a signal that comes late would end the tests.
CTRL_C = """
import signal, sys
from trml_rt.cli import isolated, trml_rt

def interrupt(*_):
    raise KeyboardInterrupt

code = f"import os, time; open({sys.argv[1]!r}, 'w').write(str(os.getpid())); time.sleep(60)"
isolated.python_command = lambda *_: [sys.executable, "-c", code]
isolated._PATIENCE = 0.1
signal.signal(signal.SIGALRM, interrupt)
signal.alarm(2)
trml_rt.main(["lint", "--isolate"])
"""


def test_ctrl_c_ends_the_process(tmp_path):
    told = tmp_path / "pid"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", CTRL_C, str(told)]
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 130
    assert ended(int(told.read_text()))


def ended(process):
    """Say whether a process has ended, within a second; one that nobody waits for counts, too."""
    for _ in range(100):
        try:
            os.kill(process, 0)
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def test_limits_mean_nothing_without_isolate():
    result = run("lint", "--isolate-mib", "500")
    assert result.exit_code == 2
    assert "--isolate-mib: has no meaning without --isolate; leave it out" in result.stderr


def test_all_other_words_of_a_command_are_kept():
    words = ["verify", "--isolate", "--isolate-mib", "9", "--rows=3", "--isolate-seconds=4", "--"]
    kept = module._without("--isolate", [*words, "--isolate"])
    assert kept == ["verify", "--rows=3", "--", "--isolate"]
