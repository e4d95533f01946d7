"""Limits that make no sense are refused, and what costs more than a limit ends in a sentence."""

from __future__ import annotations

import io
import json
import time
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import trml_rt
from tests import bombs, media
from trml_rt.cli import trml_rt as program
from trml_rt.errors import InputUnusable, UsageError
from trml_rt.inputs.apart.clips import Decoders
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.limits import Budget, MediaLimits
from trml_rt.inputs.video import read_encoded, read_frames

SQUARE = Preprocessing(32, 32)
SECOND = MediaLimits(seconds=1)
SLOW = "was not decoded within 1 s; convert it, or allow more seconds"
BOMBS = {
    "canvas.gif": (lambda path: bombs.gif(path, 9000, 19), SLOW),
    "slow.gif": (lambda path: bombs.gif(path, 4000, 1000), SLOW),
    "million.gif": (
        lambda path: bombs.gif(path, 2, 1_000_000),
        "has more than 20000 frames; cut it, or allow more frames",
    ),
    "claims.webp": (
        bombs.webp,
        "its 16383 x 16383 pixels are too many to decode; scale it down to 89 million at most",
    ),
    "claims.jpg": (
        bombs.jpeg,
        "its 30000 x 30000 pixels take 5150 MiB to decode, more than 2048; scale it down, or allow "
        "more memory",
    ),
    "wide.mov": (
        lambda path: bombs.video(path, 5000, 3, Fraction(4)),
        "its 5000 x 5000 pixels are too many to decode; scale it down to 89 million at most",
    ),
}


@pytest.fixture(scope="module", params=["here", "apart"])
def read(request):
    """Read a clip, in this process and in a child."""
    if request.param == "here":
        yield partial(
            read_frames, count=8, shape=partial(to_pixels, preprocessing=SQUARE), limits=SECOND
        )
        return
    pool = Decoders(SQUARE, 8, 1, SECOND)
    yield pool.read_frames
    pool.close()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_one_sentence_soon(read, tmp_path, name):
    make, sentence = BOMBS[name]
    path = make(tmp_path / name)
    start = time.monotonic()
    with pytest.raises(InputUnusable) as refused:
        read(path)
    assert time.monotonic() - start < 10  # a child has to start, and the machine is busy
    assert str(refused.value) == f"{path}: {sentence}"
    assert refused.value.reason == "undecodable"


# Each limit.


def refusal(path, **limits):
    with pytest.raises(InputUnusable) as refused:
        read_frames(path, 8, limits=MediaLimits(**limits))
    return str(refused.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_frames_of_an_animation_are_counted(tmp_path, name):
    path = media.write_animation(tmp_path / name, range(20))
    assert refusal(path, frames=19).startswith("has more than 19 frames")
    assert len(read_frames(path, 8, limits=MediaLimits(frames=20)).frames) == 8


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.mp4", "folder"])
def test_pixels_are_limited_in_every_kind(tmp_path, name):
    path = tmp_path / name
    if name == "a.mp4":
        media.write_video(path, 20)
    elif name == "folder":
        path.mkdir()
        Image.fromarray(media.numbered(1)).save(path / "1.png")
    else:
        Image.fromarray(media.numbered(1)).save(path)
    limit = 64 * 48
    assert read_frames(path, 8, limits=MediaLimits(pixels=limit)).frames
    if name == "a.jpg":  # decoded small
        [frame] = read_frames(path, 8, limits=MediaLimits(pixels=limit - 1)).frames
        assert frame.size == (32, 24)
        assert "its 64 x 48 pixels are too many" in refusal(path, pixels=40)
    else:
        words = refusal(path, pixels=limit - 1)
        assert "its 64 x 48 pixels are too many to decode; scale it down to 3071 at most" in words


def test_a_frame_of_a_gif_beyond_its_canvas_counts(tmp_path):
    path = bombs.gif(tmp_path / "a.gif", 64, 2)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"," + bytes(4))
    data[at + 1 : at + 5] = (20_000).to_bytes(2, "little") * 2  # from there on it is shown
    path.write_bytes(data)
    assert refusal(path).startswith("its 20001 x 20001 pixels are too many to decode")


