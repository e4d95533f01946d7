"""A bounded fuzz run of every reader of files, and that a finding is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_readers.py"
# The reader of manifests fails where a file holds a wrong key.
OFF = """
import runpy, sys
import trml_rt.bundle.manifest as manifest
right = manifest.read_manifest
def off(data):
    if b"pad_id" not in data:
        raise KeyError("pad_id")
    return right(data)
manifest.read_manifest = off
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def fuzz(tmp_path, *words):
    command = [sys.executable, *words, "--findings", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "RUST_BACKTRACE": "0"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    return run.returncode, json.loads(run.stdout)["readers"]


def test_every_reader_takes_or_refuses_what_it_is_given(tmp_path):
    code, readers = fuzz(tmp_path, str(SCRIPT), "--inputs", "100")
    assert [found for each in readers.values() for found in each["findings"]] == []
    assert all(each["taken"] + each["refused"] == 100 for each in readers.values())
    assert min(each["taken"] for each in readers.values()) > 0
    assert code == 0
    assert list(tmp_path.iterdir()) == []


def test_another_error_than_one_of_ours_is_a_finding_and_is_kept(tmp_path):
    words = ["-c", OFF, str(SCRIPT), "--inputs", "200", "--reader", "manifest"]
    code, readers = fuzz(tmp_path, *words)
    assert code == 1
    assert "KeyError: 'pad_id'" in readers["manifest"]["findings"][0]
    kept = list(tmp_path.iterdir())
    assert len(kept) == len(readers["manifest"]["findings"])
    assert all(b"pad_id" not in path.read_bytes() for path in kept)
