"""Every frame in turn, with its time."""

from __future__ import annotations

import pytest
from PIL import Image

from tests import media
from trml_rt import InputUnusable
from trml_rt.inputs.in_turn import frames_in_turn


def read(path):
    times, pictures = zip(*frames_in_turn(path), strict=True)
    return [round(t, 3) for t in times], media.numbers_of(pictures)


@pytest.mark.parametrize("name", ["v.mp4", "v.webm", "v.avi", "v.ts"])
def test_each_frame_of_a_video_comes_once_with_its_time_from_the_first(tmp_path, name):
    path = media.write_video(tmp_path / name, 20, rate=10)
    assert read(path) == ([n / 10 for n in range(20)], list(range(20)))


def test_times_are_those_of_the_file(tmp_path):
    pts = [0, 1, 5, 6, 20]
    path = media.write_video(tmp_path / "v.mp4", 5, rate=10, pts=pts)
    assert read(path) == ([n / 10 for n in pts], list(range(5)))


def test_the_frames_of_an_animation_come_at_their_times(tmp_path):
    path = tmp_path / "v.webp"
    pictures = [Image.fromarray(media.numbered(n)) for n in range(3)]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[100, 300, 50], lossless=True
    )
    assert read(path) == ([0.0, 0.1, 0.4], [0, 1, 2])


def test_the_pictures_of_a_folder_come_in_natural_order_a_second_apart(tmp_path):
    for number in (10, 2, 1):
        Image.fromarray(media.numbered(number)).save(tmp_path / f"f{number}.png")
    assert read(tmp_path) == ([0.0, 1.0, 2.0], [1, 2, 10])


def test_a_picture_is_one_frame(tmp_path):
    Image.fromarray(media.numbered(3)).save(tmp_path / "p.png")
    assert read(tmp_path / "p.png") == ([0.0], [3])


def test_a_file_that_is_cut_off_gives_the_frames_that_it_has(tmp_path):
    path = media.truncate(media.write_video(tmp_path / "v.ts", 60), 0.5)
    _, numbers = read(path)
    assert 0 < len(numbers) < 60
    assert numbers == list(range(len(numbers)))


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"no video")
    for path, match in (
        (tmp_path / "v.mp4", "not a video or picture"),
        (tmp_path / "absent.mp4", r"cannot be read \(No such"),
        (tmp_path, "no picture in this folder"),
    ):
        with pytest.raises(InputUnusable, match=match):
            next(frames_in_turn(path))