def test_a_frame_that_is_larger_than_the_header_says_is_not_decoded(tmp_path):
    small, large = (
        media.write_video(tmp_path / f"{n}.ts", [media.numbered(n, *size)] * 5, gop=5, pts=pts)
        for n, size, pts in ((1, (64, 48), range(5)), (2, (640, 480), range(5, 10)))
    )
    path = tmp_path / "grows.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    assert set(media.numbers_of(read_frames(path, 10).frames)) == {1, 2}
    clip = read_frames(path, 10, limits=MediaLimits(pixels=64 * 48))
    assert set(media.numbers_of(clip.frames)) == {1}
    assert clip.incomplete


def test_bytes_are_limited_of_files_and_of_streams(tmp_path):
    path = tmp_path / "large.mp4"
    path.write_bytes(bytes((1 << 20) + 1))
    assert refusal(path, file_mib=1) == "is larger than 1 MiB; cut it, or allow larger files"
    with pytest.raises(InputUnusable, match=r"^the video: is larger than 1 MiB"):
        read_encoded(io.BytesIO(path.read_bytes()), read_frames, MediaLimits(file_mib=1))


def test_a_stream_without_end_is_given_up_at_the_limit():
    class Endless:
        def read(self, size):
            return bytes(size)

    with pytest.raises(InputUnusable, match=r"^the video: is larger than 2 MiB"):
        read_encoded(Endless(), read_frames, MediaLimits(file_mib=2))


def test_memory_is_foretold_from_the_header(tmp_path):
    path = bombs.video(tmp_path / "v.mov", 2000, 3)
    # Of 18 frames, one of a thread, 1.5 bytes a pixel; of the one that is converted, 11.
    assert refusal(path, memory_mib=128) == (
        "its 2000 x 2000 pixels take 145 MiB to decode, more than 128; scale it down, or allow "
        "more memory"
    )
    assert len(read_frames(path, 8, threads=4, limits=MediaLimits(memory_mib=145)).frames) == 3


def test_the_time_is_looked_at_between_packets(tmp_path, monkeypatch):
    path = media.write_video(tmp_path / "v.ts", 60)
    looks = []

    def look(budget):
        looks.append(budget.name)
        if len(looks) == 30:
            raise budget.too_slow()

    monkeypatch.setattr(Budget, "check_time", look)
    with pytest.raises(InputUnusable, match="was not decoded within 120 s"):
        read_frames(path, 8)
    assert set(looks) == {str(path)}


def test_frames_of_a_list_keep_to_the_limits_of_the_runtime(tiny_bundle, tmp_path):
    path = tmp_path / "p.png"
    Image.fromarray(media.numbered(1)).save(path)
    with (
        trml_rt.load(tiny_bundle, limits=MediaLimits(pixels=100)) as runtime,
        pytest.raises(InputUnusable, match="pixels are too many"),
    ):
        runtime.infer(video=[path])


def test_the_command_takes_every_limit(tiny_bundle, tmp_path):
    path = media.write_animation(tmp_path / "a.gif", range(20))
    words = ["infer", "--bundle", str(tiny_bundle), "--video", str(path), "--json"]
    for option, value, sentence in (
        ("--max-pixels", "100", "pixels are too many"),
        ("--max-frames", "5", "has more than 5 frames"),
        ("--max-seconds", "0.000001", "was not decoded within 1e-06 s"),
        ("--max-seconds", "0", "--max-seconds: must be a number above 0"),
        ("--max-memory", "0", "--max-memory: must be a whole number above 0"),
        ("--max-file", "0", "--max-file: must be a whole number above 0"),
    ):
        result = CliRunner().invoke(program, [*words, option, value])
        assert sentence in json.loads(result.stdout)["error"]["message"]
        assert result.exit_code == (2 if value == "0" else 6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": 0},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"memory_mib": 1.5},
        {"memory_mib": True},
        {"pixels": -1},
        {"file_mib": 1 << 60},
        {"frames": "many"},
        {"pixels": np.int64(5)},
    ],
)
def test_a_limit_is_a_number_above_zero(wrong):
    [name] = wrong
    with pytest.raises(UsageError, match=f"^{name}: must be a "):
        MediaLimits(**wrong)
