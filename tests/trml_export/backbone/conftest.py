from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def folder(clip_folder, tmp_path):
    """A copy of the byte-pair backbone that a test may spoil."""
    return shutil.copytree(clip_folder, tmp_path / "clip")
