from __future__ import annotations

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trml_export.features import encoding
from trml_export.features.features import compute_split
from trml_export.features.filling import encode
from trml_export.features.ranks import ALONE, Ranks, joined
from trml_rt.errors import EnvironmentUnfit, UsageError


@pytest.fixture
def launched(monkeypatch):
    """Be one of two processes, as a launcher would say it; return what the other one is told."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    for name, value in {**address, "WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    return {**address, "WORLD_SIZE": "2", "RANK": "1"}


OTHER = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {root!r} + "/export"]
import torch
from trml_export.features import encoding
from trml_export.features.filling import encode
torch.set_num_threads(1)
encoding._CHUNK = 2
report = encode(Path({data!r}), "default", Path({cache!r}), device="cpu")
print(report.first, report.texts, report.clips)
"""


def test_two_processes_share_the_rows_and_leave_the_vectors_of_one(
    launched, data, tmp_path, monkeypatch, request
):
    monkeypatch.setattr(encoding, "_CHUNK", 2)
    words = {"root": str(request.config.rootpath), "data": str(data)}
    code = OTHER.format(**words, cache=str(tmp_path / "shared"))
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **launched}, stdout=subprocess.PIPE
    ) as other:
        report = encode(data, "default", tmp_path / "shared", device="cpu")
        said = other.communicate(timeout=60)[0]
    assert other.returncode == 0
    assert said.split() == [b"False", str(report.texts).encode(), str(report.clips).encode()]
    assert (report.first, report.processes) == (True, 2)
    monkeypatch.setenv("WORLD_SIZE", "1")
    alone = encode(data, "default", tmp_path / "alone", device="cpu")
    assert (alone.texts, alone.clips) == (report.texts, report.clips)
    stored = [
        np.sort(np.fromfile(next((tmp_path / name).glob("*/vectors.f32")), np.uint32))
        for name in ("shared", "alone")
    ]
    assert np.array_equal(*stored)


def test_each_chunk_is_for_one_process():
    shares = [[n for n in range(7) if Ranks(rank, 3).mine(n)] for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]


def test_without_a_launcher_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as ranks:
        assert ranks is ALONE
        ranks.wait()


def test_several_machines_are_refused(launched, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    with pytest.raises(UsageError, match="encode on one machine"), joined():
        pass


def test_a_group_without_an_address_is_named(launched, monkeypatch):
    monkeypatch.delenv("MASTER_ADDR")
    with pytest.raises(EnvironmentUnfit, match="start them with torchrun"), joined():
        pass


def test_a_number_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(UsageError, match="WORLD_SIZE=many: is no number"), joined():
        pass


def test_training_in_several_processes_is_refused(monkeypatch, clip, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="fill the cache with `trml-rt encode` under torchrun"):
        compute_split(None, "train", clip, None, cache=tmp_path)
