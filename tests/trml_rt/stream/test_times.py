"""Whether an answer is expected in time, by those before it."""

from __future__ import annotations

from trml_rt.bundle.modality import Modality
from trml_rt.stream.times import Times

VIDEO = Modality.VIDEO


def slow(count=3, ms=100.0):
    times = Times()
    for _ in range(count):
        times.add(VIDEO, 1, ms)
    return times


def test_what_was_hardly_ever_timed_is_tried():
    assert Times().fits(VIDEO, 1, 0.0)
    assert slow(2).fits(VIDEO, 1, 50)
    assert not slow(3).fits(VIDEO, 1, 50)


def test_all_times_but_one_of_the_last_twenty_decide():
    times = slow(19, ms=10)
    times.add(VIDEO, 1, 500)
    assert times.fits(VIDEO, 1, 10)
    assert not times.fits(VIDEO, 1, 9)
    times.add(VIDEO, 1, 500)
    assert not times.fits(VIDEO, 1, 10)
    for _ in range(19):
        times.add(VIDEO, 1, 5)
    assert times.fits(VIDEO, 1, 5)


def test_windows_with_other_numbers_of_new_frames_have_times_of_their_own():
    times = slow()
    assert not times.fits(VIDEO, 1, 50)
    assert times.fits(VIDEO, 2, 50)


def test_tries_become_fewer_where_they_fail():
    times, tried = slow(), []
    for number in range(200):
        if times.fits(VIDEO, 1, 50):
            tried.append(number)
            times.add(VIDEO, 1, 100)
    assert tried == [20, 61, 142]


def test_a_try_that_is_in_time_lets_the_next_ones_in():
    times = slow(20)
    assert [times.fits(VIDEO, 1, 50) for _ in range(21)] == 20 * [False] + [True]
    times.add(VIDEO, 1, 30)
    assert times.fits(VIDEO, 1, 50)
