"""read_frames gives the frames that the rule names, from any container."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import media
from trml_rt.errors import InputUnusable, UsageError
from trml_rt.inputs.clip import choose_indices, choose_times
from trml_rt.inputs.long_video import survey_long
from trml_rt.inputs.video import read_encoded, read_frames

# Twenty frames, eight wanted: floor((2 i + 1) * 20 / 16).
EIGHT_OF_20 = [1, 3, 6, 8, 11, 13, 16, 18]


def frames_of(path: Path, count: int) -> list[int]:
    clip = read_frames(path, count)
    assert not clip.incomplete
    return media.numbers_of(clip.frames)


# Containers and codecs.


@pytest.mark.parametrize(
    "name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi", "a.ts", "a.flv", "a.h264", "a.gif"]
)
def test_every_container_gives_the_same_frames(tmp_path, name):
    path = tmp_path / name
    if path.suffix == ".gif":
        media.write_animation(path, range(20))
    else:
        media.write_video(path, 20)
    assert frames_of(path, 8) == EIGHT_OF_20


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mkv", "ffv1", "gray"),
        ("a.mkv", "ffv1", "bgra"),
        ("a.mkv", "ffv1", "yuv420p10le"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.mp4", "libx264", "yuv444p"),
        ("a.mpg", "mpeg1video", "yuv420p"),
    ],
)
def test_every_codec_gives_the_same_frames(tmp_path, name, codec, pix_fmt):
    path = media.write_video(tmp_path / name, 20, codec=codec, pix_fmt=pix_fmt, rate=25)
    assert frames_of(path, 8) == EIGHT_OF_20


@pytest.mark.parametrize("gop", [1, 3, 50])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
def test_keyframe_distance_does_not_change_the_choice(tmp_path, name, gop):
    path = media.write_video(tmp_path / name, 100, gop=gop)
    assert frames_of(path, 8) == choose_indices(100, 8)


def test_open_groups_of_pictures_do_not_change_the_choice(tmp_path):
    options = {"x264-params": "open-gop=1:bframes=3:b-adapt=0"}
    path = media.write_video(tmp_path / "a.mp4", 100, gop=10, options=options)
    assert frames_of(path, 16) == choose_indices(100, 16)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_a_clip_without_stated_duration_is_measured(tmp_path, name):
    path = media.write_video(tmp_path / name, 20, container_options={"live": "1"})
    assert frames_of(path, 8) == EIGHT_OF_20


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv"])
def test_a_start_other_than_zero_does_not_shift_the_choice(tmp_path, name):
    path = media.write_video(tmp_path / name, 20, pts=range(50, 70))
    assert frames_of(path, 8) == EIGHT_OF_20


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_uneven_frames_are_chosen_by_time_not_by_index(tmp_path, name):
    # Ten quick frames, then one a second: time 0, 1, ... 9, 10, 20, ... 100 tenths.
    pts = [*range(10), *range(10, 101, 10)]
    path = media.write_video(tmp_path / name, 20, pts=pts, options={"bf": "0"})
    times = choose_times(0, 101, 4)  # 12, 37, 63, 88
    assert frames_of(path, 4) == [max(i for i, p in enumerate(pts) if p <= t) for t in times]


def test_a_frame_shown_at_several_moments_is_given_once(tmp_path):
    pts = [*range(10), 100]
    path = media.write_video(tmp_path / "a.mkv", 11, pts=pts, options={"bf": "0"})
    assert frames_of(path, 4) == [9]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.ts", "a.h264", "a.avi"])
@pytest.mark.parametrize("total", [1, 5, 8])
def test_a_short_clip_gives_each_frame_once(tmp_path, name, total):
    assert frames_of(media.write_video(tmp_path / name, total), 8) == list(range(total))


def test_one_frame_is_the_middle_one(tmp_path):
    assert frames_of(media.write_video(tmp_path / "a.mp4", 21), 1) == [10]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.webm"])
@pytest.mark.parametrize("seed", range(3))
def test_seeking_gives_what_decoding_everything_gives(tmp_path, name, seed):
    import av

    random = np.random.default_rng(seed)
    gaps = random.choice([1, 1, 1, 2, 7], 60)
    pts = [int(p) for p in np.cumsum(gaps)]
    path = media.write_video(tmp_path / name, 60, pts=pts, gop=int(random.choice([4, 12])))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shown = [
            (frame.pts, media.number_of(frame.to_image())) for frame in container.decode(stream)
        ]
        start, end = stream.start_time, stream.duration and stream.start_time + stream.duration
        end = end or round(container.duration / (av.time_base * stream.time_base))
    expected = [
        max(number for time, number in shown if time <= moment)
        for moment in choose_times(start, end - start, 8)
    ]
    assert frames_of(path, 8) == sorted(set(expected))


# How a frame looks.


@pytest.mark.parametrize("size", [(65, 49), (33, 17), (16, 100)], ids=str)
def test_odd_sizes_come_whole(tmp_path, size):
    width, height = size
    pictures = [media.numbered(i, width, height) for i in range(3)]
    path = media.write_video(tmp_path / "a.mkv", pictures, pix_fmt="yuv444p")
    assert read_frames(path, 8).frames[0].size == size


@pytest.mark.parametrize(
    "matrix",
    [(0, 1, -1, 0), (0, -1, 1, 0), (-1, 0, 0, -1), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0),
     (0, -1, -1, 0)],
    ids=str,
)  # fmt: skip
def test_a_display_matrix_turns_the_frame_upright(tmp_path, matrix):
    a, b, c, d = matrix
    shown = media.numbered(0b0000_0011_0001_0111, 48, 64)  # no symmetry at all
    # What must be stored so that the matrix, applied to it, shows `shown`: x' = ax + cy.
    height, width = shown.shape[:2] if a else shown.shape[1::-1]
    y, x = np.mgrid[:height, :width]
    across, down = a * x + c * y, b * x + d * y
    stored = shown[down - down.min(), across - across.min()]
    path = media.write_video(tmp_path / "a.mp4", [stored])
    media.set_matrix(path, *matrix)
    frame = read_frames(path, 1).frames[0]
    assert frame.size == (48, 64)
    assert media.number_of(frame) == 0b0000_0011_0001_0111


def test_pixels_that_are_not_square_widen_the_frame(tmp_path):
    path = media.write_video(tmp_path / "a.mp4", 3, aspect=Fraction(4, 3))
    assert read_frames(path, 1).frames[0].size == (85, 48)


@pytest.mark.parametrize("space", [1, 5], ids=["bt709", "bt601"])
@pytest.mark.parametrize("full_range", [1, 2], ids=["limited", "full"])
def test_colour_space_and_range_are_obeyed(tmp_path, space, full_range):
    import av

    # ITU-R BT.709 and BT.601: luma is a weighted sum, chroma the scaled distance from it.
    red, blue = (0.2126, 0.0722) if space == 1 else (0.299, 0.114)
    luma = red * 200 + (1 - red - blue) * 30 + blue * 60
    chroma = (60 - luma) / (2 - 2 * blue), (200 - luma) / (2 - 2 * red)
    y_scale, c_scale, black = (219 / 255, 224 / 255, 16) if full_range == 1 else (1, 1, 0)
    planes = [black + luma * y_scale, *(128 + c * c_scale for c in chroma)]
    picture = np.stack([np.full((32, 32), round(p), np.uint8) for p in planes])
    frame = av.VideoFrame.from_ndarray(picture, "yuv444p")
    frame.colorspace, frame.color_range = space, full_range
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv444p"
        stream.codec_context.colorspace = space
        stream.codec_context.color_range = full_range
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pixel = np.asarray(read_frames(path, 1).frames[0])[16, 16].astype(int)
    assert np.abs(pixel - (200, 30, 60)).max() <= 3


# Pictures and animations.


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff", "a.gif", "a.ppm"])
def test_a_picture_is_a_clip_of_one_frame(tmp_path, name):
    Image.fromarray(media.numbered(0x1234)).save(tmp_path / name)
    assert frames_of(tmp_path / name, 8) == [0x1234]


def test_a_picture_is_known_by_its_content_not_its_name(tmp_path):
    Image.fromarray(media.numbered(7)).save(tmp_path / "a.mp4", format="PNG")
    assert frames_of(tmp_path / "a.mp4", 8) == [7]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_a_picture_of_any_mode_comes_as_rgb(tmp_path, mode):
    image = Image.new(mode, (8, 8))
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    image.save(path)
    assert read_frames(path, 1).frames[0].mode == "RGB"


def test_a_palette_with_transparency_warns_of_nothing(tmp_path):
    Image.new("P", (8, 8)).save(tmp_path / "a.png", transparency=bytes(range(256)))
    assert len(read_frames(tmp_path / "a.png", 1).frames) == 1


def test_exif_orientation_turns_a_picture_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn against the clock
    stored = Image.fromarray(media.numbered(0x0137)).transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "a.jpg", exif=exif)
    assert frames_of(tmp_path / "a.jpg", 1) == [0x0137]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_a_short_animation_gives_each_frame_once(tmp_path, name):
    assert frames_of(media.write_animation(tmp_path / name, range(5)), 8) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_is_chosen_by_time(tmp_path, name):
    # The last of ten frames takes half of the 1800 ms, which end parts at 225, 675, ...
    path = media.write_animation(tmp_path / name, range(10), [100] * 9 + [900])
    assert frames_of(path, 4) == [2, 6, 9]


# Encoded clips that are no files.


def eight(path):
    return read_frames(path, 8)


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, io.BytesIO])
def test_an_encoded_clip_need_not_be_a_file(tmp_path, form):
    data = media.write_video(tmp_path / "v.mp4", 20).read_bytes()
    assert media.numbers_of(read_encoded(form(data), eight).frames) == EIGHT_OF_20


def test_an_open_file_is_read_from_where_it_stands(tmp_path):
    Image.fromarray(media.numbered(7)).save(tmp_path / "p.png")
    with (tmp_path / "p.png").open("rb") as file:
        assert media.numbers_of(read_encoded(file, eight).frames) == [7]


def test_bytes_that_are_no_clip_are_named_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InputUnusable, match=r"^the bytes of the video: ") as refused:
        read_encoded(b"no clip", eight)
    assert str(tmp_path) not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["https://example.org/v.mp4", "rtsp://camera/1"])
@pytest.mark.parametrize("form", [str, Path])
def test_an_address_is_refused_in_words_that_help(address, form):
    with pytest.raises(
        InputUnusable, match=f"^{address}: addresses are not read; download the clip"
    ):
        read_frames(form(address), 8)


@pytest.mark.parametrize("read", [lambda path: read_frames(path, 8), survey_long])
def test_credentials_of_an_address_that_is_refused_are_nowhere(read):
    with pytest.raises(InputUnusable, match=r"^rtsp://camera/1: addresses") as refused:
        read(Path("rtsp://me:secret@camera/1?token=secret"))
    assert "secret" not in str(refused.value)


def test_a_file_object_that_gives_text_or_is_closed_is_a_usage_error(tmp_path):
    closed = io.BytesIO(b"x")
    closed.close()
    for given in (io.StringIO("x"), closed):
        with pytest.raises(UsageError, match=r"in binary mode, as of open\(path, 'rb'\)"):
            read_encoded(given, eight)
