"""A live source whose reader is killed and stopped comes back; a soak watches what that costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import TINY

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "soak_live.py"


def test_a_short_soak_of_a_live_source_passes_and_counts_its_faults():
    words = ("--bundle", TINY, "--frames", "600", "--every", "250")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, SCRIPT, *words], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(run.stdout)
    assert found["faults"] >= 1
    assert found["epochs"] > found["faults"]
    assert found["wrong"] == []
