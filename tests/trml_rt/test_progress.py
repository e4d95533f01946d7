from __future__ import annotations

import logging

import pytest

from trml_rt import progress

LOG = logging.getLogger("trml_rt.test_progress")


def test_long_work_says_how_far_it_is(monkeypatch, caplog):
    seconds = iter(range(0, 100, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with caplog.at_level(logging.INFO, "trml_rt"):
        assert list(progress.counted("abcdefgh", 8, "letters", LOG)) == list("abcdefgh")
    assert caplog.messages == [
        "letters: 2 of 8, about 24 s left",
        "letters: 4 of 8, about 14 s left",
        "letters: 6 of 8, about 7 s left",
    ]


def test_short_work_says_nothing(caplog):
    with caplog.at_level(logging.INFO, "trml_rt"):
        assert list(progress.counted(range(3), 3, "numbers", LOG)) == [0, 1, 2]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("seconds", "done", "words"),
    [
        (10, 50, ", about 10 s left"),
        (90, 50, ", about 2 min left"),
        (1, 1, ", about 2 min left"),
        (300, 10, ", about 45 min left"),
        (7200, 50, ", about 2 h left"),
        (1, 50, ""),  # as good as done
        (100, 0, ""),  # nobody can know
        (100, 100, ""),
    ],
)
def test_what_is_left_is_told_in_the_unit_that_suits_it(monkeypatch, seconds, done, words):
    monkeypatch.setattr(progress.time, "monotonic", lambda: 1000.0 + seconds)
    assert progress.time_left(1000.0, done, 100) == words
