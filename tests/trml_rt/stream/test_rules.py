"""What may be said of a stream."""

from __future__ import annotations

import pytest

from trml_rt import UsageError
from trml_rt.stream.rules import Rules


def test_the_policy_decides_what_is_not_said():
    fresh, every = Rules(window=4), Rules(window=4, policy="every")
    assert (fresh.buffer, fresh.max_staleness, fresh.live) == (1, 0.5, True)
    assert (every.buffer, every.max_staleness, every.live) == (8, None, False)
    assert Rules(window=4, buffer=3, max_staleness=2).buffer == 3


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"window": 0}, "window: must be a whole number of frames, at least 1"),
        ({"buffer": 1.5}, "buffer: must be a whole number"),
        ({"policy": "all"}, "no policy 'all'; choose every, freshest"),
        ({"every": -1}, "every: must be a number, at least 0, not -1"),
        ({"hold": float("nan")}, "hold: must be a number"),
        ({"offset": "1"}, "offset: must be a number, not '1'"),
        ({"stall_after": 0}, "stall_after: must be a number, at least 0.001"),
        ({"stall_after": None}, "stall_after"),
        ({"deadline_ms": True}, "deadline_ms"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_name(wrong, match):
    with pytest.raises(UsageError, match=match):
        Rules(**{"window": 4, **wrong})
