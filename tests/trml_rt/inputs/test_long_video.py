"""A long video: its length, its embedded texts, and the frames that moments show, in one pass."""

from __future__ import annotations

import numpy as np
import pytest

from tests import media
from trml_rt import InputUnusable
from trml_rt.inputs.clip import choose_times
from trml_rt.inputs.long_video import survey_long
from trml_rt.inputs.subtitles import Cue
from trml_rt.inputs.video import read_frames

TEXTS = [
    (500, 500, "<i>What</i> a day, a comma\n[music]"),
    (1000, 400, "[door closes]"),
    (1500, 300, "Good."),
]


def shown(path, parts):
    return [media.numbers_of(each) for each in survey_long(path).pictures(parts, threads=1)]


@pytest.mark.parametrize("frames", [3, 20, 61])
@pytest.mark.parametrize("name", ["v.mp4", "v.webm", "v.avi", "v.ts", "v.mkv"])
def test_of_the_whole_video_it_takes_the_frames_that_infer_takes(tmp_path, name, frames):
    path = media.write_video(tmp_path / name, frames, rate=10)
    video = survey_long(path)
    assert video.seconds == pytest.approx(frames / 10, abs=0.002)
    [pictures] = video.pictures([choose_times(0, video.length, 8)], threads=1)
    expected = read_frames(path, 8).frames
    assert len(pictures) == len(expected)
    assert all(map(np.array_equal, map(np.asarray, pictures), map(np.asarray, expected)))
    assert not video.damaged


def test_each_part_shows_the_last_frame_by_each_moment_and_each_frame_once(tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 20, rate=10)
    at = [int(t / survey_long(path).tick) for t in (0.0, 0.05, 0.1, 0.55, 0.99, 1.0, 1.95, 2.0)]
    assert shown(path, [at[:3], at[3:5], [], at[4:6], at[6:]]) == [
        [0, 1],
        [5, 9],
        [],
        [9, 10],
        [19],
    ]


def test_a_moment_beyond_the_end_shows_nothing(tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 5, rate=10)
    assert shown(path, [[0], [10**9]]) == [[0], []]


def test_where_times_jump_they_go_on_without_a_gap(tmp_path):
    path = media.write_video(tmp_path / "v.ts", 20, rate=10)
    path.write_bytes(path.read_bytes() * 2)
    video = survey_long(path)
    assert video.seconds == pytest.approx(4.0, abs=0.05)
    moments = [int(t / video.tick) for t in (0.55, 1.55, 2.55, 3.55)]
    [pictures] = video.pictures([moments], threads=1)
    assert media.numbers_of(pictures) == [5, 15, 5, 15]


@pytest.mark.parametrize(
    ("name", "codec"), [("v.mp4", "mov_text"), ("v.mkv", "subrip"), ("v.mkv", "ass")]
)
def test_embedded_texts_are_read_as_subtitles_are(tmp_path, name, codec):
    plain = media.write_video(tmp_path / "p.mp4", 20, rate=10)
    media.embed_texts(tmp_path / name, plain, TEXTS, codec)
    assert survey_long(tmp_path / name).cues == [
        Cue("What a day, a comma", 0.5, 1.0),
        Cue("Good.", 1.5, 1.8),
    ]
    assert survey_long(plain).cues is None


def test_times_of_embedded_texts_count_from_the_first_frame(tmp_path):
    late = media.write_video(tmp_path / "v.mp4", 20, rate=10, pts=range(10, 30))
    path = media.embed_texts(tmp_path / "e.mkv", late, [(1500, 300, "Good.")], "subrip")
    [cue] = survey_long(path).cues
    assert (cue.start, cue.end) == (pytest.approx(0.5), pytest.approx(0.8))
    assert survey_long(path).seconds == pytest.approx(2.0)


def test_a_file_that_is_cut_off_has_the_length_of_its_packets(tmp_path):
    path = media.truncate(media.write_video(tmp_path / "v.ts", 60), 0.5)
    assert 0 < survey_long(path).seconds < 5


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"no video")
    for path, match in (
        (tmp_path / "v.mp4", "not a video or picture"),
        (tmp_path / "absent.mp4", r"cannot be read \(No such"),
        (tmp_path, "is not a regular file"),
        (media.write_audio(tmp_path / "a.m4a"), "there is no video in it"),
    ):
        with pytest.raises(InputUnusable, match=match):
            survey_long(path)


def test_damage_on_the_way_is_told_and_the_rest_is_read(tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 60, rate=10)
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + len(data) // 3
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    video = survey_long(path)
    parts = [choose_times(video.length * n // 6, video.length // 6, 4) for n in range(6)]
    numbers = [media.numbers_of(each) for each in video.pictures(parts, threads=1)]
    assert video.damaged
    assert all(numbers)
    assert numbers[-1] == [51, 53, 56, 58]
