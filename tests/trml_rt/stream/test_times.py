"""Whether an answer is expected in time, by those before it."""

from __future__ import annotations

from trml_rt.bundle.modality import Modality
from trml_rt.stream.times import Times

VIDEO = Modality.VIDEO


def test_what_was_never_timed_is_tried():
    assert Times().fits(VIDEO, 1, 0.0)


def test_the_median_of_the_last_times_decides():
    times = Times()
    for ms in (10, 10, 500):
        times.add(VIDEO, 1, ms)
    assert times.fits(VIDEO, 1, 10)
    assert not times.fits(VIDEO, 1, 9)
    for _ in range(20):
        times.add(VIDEO, 1, 5)
    assert times.fits(VIDEO, 1, 5)


def test_windows_with_other_numbers_of_new_frames_have_times_of_their_own():
    times = Times()
    times.add(VIDEO, 1, 100)
    assert not times.fits(VIDEO, 1, 50)
    assert times.fits(VIDEO, 2, 50)


def test_one_in_twenty_that_would_be_late_is_tried():
    times = Times()
    times.add(VIDEO, 1, 100)
    tried = [times.fits(VIDEO, 1, 50) for _ in range(40)]
    assert [place for place, fits in enumerate(tried) if fits] == [19, 39]
