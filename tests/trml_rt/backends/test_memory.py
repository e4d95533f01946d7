from __future__ import annotations

import os
import subprocess
import sys

from trml_rt.backends.memory import available_memory, peak_memory

MEGABYTE = 1_000_000
TELL = "from trml_rt.backends.memory import peak_memory; print(peak_memory())"


def test_the_peak_of_a_child_is_not_its_parents():
    ballast = b"x" * (400 * MEGABYTE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", TELL], env=environment, capture_output=True)
    assert peak_memory() > len(ballast)
    assert 1 * MEGABYTE < int(told.stdout) < 200 * MEGABYTE


def test_the_peak_stays_when_memory_is_freed():
    ballast = [b"x" * (100 * MEGABYTE)]
    ballast.clear()
    assert peak_memory() > 100 * MEGABYTE


def test_free_memory_is_a_number_of_bytes():
    assert available_memory() > 10 * MEGABYTE


def test_where_the_system_does_not_tell_nothing_is_made_up(monkeypatch):
    def absent(self, **_):
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", absent)
    assert (peak_memory(), available_memory()) == (None, None)
