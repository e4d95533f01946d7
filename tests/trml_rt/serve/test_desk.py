"""Admission, deadlines, and who decodes."""

from __future__ import annotations

import asyncio
import time

import pytest

from trml_rt.answer import Reason
from trml_rt.errors import InputUnusable
from trml_rt.serve.costs import Costs
from trml_rt.serve.desk import Ask, Desk
from trml_rt.serve.metrics import Metrics
from trml_rt.serve.refusals import Refused

SLOW = 5.0  # seconds that nothing here takes; what a desk believes of answers


@pytest.fixture
def desk(server):
    desk = Desk(server._rooms.runtime, Costs(lambda _: 1), Metrics(), queue=2, decoders=1)
    yield desk
    desk.close()


def answer(desk, arrived=None, **ask):
    return asyncio.run(desk.answer(Ask(**ask), time.monotonic() if arrived is None else arrived))


def slow(desk, *asks):
    """Let the desk believe that such answers take long."""
    for ask in asks:
        for _ in range(5):
            desk._times.add(ask.given, desk.inside.bit_length(), SLOW * 1e3)


def test_a_row_gets_the_answer_that_it_gets_alone(desk, rt, picture):
    for inputs in ({"text": "what a day"}, {"video": picture}, {"text": "bad", "video": picture}):
        assert answer(desk, **inputs) == rt.infer(**inputs)


def test_a_clip_is_decoded_in_a_process_of_its_own(desk, picture, monkeypatch):
    asked, runtime = [], desk._runtime
    monkeypatch.setattr(
        runtime, "prepare", lambda *_, isolate, **__: asked.append(isolate) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        answer(desk, video=picture)
    assert asked == [True]


def test_more_requests_than_places_are_refused_at_once(desk):
    with desk.admitted(), desk.admitted():
        with pytest.raises(Refused) as refused, desk.admitted():
            pass
        assert (refused.value.status, refused.value.reason) == (429, "queue_full")
        assert int(refused.value.headers["Retry-After"]) >= 1
    with desk.admitted():
        assert desk.inside == 1
    assert (desk.accepted, desk.responded, desk.inside) == (3, 3, 0)


def test_a_deadline_that_can_be_met_changes_nothing(desk, rt):
    assert answer(desk, text="good", deadline_ms=60_000) == rt.infer("good")


@pytest.mark.parametrize("degrade", [False, True])
def test_a_deadline_that_cannot_be_met_is_refused_at_once(desk, degrade):
    slow(desk, Ask(text="good"))
    with pytest.raises(Refused) as refused:
        answer(desk, text="good", deadline_ms=100, degrade=degrade)
    assert (refused.value.status, refused.value.reason) == (503, "deadline")
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_a_deadline_that_has_passed_is_refused(desk):
    with pytest.raises(Refused):
        answer(desk, time.monotonic() - 1, text="good", deadline_ms=100)


def test_a_clip_that_would_be_late_is_left_out_where_the_client_allows_it(desk, rt, picture):
    ask = {"text": "good", "video": picture, "deadline_ms": 1000}
    slow(desk, Ask(**ask))
    with pytest.raises(Refused):
        answer(desk, **ask)
    found = answer(desk, **ask, degrade=True)
    assert found.inputs["video"].reason is Reason.DEADLINE
    assert found.score == rt.infer("good").score


def test_nothing_can_be_left_out_of_a_clip_alone(desk, picture):
    slow(desk, Ask(video=picture))
    with pytest.raises(Refused):
        answer(desk, video=picture, deadline_ms=100, degrade=True)


def test_an_input_that_cannot_be_used_is_counted_by_its_reason(desk):
    with pytest.raises(InputUnusable):
        answer(desk, video=b"no clip")
    lines = desk._metrics.text({}, {}).splitlines()
    assert 'trml_rt_rows_total{engine_set="",outcome="undecodable"} 1' in lines
