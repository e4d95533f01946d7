"""Which text counts at a moment."""

from __future__ import annotations

from trml_rt.stream.words import MOST, Spoken, Words


def words(*texts, hold=2.0, offset=0.0):
    held = Words(hold, offset)
    for text, start, end in texts:
        held.add(Spoken(text, start, end, 0.0, stamped=False))
    return held


def at(held, now):
    spoken = held.at(now)
    return spoken and spoken.text


def test_a_text_counts_from_its_start_to_its_end_and_as_long_as_it_holds():
    held = words(("a", 1.0, 3.0))
    assert [at(held, now) for now in (0.9, 1.0, 3.0, 5.0, 5.1)] == [None, "a", "a", "a", None]


def test_a_text_takes_the_place_of_the_one_before_it():
    held = words(("a", 1.0, 3.0), ("b", 2.0, 2.5))
    assert [at(held, now) for now in (1.5, 2.0, 4.5, 4.6)] == ["a", "b", "b", None]


def test_a_text_that_comes_late_counts_for_what_is_left_of_its_time():
    held = words(("b", 2.0, 2.0), ("a", 1.0, 1.0))
    assert at(held, 2.0) == "b"
    held = words(("a", 1.0, 1.0), hold=5.0)
    assert [at(held, now) for now in (4.0, 6.0, 6.1)] == ["a", "a", None]


def test_the_offset_moves_all_texts():
    held = words(("a", 1.0, 3.0), offset=-0.5)
    assert [at(held, now) for now in (0.4, 0.5, 4.5, 4.6)] == [None, "a", "a", None]


def test_the_next_text_is_the_first_that_is_in_no_answer():
    held = words(("a", 1.0, 1.0), ("b", 2.0, 2.0), ("c", 3.0, 3.0))
    first = held.unanswered(1.0)
    assert first.text == "b"
    first.answered = True
    assert held.unanswered(1.0).text == "c"
    assert held.unanswered(3.0) is None


def test_no_more_texts_wait_than_may():
    held = Words(1.0, 0.0)
    for number in range(MOST):
        assert not held.full
        held.add(Spoken("a", number, number, 0.0, stamped=False))
    assert held.full
    held.at(MOST)
    assert not held.full


def test_texts_end_where_the_last_one_counts_no_more_and_no_other_comes():
    held = words(("a", 1.0, 2.0), hold=1.0)
    assert held.state_at(0.0) == (None, "not_given")
    assert at(held, 1.5) == "a"
    assert held.state_at(3.5) == ("running", "stale")
    held.ended = True
    assert [held.state_at(now)[0] for now in (1.5, 3.0, 3.1)] == ["running", "running", "ended"]
    assert held.state_at(3.1)[1] == "ended"
