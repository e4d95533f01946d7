"""Rows that wait: which run together, in which order, and that none is lost."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from trml_rt.bundle.modality import Modality
from trml_rt.errors import VerificationFailed
from trml_rt.inputs.prepare import Prepared
from trml_rt.inputs.tokenizer import Tokens
from trml_rt.serve.lane import Lane, kind_of
from trml_rt.serve.refusals import Refused

TEXT, CLIP = (Modality.TEXT, 0), (Modality.VIDEO, 2)


def text(length):
    return Prepared(tokens=Tokens(np.arange(length, dtype=np.int32), truncated=False))


def video(frames):
    return Prepared(pixels=np.zeros((frames, 2, 2, 3), np.uint8))


class Costs:
    """How many rows of each kind run together, as a test says; of others one."""

    def __init__(self, together):
        self.together, self.added = together, []

    def most(self, kind):
        return self.together.get(kind, 1)

    def add(self, kind, rows, seconds):
        self.added.append((kind, rows))


class Engines:
    """What answers: notes each group, and can be kept busy."""

    def __init__(self):
        self.groups, self.free, self.began = [], threading.Event(), threading.Semaphore(0)
        self.free.set()

    def __call__(self, rows):
        self.began.release()
        self.free.wait(10)
        self.groups.append(rows)
        return [id(row) for row in rows]


@pytest.fixture
def engines():
    return Engines()


def busy(lane, engines):
    """Let the engines work on one row until they are set free."""
    engines.free.clear()
    first = lane.put(text(1))
    engines.began.acquire(timeout=10)
    return first


def test_the_kind_of_a_row_is_its_presence_and_how_many_frames_it_shows():
    assert kind_of(text(3)) == TEXT
    assert kind_of(video(2)) == CLIP


def test_a_lone_row_runs_at_once_and_alone(engines):
    lane = Lane(engines, Costs({TEXT: 8}))
    for length in (1, 2):
        assert lane.put(text(length)).result(10)
    lane.close()
    assert [len(group) for group in engines.groups] == [1, 1]


def test_rows_that_came_while_the_engines_were_busy_run_together_whatever_came_between(engines):
    lane = Lane(engines, Costs({TEXT: 8, CLIP: 8}))
    busy(lane, engines)
    rows = [text(1), video(2), text(1), video(2), text(1)]
    futures = [lane.put(row) for row in rows]
    assert lane.waiting == 5
    engines.free.set()
    lane.close()
    assert engines.groups[1:] == [[rows[0], rows[2], rows[4]], [rows[1], rows[3]]]
    assert [future.result() for future in futures] == [id(row) for row in rows]


def test_what_a_group_took_is_noted(engines):
    costs = Costs({TEXT: 8})
    lane = Lane(engines, costs)
    busy(lane, engines)
    for row in (text(1), text(1), video(2)):
        lane.put(row)
    engines.free.set()
    lane.close()
    assert costs.added == [(TEXT, 1), (TEXT, 2), (CLIP, 1)]


def test_no_more_rows_run_together_than_pay(engines):
    lane = Lane(engines, Costs({TEXT: 2}))
    busy(lane, engines)
    for _ in range(5):
        lane.put(text(1))
    for _ in range(2):
        lane.put(video(1))
    engines.free.set()
    lane.close()
    assert [len(group) for group in engines.groups] == [1, 2, 2, 1, 1, 1]


def test_the_row_that_waits_longest_takes_those_of_its_length_along(engines):
    lane = Lane(engines, Costs({TEXT: 3}))
    busy(lane, engines)
    rows = [text(length) for length in (5, 50, 6, 20, 4)]
    for row in rows:
        lane.put(row)
    engines.free.set()
    lane.close()
    assert engines.groups[1:] == [[rows[0], rows[2], rows[4]], [rows[1], rows[3]]]


def test_a_row_whose_deadline_has_passed_is_refused_and_not_run(engines):
    lane = Lane(engines, Costs({}))
    busy(lane, engines)
    late, in_time = lane.put(text(1), time.monotonic()), lane.put(text(1), time.monotonic() + 60)
    engines.free.set()
    lane.close()
    assert isinstance(late.exception(), Refused)
    assert in_time.result()
    assert len(engines.groups) == 2


def test_a_row_that_is_wanted_no_more_is_not_run(engines):
    lane = Lane(engines, Costs({}))
    busy(lane, engines)
    assert lane.put(text(1)).cancel()
    engines.free.set()
    lane.close()
    assert len(engines.groups) == 1


def test_a_row_that_cannot_be_answered_costs_its_group_nothing(engines):
    def answer(rows):
        if any(len(row.tokens) == 3 for row in rows):
            raise VerificationFailed("no number")
        return engines(rows)

    lane = Lane(answer, Costs({TEXT: 8}))
    busy(lane, engines)
    futures = [lane.put(text(length)) for length in (2, 3, 4)]
    engines.free.set()
    lane.close()
    assert [future.exception() is None for future in futures] == [True, False, True]


def test_a_bug_reaches_who_asked_and_the_next_row_is_answered(engines):
    def answer(rows):
        if rows[0].tokens is None:
            raise AttributeError("a bug")
        return engines(rows)

    lane = Lane(answer, Costs({}))
    with pytest.raises(AttributeError):
        lane.put(video(1)).result(10)
    assert lane.put(text(1)).result(10)
    lane.close()
