"""The rule that chooses frames, as every reader must follow it."""

from __future__ import annotations

import pytest

from trml_rt.inputs.clip import choose_indices, choose_times


def test_times_are_the_middles_of_equal_parts():
    assert choose_times(100, 80, 4) == [110, 130, 150, 170]


def test_times_are_rounded_down_to_whole_ticks():
    assert choose_times(0, 5, 2) == [1, 3]


def test_times_stay_inside_a_clip_of_one_tick():
    assert choose_times(7, 1, 3) == [7, 7, 7]


def test_indices_are_the_middles_of_equal_parts():
    assert choose_indices(20, 8) == [1, 3, 6, 8, 11, 13, 16, 18]


@pytest.mark.parametrize("total", [0, 1, 7, 8])
def test_indices_of_a_short_clip_are_all(total):
    assert choose_indices(total, 8) == list(range(total))


@pytest.mark.parametrize("total", range(9, 40))
def test_indices_of_a_longer_clip_are_distinct(total):
    assert len(set(choose_indices(total, 8))) == 8


def test_indices_are_the_times_of_a_clip_whose_frames_are_ticks():
    assert choose_indices(30, 8) == choose_times(0, 30, 8)
