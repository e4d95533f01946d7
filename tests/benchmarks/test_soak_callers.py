"""Calls of all kinds from eight threads at once give the answers that they give alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import TINY

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "soak_callers.py"
# One answer in a hundred is off by the least that a float can be off.
OFF = """
import itertools, math, runpy, sys
import trml_rt.runtime as runtime
right, count = runtime.read_prediction, itertools.count(1)
def off(*given):
    label, score, probabilities = right(*given)
    return label, math.nextafter(score, 2) if next(count) % 100 == 0 else score, probabilities
runtime.read_prediction = off
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def soak(*python: str) -> tuple[int, dict]:
    command = [sys.executable, *python, str(SCRIPT), "--bundle", str(TINY), "--calls", "800"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.stderr == ""
    return run.returncode, json.loads(run.stdout)["ways"]


def test_eight_threads_at_once_get_the_answers_of_one_to_the_bit():
    code, ways = soak()
    assert [(way["calls"], way["wrong"]) for way in ways.values()] == [(800, 0)] * 3
    assert code == 0


def test_an_answer_that_is_off_by_one_bit_is_counted():
    code, ways = soak("-c", OFF)
    assert all(way["wrong"] > 0 for way in ways.values())
    assert code == 1
