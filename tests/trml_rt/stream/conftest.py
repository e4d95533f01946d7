"""Fixtures of streams: a clock that tests move, frames of noise, and a runtime."""

from __future__ import annotations

import numpy as np
import pytest

import trml_rt
from tests.conftest import TINY


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def rt():
    with trml_rt.load(TINY) as runtime:
        yield runtime


@pytest.fixture(scope="session")
def frames():
    """Noise of a size that the model does not have: (300, 9, 12, 3)."""
    return np.random.default_rng(7).integers(0, 256, (300, 9, 12, 3), dtype=np.uint8)


@pytest.fixture
def events():
    return []


@pytest.fixture
def open_stream(rt, clock, events):
    """Open a stream on the clock of the test, which notes its events; closed at the end."""
    opened = []

    def open_one(**arguments):
        stream = rt.stream(clock=clock, on_event=events.append, **arguments)
        opened.append(stream)
        return stream

    yield open_one
    for stream in opened:
        stream.close()


def answers(stream):
    """Return every answer that is there."""
    found = []
    while (answer := stream.poll()) is not None:
        found.append(answer)
    return found


def told(events):
    """Return state and reason of each event of video."""
    return [
        (event.state, event.reason and event.reason.value)
        for event in events
        if event.input == "video"
    ]


def assert_closed_accounts(stream):
    """Close the stream and hold its sum: every frame that was seen is answered or dropped."""
    stream.close()
    totals = stream.totals
    assert totals.waiting == 0
    assert totals.answered + sum(totals.dropped.values()) == totals.seen
    return totals
