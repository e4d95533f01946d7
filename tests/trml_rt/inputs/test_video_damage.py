"""read_frames refuses what is no video in a sentence, and takes what it can of a broken one."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import media
from trml_rt.errors import InputUnusable, UsageError
from trml_rt.inputs.clip import choose_indices
from trml_rt.inputs.video import read_frames

FASTSTART = {"movflags": "faststart"}


def frames_of(path: Path, count: int) -> list[int]:
    clip = read_frames(path, count)
    assert not clip.incomplete
    return media.numbers_of(clip.frames)


def refusal(path: Path) -> InputUnusable:
    with pytest.raises(InputUnusable) as caught:
        read_frames(path, 8)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


# What cannot be used.


def test_an_absent_file_is_undecodable(tmp_path):
    assert refusal(tmp_path / "none.mp4").reason == "undecodable"


def test_a_folder_without_a_picture_is_named(tmp_path):
    assert "no picture in this folder" in str(refusal(tmp_path))


def test_a_name_that_no_file_can_have_is_undecodable(tmp_path):
    assert "cannot be read" in str(refusal(tmp_path / ("x" * 5000)))


def test_a_path_with_a_zero_byte_is_undecodable():
    with pytest.raises(InputUnusable, match="is no path"):
        read_frames("a\0b.mp4", 8)


def test_an_empty_file_is_undecodable(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert "empty" in str(refusal(tmp_path / "a.mp4"))


@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a.nfo", "a.jpg", "a.bin", "a"])
@pytest.mark.parametrize("data", [b"hello world\n" * 50, bytes(range(256)) * 20, b"\0" * 4096])
def test_what_is_no_video_is_undecodable(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert refusal(tmp_path / name).reason == "undecodable"


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile {}\n"])
def test_a_list_that_names_another_file_does_not_open_it(tmp_path, text):
    other = media.write_video(tmp_path / "other.ts", 20)
    path = tmp_path / "a.m3u8"
    path.write_text(text.format(other.name))
    assert refusal(path).reason == "undecodable"


def test_sound_alone_is_undecodable(tmp_path):
    assert "no video" in str(refusal(media.write_audio(tmp_path / "a.mp4")))


def test_an_unfinished_mp4_is_undecodable(tmp_path):
    path = media.truncate(media.write_video(tmp_path / "a.mp4"), 0.9)
    assert "copied whole" in str(refusal(path))


def test_a_clip_cut_before_its_first_frame_is_undecodable(tmp_path):
    path = media.write_video(tmp_path / "a.mp4", container_options=FASTSTART)
    path.write_bytes(path.read_bytes().split(b"mdat")[0] + b"mdat" + bytes(40))
    assert refusal(path).reason == "undecodable"


def test_a_video_without_frames_is_too_short(tmp_path):
    import av

    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    assert refusal(path).reason == "too_short"


def test_a_broken_picture_is_undecodable(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    assert refusal(media.truncate(tmp_path / "a.png", 0.5)).reason == "undecodable"


@pytest.mark.parametrize("suffix", ["webp", "bmp", "jpg", "png", "gif", "ppm"])
@pytest.mark.parametrize("keep", [0.02, 0.2, 0.5])
def test_a_picture_cut_off_is_undecodable(tmp_path, suffix, keep):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(heavy(1)[0]).save(path)
    assert refusal(media.truncate(path, keep)).reason == "undecodable"


def test_a_picture_that_claims_to_be_huge_is_undecodable(tmp_path):
    path = tmp_path / "a.gif"
    Image.new("L", (4, 4)).save(path)
    data = bytearray(path.read_bytes())
    data[6:10] = b"\xff" * 4  # width and height
    path.write_bytes(data)
    assert refusal(path).reason == "undecodable"


def test_a_count_below_one_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError):
        read_frames(tmp_path / "a.mp4", 0)


# What is broken in part.


def heavy(total: int) -> list[np.ndarray]:
    """Numbered frames with noise, so that packets and not headers fill the file."""
    random = np.random.default_rng(0)
    return [
        (media.numbered(i) * 0.7 + random.integers(0, 64, (48, 64, 1))).astype(np.uint8)
        for i in range(total)
    ]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.flv"])
def test_a_clip_cut_in_half_gives_what_it_has(tmp_path, name):
    options = FASTSTART if name == "a.mp4" else {}
    path = media.write_video(tmp_path / name, heavy(80), container_options=options)
    clip = read_frames(media.truncate(path, 0.5), 8)
    numbers = media.numbers_of(clip.frames)
    assert clip.incomplete
    # Whatever is left before the break is the choice of the whole clip; then its last frame.
    assert numbers[:-1] == choose_indices(80, 8)[: len(numbers) - 1]
    assert 3 <= len(numbers) <= 6


def test_a_short_clip_cut_off_is_incomplete(tmp_path):
    path = media.write_video(tmp_path / "a.mkv", heavy(8), options={"bf": "0"})
    clip = read_frames(media.truncate(path, 0.6), 8)
    assert clip.incomplete
    assert media.numbers_of(clip.frames) == list(range(len(clip.frames)))


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_damaged_middle_costs_only_its_frames(tmp_path, codec):
    import av

    path = media.write_video(tmp_path / "a.mp4", heavy(80), codec=codec, gop=5)
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0)][30:50]
    data = bytearray(path.read_bytes())
    for position, size in places:
        data[position : position + size] = b"\x5a" * size
    path.write_bytes(data)
    clip = read_frames(path, 8)
    assert clip.incomplete
    numbers = media.numbers_of(clip.frames)
    assert {5, 15, 25, 55, 65, 75} <= set(numbers)
    assert not set(numbers) & set(range(30, 50))


def test_a_whole_clip_with_longer_sound_is_not_called_incomplete(tmp_path):
    import av

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for i in range(40):
            frame = av.VideoFrame.from_ndarray(media.numbered(i), format="rgb24")
            frame.pts = i
            frame.time_base = Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(
            np.zeros((1, 33600), np.int16), format="s16", layout="mono"
        )
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    assert not read_frames(path, 8).incomplete


# Manners.


def test_broken_files_print_nothing(tmp_path, capfd):
    for name in ("a.ts", "a.mkv", "a.flv"):
        path = media.truncate(media.write_video(tmp_path / name, heavy(40)), 0.5)
        capfd.readouterr()
        read_frames(path, 8)
        assert capfd.readouterr() == ("", "")


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_file_stays_open(tmp_path):
    good = media.write_video(tmp_path / "a.mp4")
    bad = media.truncate(media.write_video(tmp_path / "b.mp4"), 0.9)
    picture = tmp_path / "c.png"
    Image.fromarray(media.numbered(1)).save(picture)
    before = open_files()
    read_frames(good, 8)
    read_frames(picture, 8)
    refusal(bad)
    assert open_files() == before


def test_a_name_with_a_colon_is_a_file(tmp_path):
    assert frames_of(media.write_video(tmp_path / "x.mp4").rename(tmp_path / "a:b.mp4"), 8)


def test_importing_the_module_does_not_import_pyav():
    code = "import sys, trml_rt.inputs.video; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_tag_that_is_no_utf8_does_not_matter(tmp_path):
    path = media.write_video(tmp_path / "a.mkv", 4)
    data = path.read_bytes()
    assert b"Lavf" in data  # the muxer's name is a tag
    path.write_bytes(data.replace(b"Lavf", b"\xff\xfe\xfa\xfb"))
    assert media.numbers_of(read_frames(path, 4).frames) == [0, 1, 2, 3]
