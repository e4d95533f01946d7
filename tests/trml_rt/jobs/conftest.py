"""Fixtures of the tests of jobs."""

from __future__ import annotations

import pytest

from tests.conftest import TINY
from tests.trml_rt.jobs.archive import make_archive
from trml_rt.backends.process import python_command
from trml_rt.jobs import crew, run_job


@pytest.fixture
def archive(tmp_path):
    """Forty rows of mixed presence, some of them broken."""
    return make_archive(tmp_path, 40)


@pytest.fixture
def run(archive, tmp_path):
    """Run the job of `archive` with one worker of one thread on the tiny bundle."""

    def run(out="a.jsonl", data=archive, **options):
        options = {"workers": 1, "threads": 1, **options}
        return run_job(data, tmp_path / out, TINY, **options)

    return run


@pytest.fixture
def crashing(monkeypatch):
    """Let files that are named so crash the workers of this test."""
    monkeypatch.setattr(
        crew,
        "python_command",
        lambda _, *arguments: python_command("tests.trml_rt.jobs.archive", *arguments),
    )
