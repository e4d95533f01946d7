from __future__ import annotations

import logging

from trml_rt import progress

LOG = logging.getLogger("trml_rt.test_progress")


def test_long_work_says_how_far_it_is(monkeypatch, caplog):
    seconds = iter(range(0, 100, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with caplog.at_level(logging.INFO, "trml_rt"):
        assert list(progress.counted("abcdefgh", 8, "letters", LOG)) == list("abcdefgh")
    assert caplog.messages == ["letters: 2 of 8", "letters: 5 of 8"]


def test_short_work_says_nothing(caplog):
    with caplog.at_level(logging.INFO, "trml_rt"):
        assert list(progress.counted(range(3), 3, "numbers", LOG)) == [0, 1, 2]
    assert caplog.messages == []
