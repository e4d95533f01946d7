"""Whatever comes in whatever order: sums close, time runs on, events tell each change once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.trml_rt.stream.conftest import Clock, answers, assert_closed_accounts

STATES = ("connecting", "stalled", "retrying", "ended", "failed")

steps = st.one_of(
    st.tuples(st.just("frame"), st.sampled_from((0.04, 0.04, 0.04, 0.3, 0.0, -1.0, 11.0))),
    st.tuples(st.just("clock"), st.sampled_from((0.04, 0.3, 0.6, 2.5))),
    st.tuples(st.just("text"), st.sampled_from((None, -1.0, 0.0, 1.0))),
    st.tuples(st.just("state"), st.sampled_from(STATES)),
    st.tuples(st.just("poll"), st.none()),
)
rules = st.fixed_dictionaries(
    {
        "window": st.integers(1, 4),
        "every": st.sampled_from((0.0, 0.1)),
        "policy": st.sampled_from(("every", "freshest")),
        "buffer": st.sampled_from((None, 3)),
        "max_staleness": st.sampled_from((None, 5.0)),
        "freeze_after": st.sampled_from((None, 0.1)),
        "deadline_ms": st.sampled_from((None, 0.001, 400.0)),
        "anytime": st.booleans(),
    }
)


@given(rules, st.lists(steps, max_size=40), st.booleans(), st.booleans())
def test_a_stream_keeps_its_promises(rt, frames, rules, steps, still, ends):
    clock, t, events, found = Clock(), 0.0, [], []
    stream = rt.stream(clock=clock, on_event=events.append, **rules)
    refused = pushed = 0
    for number, (what, value) in enumerate(steps):
        if what == "frame":
            t += value
            taken = stream.push_frame(frames[0 if still else number], t=t)
            pushed, refused = pushed + 1, refused + (not taken)
        elif what == "clock":
            clock.now += value
        elif what == "text":
            stream.push_text("a good day", t=None if value is None else t + value)
        elif what == "state":
            stream.push_state(value)
        else:
            found += answers(stream)
    if ends:
        stream.end()
        found += list(stream)
        assert stream.finished
    totals = assert_closed_accounts(stream)
    assert totals.seen == pushed - refused

    assert [answer.seq for answer in found] == list(range(len(found)))
    for before, after in pairwise(found):
        assert (after.epoch, after.t) >= (before.epoch, before.t)
    for answer in found:
        assert 0 <= answer.t1 - answer.t0 <= 10.0 * rules["window"]
        assert {report.state for report in answer.inputs.values()} & {"real"}
        for report in answer.inputs.values():
            assert (report.reason is None) == (report.state == "real")

    for kind in ("video", "text"):
        told = [(event.state, event.reason) for event in events if event.input == kind]
        assert all(before != after for before, after in pairwise(told))
