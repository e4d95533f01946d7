"""A timeline answers on each segment as `infer` answers on its frames and its text, bit for bit."""

from __future__ import annotations

import pytest

import trml_rt
from tests import media
from tests.conftest import TINY
from trml_rt import InputUnusable, UsageError
from trml_rt.answer import Reason
from trml_rt.inputs.clip import choose_times
from trml_rt.inputs.in_turn import frames_in_turn

RATE = 10
SRT = """1
00:00:01,000 --> 00:00:02,000
<b>a good</b> day

2
00:00:02,000 --> 00:00:02,600
[music]

3
00:00:04,000 --> 00:00:05,000
so far, so good

4
00:00:08,000 --> 00:00:09,000
and a text behind the end
"""


@pytest.fixture
def video(tmp_path):
    return media.write_video(tmp_path / "v.mp4", 61, rate=RATE)


@pytest.fixture
def subtitles(tmp_path):
    (tmp_path / "v.srt").write_text(SRT, encoding="utf-8")
    return tmp_path / "v.srt"


@pytest.fixture(scope="module")
def rt():
    with trml_rt.load(TINY) as runtime:
        yield runtime


def frames_by_the_rule(path, start, end, count):
    """Return the frames of a segment by the rule of clips, in ticks of 1 / 1000 s."""
    frames = list(frames_in_turn(path))
    chosen = []
    for moment in choose_times(round(1000 * start), round(1000 * (end - start)), count):
        index = max(n for n, (t, _) in enumerate(frames) if round(1000 * t) <= moment)
        chosen += [index] if index not in chosen else []
    return [frames[index][1] for index in chosen]


def test_texts_gaps_and_what_lies_beyond_the_end_are_rows_with_their_reasons(video, subtitles):
    found = trml_rt.timeline(video, subtitles, TINY)
    assert [
        (row.start, row.end, row.text, row.presence, dict(row.reasons)) for row in found.rows
    ] == [
        (0.0, 1.0, None, "video", {"text": Reason.NO_SPEECH}),
        (1.0, 2.0, "a good day", "text_video", {}),
        (2.0, 4.0, None, "video", {"text": Reason.NO_SPEECH}),
        (4.0, 5.0, "so far, so good", "text_video", {}),
        (5.0, pytest.approx(6.1), None, "video", {"text": Reason.NO_SPEECH}),
        (8.0, 9.0, "and a text behind the end", "text", {"video": Reason.ENDED}),
    ]
    assert (found.text, found.segment, found.damaged) == (str(subtitles), "cue", False)
    assert found.seconds == pytest.approx(6.1)
    assert sum(found.presence.values()) == pytest.approx(1.0)
    assert [name for name in found.presence] == ["text", "text_video", "video"]


@pytest.mark.parametrize("segment", ["cue", 0.7, 2, 100.0])
def test_each_row_is_the_answer_of_infer_on_its_frames_bit_for_bit(video, subtitles, rt, segment):
    count = rt.bundle.manifest.video.frames
    found = trml_rt.timeline(video, subtitles, TINY, segment=segment)
    assert len(found.rows) > 1 or segment == 100.0
    for row in found.rows:
        frames = None
        if row.presence != "text":
            frames = frames_by_the_rule(video, row.start, min(row.end, found.seconds), count)
            assert row.frames == len(frames)
        answer = rt.infer(row.text, frames)
        assert (row.score, row.label, row.presence) == (
            answer.score,
            answer.label,
            answer.engine_set,
        )


@pytest.mark.parametrize("name", ["v.mp4", "v.webm", "v.ts", "v.avi"])
def test_a_segment_of_the_whole_video_is_what_infer_answers_on_the_file(tmp_path, rt, name):
    path = media.write_video(tmp_path / name, 61, rate=RATE)
    [row] = trml_rt.timeline(path, bundle=TINY, segment=100).rows
    answer = rt.infer(video=path)
    assert (row.score, row.frames) == (answer.score, answer.inputs["video"].frames)


def test_embedded_texts_are_taken_unasked_and_the_head_says_so(tmp_path, video):
    path = media.embed_texts(tmp_path / "e.mp4", video, [(1000, 1000, "a good day")])
    for text, told, reason in (
        (None, "embedded", Reason.NO_SPEECH),
        ("embedded", "embedded", Reason.NO_SPEECH),
        ("none", "none", Reason.NOT_GIVEN),
    ):
        found = trml_rt.timeline(path, text, TINY)
        assert (found.text, found.rows[0].reasons["text"]) == (told, reason)
        assert ("a good day" in [row.text for row in found.rows]) == (told == "embedded")
    without = trml_rt.timeline(video, bundle=TINY)
    assert without.text == "none"
    assert without.rows[0].reasons == {"text": Reason.NOT_GIVEN}
    with pytest.raises(InputUnusable, match="has no track of texts"):
        trml_rt.timeline(video, "embedded", TINY)


def test_a_text_that_says_nothing_to_the_model_has_its_reason(tmp_path, video):
    (tmp_path / "s.srt").write_text(
        "00:00:00,000 --> 00:00:06,100\n\u4f60\n\n00:00:07,000 --> 00:00:08,000\n\u597d\n"
    )
    first, last = trml_rt.timeline(video, tmp_path / "s.srt", TINY).rows
    assert (first.presence, dict(first.reasons)) == ("video", {"text": Reason.UNKNOWN_TEXT})
    assert (last.presence, last.score, last.label) == ("none", None, None)
    assert last.reasons == {"text": Reason.UNKNOWN_TEXT, "video": Reason.ENDED}
    assert last.to_dict()["reasons"] == {"text": "unknown_text", "video": "ended"}


@pytest.mark.parametrize("segment", ["word", 0, 0.01, -1.0, True, float("nan"), None])
def test_a_segment_that_makes_no_sense_is_refused(video, segment):
    with pytest.raises(UsageError, match=r"segment: must be cue, or 0\.1 seconds or more"):
        trml_rt.timeline(video, bundle=TINY, segment=segment)


def test_what_is_no_video_or_no_file_of_texts_is_refused(tmp_path, video):
    (tmp_path / "t.txt").write_text("no times")
    with pytest.raises(InputUnusable, match="is neither SRT, VTT nor JSON lines"):
        trml_rt.timeline(video, tmp_path / "t.txt", TINY)
    with pytest.raises(InputUnusable, match="not a video or picture that can be opened"):
        trml_rt.timeline(tmp_path / "t.txt", bundle=TINY)
