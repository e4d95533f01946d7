"""How a video is cut: along its texts and their gaps, or into parts of one length."""

from __future__ import annotations

import itertools

import pytest

from trml_rt import InputUnusable
from trml_rt.inputs.subtitles import Cue
from trml_rt.timeline.segments import QUIET, Segment, by_cue, by_seconds


def spans(segments):
    return [(each.start, each.end, each.text) for each in segments]


def test_texts_and_their_gaps_follow_each_other():
    cues = [Cue("b", 4.0, 5.0), Cue("a", 1.0, 2.0)]
    assert spans(by_cue(cues, 7.0)) == [
        (0.0, 1.0, None),
        (1.0, 2.0, "a"),
        (2.0, 4.0, None),
        (4.0, 5.0, "b"),
        (5.0, 7.0, None),
    ]


def test_a_short_pause_belongs_to_the_text_before_and_the_first_one_to_that_behind():
    cues = [Cue("a", 0.4, 1.0), Cue("b", 1.4, 2.0)]
    assert spans(by_cue(cues, 2.3)) == [(0.0, 1.4, "a"), (1.4, 2.3, "b")]


def test_a_long_gap_is_cut_into_equal_parts():
    assert spans(by_cue([], 25.0)) == [(25 * n / 3, 25 * (n + 1) / 3, None) for n in range(3)]
    assert spans(by_cue([], QUIET)) == [(0.0, QUIET, None)]
    assert spans(by_cue([], 0.2)) == [(0.0, 0.2, None)]


def test_texts_that_overlap_end_where_the_next_begins_and_those_of_one_start_are_one():
    cues = [Cue("a", 0.0, 9.0), Cue("b", 2.0, 3.0), Cue("c", 2.0, 4.0)]
    assert spans(by_cue(cues, 4.0)) == [(0.0, 2.0, "a"), (2.0, 4.0, "b c")]


def test_a_text_without_an_end_lasts_to_the_next_one_or_to_the_end_of_the_video():
    assert spans(by_cue([Cue("a", 0.0), Cue("b", 2.0)], 5.0)) == [(0.0, 2.0, "a"), (2.0, 5.0, "b")]


def test_beyond_the_end_of_the_video_there_are_texts_and_no_gaps():
    cues = [Cue("a", 3.0, 6.0), Cue("b", 9.0, 10.0)]
    assert spans(by_cue(cues, 4.0)) == [(0.0, 3.0, None), (3.0, 6.0, "a"), (9.0, 10.0, "b")]
    assert spans(by_seconds([Cue("b", 9.0, 10.0)], 4.0, 2.0)) == [
        (0.0, 2.0, None),
        (2.0, 4.0, None),
        (8.0, 10.0, "b"),
    ]


def test_of_parts_of_one_length_the_last_one_takes_a_small_rest():
    assert spans(by_seconds([], 6.9, 2.0)) == [(0, 2, None), (2, 4, None), (4, 6.9, None)]
    assert spans(by_seconds([], 7.1, 2.0))[-1] == (6, 7.1, None)
    assert spans(by_seconds([], 0.3, 2.0)) == [(0, 0.3, None)]


def test_a_text_belongs_to_the_part_in_which_its_middle_lies():
    cues = [Cue("a", 0.0, 1.0), Cue("b", 1.5, 3.0), Cue("c", 3.0, 3.5)]
    texts = [each.text for each in by_seconds(cues, 8.0, 2.0)]
    assert texts == ["a", "b c", None, None]


@pytest.mark.parametrize("start", [None, -1.0])
def test_a_text_without_a_time_is_refused(start):
    with pytest.raises(InputUnusable, match="text 2: has no time from 0 s on"):
        by_cue([Cue("a", 0.0), Cue("b", start)], 4.0)


def test_segments_never_overlap_whatever_the_texts():
    cues = [Cue(str(n), (7 * n % 11) / 3, (7 * n % 11) / 3 + n % 4) for n in range(11)]
    for segments in (by_cue(cues, 3.0), by_seconds(cues, 3.0, 0.7)):
        assert all(a.end <= b.start for a, b in itertools.pairwise(segments))
        assert all(isinstance(each, Segment) and each.start <= each.end for each in segments)
        assert sorted(" ".join(each.text or "" for each in segments).split()) == sorted(
            map(str, range(11))
        )
