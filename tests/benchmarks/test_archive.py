"""An archive has no clip twice, and its rounds go through all of it once."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def archive():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        yield importlib.import_module("archive")
    for name in ("archive", "file_to_answer", "decoding", "machine"):
        sys.modules.pop(name, None)


def test_clips_differ_and_rounds_go_through_them_once(archive, tmp_path):
    archive.make(tmp_path, 10)
    clips = sorted(tmp_path.glob("*.mp4"))
    assert len({clip.read_bytes() for clip in clips}) == len(clips) == 10
    first, second, *rounds = archive.rounds_of(tmp_path)
    assert first == second == clips[: archive.WARM]
    assert [clip for each in rounds for clip in each] == clips
    assert len(rounds) == archive.ROUNDS
