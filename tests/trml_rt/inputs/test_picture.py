"""A folder of frame pictures: the same frames for training, calibration and `infer`."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import sys
import warnings
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import EpsImagePlugin, Image

import trml_rt
from tests import media
from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as program
from trml_rt.errors import InputUnusable
from trml_rt.inputs.clip import choose_indices
from trml_rt.inputs.frames import frames_from_array
from trml_rt.inputs.picture import frame_pictures
from trml_rt.inputs.rows import Row, Rows
from trml_rt.inputs.video import read_frames
from trml_rt.proof.cases import encoder_inputs


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures f0 ... f11, each of one grey that tells its number."""
    for number in range(12):
        Image.new("RGB", (8, 8), (20 * number,) * 3).save(tmp_path / f"f{number}.png")
    return tmp_path


def numbers(folder, count):
    return [frame.getpixel((0, 0))[0] // 20 for frame in read_frames(folder, count).frames]


def test_numbers_in_names_count_as_numbers(folder):
    assert numbers(folder, 4) == [1, 4, 7, 10]
    assert numbers(folder, 20) == list(range(12))


@pytest.mark.parametrize(
    "names",
    [
        ["1.png", "2.png", "10.png"],
        ["a1b2.png", "a1b10.png", "a2b1.png"],
        ["frame_0009.jpg", "frame_0010.jpg", "frame_0100.jpg"],
        ["A2.PNG", "b1.png", "B10.png"],
        ["frame.png", "frame1.png", "frame2.png"],
        ["1.png", "a.png"],
        ["f01.png", "f1.png", "f2.png"],
        ["f1.jpg", "f1.png"],
        ["f\u00b2.png", "f\u00b3.png"],  # digits, but no numbers
    ],
)
def test_natural_order(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in frame_pictures(tmp_path)] == names


def test_hidden_files_and_other_files_are_left_out(folder):
    (folder / "notes.txt").write_text("a note")
    (folder / ".f5.png").write_bytes(b"what a file manager left")
    (folder / "._f5.png").write_bytes(b"what another left")
    assert numbers(folder, 4) == [1, 4, 7, 10]


def test_a_folder_with_the_ending_of_a_picture_is_none(folder):
    (folder / "f5a.png").mkdir()
    assert numbers(folder, 20) == list(range(12))


def test_pictures_are_turned_as_their_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 8)).save(tmp_path / "0.jpg", exif=exif)
    assert read_frames(tmp_path, 1).frames[0].size == (8, 16)


def test_a_chosen_picture_that_is_none_is_named(folder):
    (folder / "f4.png").write_bytes(b"no picture")
    with pytest.raises(InputUnusable, match=r"f4\.png: is no picture"):
        read_frames(folder, 4)
    assert numbers(folder, 1) == [6]  # it was not looked at


def test_an_answer_on_a_folder_is_that_on_its_pictures(folder, tiny_bundle):
    pictures = [np.asarray(Image.open(folder / f"f{number}.png")) for number in range(12)]
    with trml_rt.load(tiny_bundle) as rt:
        assert rt.infer(video=folder).score == rt.infer(video=pictures).score


def test_the_command_answers_on_a_folder(folder, tiny_bundle):
    words = ["infer", "--bundle", str(tiny_bundle), "--video", str(folder), "--json"]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    with trml_rt.load(tiny_bundle) as rt:
        assert answer["score"] == rt.infer(video=folder).to_dict()["score"]
    assert answer["inputs"]["video"]["frames"] == Bundle(tiny_bundle).manifest.video.frames


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is not a regular file"),  # opened, it would wait for a writer
        (lambda path: path.symlink_to("nowhere"), "cannot be read (No such file or directory)"),
        (lambda path: path.touch(), "the file is empty"),
    ],
    ids=["pipe", "broken link", "empty"],
)
def test_a_chosen_entry_that_is_no_file_is_named_and_another_is_not_looked_at(folder, make, words):
    (folder / "f11.png").unlink()
    make(folder / "f11.png")
    with pytest.raises(InputUnusable, match=rf"f11\.png: {re.escape(words)}"):
        read_frames(folder, 12)
    assert numbers(folder, 4) == [1, 4, 7, 10]


# Which decoders are started, on how much, and what their values mean.


def test_no_decoder_is_started_but_those_of_the_list(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **more: started.append(args))
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png", format="EPS")
    for path in (tmp_path, tmp_path / "1.png"):
        with pytest.raises(InputUnusable):
            read_frames(path, 1)
    assert not started


