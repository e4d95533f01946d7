from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trml_rt.backends.process import (
    available_memory,
    give_back_memory,
    peak_memory,
    python_command,
    usable_cores,
)

MEGABYTE = 1_000_000
TELL = "from trml_rt.backends.process import peak_memory; print(peak_memory())"


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


@pytest.mark.skipif(not hasattr(ctypes.pythonapi, "malloc_trim"), reason="needs glibc")
def test_what_was_freed_between_what_is_held_is_given_back():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    size = 100_000  # small enough that the C library takes it from its heap
    blocks = [libc.malloc(ctypes.c_size_t(size)) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    last = blocks.pop()
    for block in blocks:
        libc.free(block)
    held = resident()
    give_back_memory()
    assert held - resident() > 80 * MEGABYTE
    libc.free(last)


def test_where_the_system_does_not_tell_nothing_is_made_up(monkeypatch):
    def absent(self, **_):
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", absent)
    assert (peak_memory(), available_memory()) == (None, None)


@pytest.fixture
def system(monkeypatch):
    """Files of a system with four CPUs on two cores; a test may write others over them."""
    siblings = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    files = {siblings.format(cpu): f"{cpu % 2},{cpu % 2 + 2}\n" for cpu in range(4)}

    def read(self, **_):
        try:
            return files[str(self)]
        except KeyError:
            raise FileNotFoundError from None

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    return files


def test_two_threads_of_a_core_count_once(system, monkeypatch):
    assert usable_cores() == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3})
    assert usable_cores() == 1


def test_where_the_system_tells_nothing_of_cores_every_cpu_counts(system):
    system.clear()
    assert usable_cores() == 4


@pytest.mark.parametrize(
    ("where", "most", "cores"),
    [
        ("a.slice/b.service/cpu.max", "100000 100000", 1),
        ("a.slice/cpu.max", "50000 100000", 1),
        ("cpu.max", "150000 100000", 2),
        ("a.slice/cpu.max", "max 100000", 2),
        ("a.slice/cpu.max", "900000 100000", 2),
        ("other.slice/cpu.max", "100000 100000", 2),
    ],
)
def test_the_quota_of_a_group_and_of_those_above_it_counts(system, where, most, cores):
    system["/proc/self/cgroup"] = "1:cpu:/\n0::/a.slice/b.service\n"
    system[f"/sys/fs/cgroup/{where}"] = f"{most}\n"
    assert usable_cores() == cores


def test_a_system_without_affinity_gives_its_cpus(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A module, in a folder that this process searches, that prints what it was given."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "told.py").write_text(
        "import sys, json, numpy, trml_rt; print(sys.argv[1:], __name__)"
    )
    monkeypatch.syspath_prepend(tmp_path / "lib")
    return python_command("told", "a b", "c")


def test_a_child_gets_its_arguments_and_the_folders_of_its_parent(told):
    child = subprocess.run(told, capture_output=True, text=True)
    assert child.stdout == "['a b', 'c'] __main__\n"


def test_a_child_runs_no_file_of_the_working_directory(told, tmp_path, monkeypatch):
    for name in ("numpy", "json", "runpy", "site", "trml_rt"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    child = subprocess.run(python_command("told"), capture_output=True, text=True)
    assert (child.stdout, child.stderr) == ("[] __main__\n", "")
    assert not (tmp_path / "harm").exists()
