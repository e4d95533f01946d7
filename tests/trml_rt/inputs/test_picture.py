"""A folder of frame pictures: the same frames for training, calibration and `infer`."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import trml_rt
from trml_rt.errors import InputUnusable
from trml_rt.inputs.picture import frame_pictures
from trml_rt.inputs.video import read_frames


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


def test_training_and_calibration_see_the_frames_of_a_folder_alike(folder, tiny_bundle):
    pytest.importorskip("torch")
    from trml_export.features.encoding import read_frames as training_reads
    from trml_rt.inputs import prepare

    assert training_reads is read_frames is prepare.read_frames
