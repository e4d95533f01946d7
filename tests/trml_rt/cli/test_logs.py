"""A command is never silent for long."""

from __future__ import annotations

import logging
import re
import time

import pytest

from trml_rt.cli import logs

SAID = re.compile(r"still working, \d s since: ranking the layers")
LOG = logging.getLogger("trml_rt.test_logs")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(logs, "_SILENT", 0.4)
    monkeypatch.setattr(logs, "_LOOK", 0.01)


def test_a_long_silence_is_broken_by_what_was_said_last(impatient, capsys):
    with logs.logs_on_stderr():
        LOG.info("ranking the layers")
        time.sleep(1.0)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "ranking the layers"
    assert len(rest) >= 2
    assert [line for line in rest if not SAID.fullmatch(line)] == []


def test_it_is_broken_before_anything_was_said(impatient, capsys):
    with logs.logs_on_stderr():
        time.sleep(0.6)
    assert "since: the start of the command" in capsys.readouterr().err


def test_a_command_that_talks_or_has_ended_is_not_spoken_for(impatient, capsys):
    with logs.logs_on_stderr():
        for number in range(12):
            LOG.info("%d of 12", number)
            time.sleep(0.05)
    time.sleep(0.6)
    assert "still" not in capsys.readouterr().err


def test_a_command_that_waits_for_others_may_be_silent_and_the_next_may_not(impatient, capsys):
    with logs.logs_on_stderr():
        logs.expect_silence()
        time.sleep(0.6)
    assert capsys.readouterr().err == ""
    with logs.logs_on_stderr():
        time.sleep(0.6)
    assert "still working" in capsys.readouterr().err
