"""A job that is killed at random moments ends as one that ran undisturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import TINY

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "soak_jobs.py"


def test_a_soak_of_few_kills_passes_and_counts_what_crashed():
    words = ("--bundle", TINY, "--rows", "120", "--kills", "3", "--seconds", "3")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, SCRIPT, *words], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["errors"]["decoder_crash"] == 3
    assert (found["every_key_once"], found["bytes_of_the_clean_run"]) == (True, True)
