"""Errors cross processes, and a fault of the machine is told from a fault of the input."""

from __future__ import annotations

import copy
import errno
import multiprocessing
import pickle
from functools import partial
from types import SimpleNamespace

import pytest

from trml_rt import errors
from trml_rt.errors import (
    EnvironmentUnfit,
    InputUnusable,
    TrmlError,
    blames_machine,
    cannot_write,
)

KINDS = [
    partial(kind, reason="too_short") if kind is InputUnusable else kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, TrmlError)
]


@pytest.mark.parametrize("make", KINDS, ids=lambda kind: getattr(kind, "__name__", "InputUnusable"))
@pytest.mark.parametrize("cross", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_every_error_crosses_processes_with_its_attributes(make, cross):
    error = make("clip.mp4: the file is empty")
    error.note = "kept"
    arrived = cross(error)
    assert type(arrived) is type(error)
    assert str(arrived) == "clip.mp4: the file is empty"
    assert vars(arrived) == vars(error)
    assert arrived.exit_code == error.exit_code


def refuse(path):
    raise InputUnusable(f"{path}: the file is empty", reason="undecodable")


def test_a_pool_hands_on_the_refusal_of_an_input():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        waiting = pool.map_async(refuse, ["clip.mp4"])
        with pytest.raises(InputUnusable, match="clip") as caught:
            waiting.get(60)
    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError("out of memory error when reading image file"),
        RuntimeError("Failed to allocate 2359296 bytes of memory"),
        RuntimeError("can't start new thread"),
        ImportError("libx265.so: failed to map segment from shared object"),
    ],
    ids=repr,
)
def test_a_shortage_is_a_fault_of_the_machine(error):
    with (
        pytest.raises(EnvironmentUnfit, match=r"^clip\.mp4: this machine lacks "),
        blames_machine("clip.mp4"),
    ):
        raise error


@pytest.mark.parametrize(
    "error",
    [InputUnusable("x", reason="undecodable"), OSError(errno.EIO, "I/O"), ValueError("x")],
    ids=repr,
)
def test_another_error_passes_as_it_is(error):
    with pytest.raises(type(error)) as caught, blames_machine("clip.mp4"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("files", "free", "words"),
    [(100, 0, "remove some files and try again"), (100, 9, "free some space"), (0, 0, "free some")],
)
def test_a_disk_that_is_full_of_files_is_told_from_one_that_is_full_of_bytes(
    tmp_path, monkeypatch, files, free, words
):
    status = SimpleNamespace(f_files=files, f_favail=free)
    monkeypatch.setattr("os.statvfs", lambda _: status)
    error = OSError(errno.ENOSPC, "No space left on device")
    assert words in str(cannot_write(tmp_path / "new", error, "name another folder"))