def test_a_photograph_of_many_pixels_is_decoded_small(tmp_path):
    Image.new("L", (12000, 9000), 77).save(tmp_path / "a.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [frame] = read_frames(tmp_path / "a.jpg", 1).frames
    assert frame.size == (6000, 4500)
    assert frame.getpixel((5, 5)) == (77, 77, 77)


def test_a_picture_of_too_many_pixels_is_refused_without_decoding(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 20000, 10000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputUnusable, match="20000 x 10000 pixels are too many"):
            read_frames(path, 1)


def test_a_video_of_too_many_pixels_is_refused_without_decoding(tmp_path):
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W16000 H8000 F10:1 C420jpeg\nFRAME\n" + bytes(1000))
    with pytest.raises(InputUnusable, match="16000 x 8000 pixels are too many"):
        read_frames(path, 1)


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.ppm"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, name):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, axis=0)
    Image.fromarray(ramp).save(tmp_path / name)
    [frame] = read_frames(tmp_path / name, 1).frames
    assert np.abs(np.asarray(frame)[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_sixteen_bits_of_the_other_byte_order_are_scaled(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(">u2")[None].repeat(8, axis=0)
    image = Image.frombytes("I;16B", (256, 8), ramp.tobytes())
    [frame] = frames_from_array([image]).frames
    assert np.abs(np.asarray(frame)[0, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_without_a_known_range_are_refused(tmp_path, kind):
    Image.fromarray(np.full((8, 8), 100_000, kind)).save(tmp_path / "a.tiff")
    with pytest.raises(InputUnusable, match="no known range") as caught:
        read_frames(tmp_path / "a.tiff", 1)
    assert str(caught.value).startswith(str(tmp_path))


# JPEG pictures behind each other.


def jpeg(number, size=(64, 48)):
    data = io.BytesIO()
    Image.fromarray(media.numbered(number, *size)).save(data, "JPEG", quality=95)
    return data.getvalue()


@pytest.mark.parametrize("name", ["cam.mjpeg", "cam.mjpg", "cam"])
def test_a_row_of_jpeg_pictures_is_a_video(tmp_path, name):
    (tmp_path / name).write_bytes(b"".join(jpeg(number) for number in range(40)))
    clip = read_frames(tmp_path / name, 8)
    assert media.numbers_of(clip.frames) == choose_indices(40, 8)
    assert not clip.incomplete


@pytest.mark.parametrize(
    "behind", [b"", b"\0" * 50, jpeg(2, (32, 24)), jpeg(2)[:9], b"ftypmp42"], ids=len
)
def test_a_photograph_with_something_behind_it_is_one_picture(tmp_path, behind):
    (tmp_path / "a.jpg").write_bytes(jpeg(1) + behind)
    assert media.numbers_of(read_frames(tmp_path / "a.jpg", 8).frames) == [1]


# HEIC in tiles.


@pytest.fixture
def tiles(monkeypatch, tmp_path):
    """A file whose streams FFmpeg calls tiles of one picture."""
    from av.stream import Disposition

    from trml_rt.inputs import video_file

    path = media.write_video(tmp_path / "a.heic.mp4", 1)
    flag = SimpleNamespace(dependent=Disposition.default, default=Disposition.default,
                           attached_pic=Disposition.attached_pic)  # fmt: skip
    monkeypatch.setattr(video_file, "Disposition", flag)
    return path


def test_tiles_are_refused_in_a_sentence_without_pillow_heif(tiles, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputUnusable, match=r"stored in tiles.*save it as JPEG") as caught:
        read_frames(tiles, 8)
    assert caught.value.reason == "undecodable"


def test_tiles_are_read_whole_where_pillow_heif_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is optional")
    picture = Image.fromarray(media.numbered(0x1234, 1536, 864))
    heif.from_pillow(picture).save(tmp_path / "a.heic", tile_size=512)
    [frame] = read_frames(tmp_path / "a.heic", 8).frames
    assert (frame.size, media.number_of(frame)) == ((1536, 864), 0x1234)


# What training reads, and what calibration and verification read.


def frames_of_training(path, bundle):
    """Return the pixels that training encodes; the bundle says how pictures are made."""
    pytest.importorskip("torch")
    from trml_export.features.encoding import _decode

    video = bundle.manifest.video
    backbone = SimpleNamespace(preprocessing=video)
    decoded = _decode(path, backbone, video.frames)
    return decoded.failure.reason if decoded.failure else decoded.pixels


def frames_of_calibration(path, bundle):
    """Return the pixels that calibration measures ranges on."""
    row = Row(id="a", split="train", text=None, video=path, score=None, label=None)
    prepared = encoder_inputs(bundle, Rows((row,), ""), 1)
    return (
        prepared.samples["frame"][0]["frames"] if prepared.samples["frame"] else prepared.unusable
    )


def test_training_and_calibration_take_the_same_frames_of_a_folder(folder, tiny_bundle):
    bundle = Bundle(tiny_bundle)
    (folder / "notes.txt").write_text("a note")
    (folder / ".f0.png").write_bytes(b"hidden")
    of_training = frames_of_training(folder, bundle)
    assert bundle.manifest.video.frames < 12
    np.testing.assert_array_equal(of_training, frames_of_calibration(folder, bundle))
    greys = [20 * number for number in choose_indices(12, bundle.manifest.video.frames)]
    assert of_training[:, 0, 0, 0].tolist() == greys


def test_training_and_calibration_turn_pictures_alike(tmp_path, tiny_bundle):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(media.numbered(0x0137)).save(tmp_path / "0.jpg", exif=exif)
    bundle = Bundle(tiny_bundle)
    of_training = frames_of_training(tmp_path, bundle)
    np.testing.assert_array_equal(of_training, frames_of_calibration(tmp_path, bundle))


@pytest.mark.parametrize("name", [None, "f0.png"], ids=["no picture", "a broken picture"])
def test_training_and_calibration_refuse_the_same_folders(tmp_path, tiny_bundle, name):
    if name is not None:
        (tmp_path / name).write_bytes(b"no picture")
    reason = "undecodable" if name else "too_short"
    bundle = Bundle(tiny_bundle)
    assert frames_of_training(tmp_path, bundle) == reason
    [line] = frames_of_calibration(tmp_path, bundle)
    assert line.startswith(f"a: {tmp_path}")
    with pytest.raises(InputUnusable) as refused:
        read_frames(tmp_path, bundle.manifest.video.frames)
    assert refused.value.reason == reason
