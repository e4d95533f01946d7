"""to_pixels equals open_clip's evaluation transform, and the arithmetic it stands on."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import pytest
from PIL import Image

from trml_rt.errors import InputUnusable, UsageError
from trml_rt.inputs.image import Preprocessing, to_pixels

SIZES = [  # width, height
    (32, 32), (33, 47), (47, 33), (64, 48), (48, 64), (101, 37), (20, 15), (7, 31),
    (1, 1), (1, 9), (300, 2), (31, 32), (33, 32),
]  # fmt: skip
MODES = ["RGB", "L", "LA", "RGBA", "P", "CMYK", "1", "I;16", "YCbCr"]


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A picture with smooth and sharp parts, the same on every machine."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    channels = [(x * 7 + y * 3) % 256, (x * y * 5) % 256, ((x // 3 + y // 4) % 2) * 255]
    rgb = Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray((channels[1] * 257).astype(np.uint16))
    if mode in ("RGBA", "LA"):
        image = rgb.convert(mode)
        image.putalpha(Image.fromarray(((x * 11 + y) % 256).astype(np.uint8)))
        return image
    return rgb.convert(mode)


def reference(image: Image.Image, **settings: object) -> np.ndarray:
    """Open_clip's own transform, brought back to bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        transform = pytest.importorskip("open_clip.transform").image_transform
        tensor = transform(is_train=False, mean=(0.0,) * 3, std=(1.0,) * 3, **settings)(image)
    return (tensor * 255).round().byte().permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("target", [(32, 32), (24, 40), (41, 23)], ids=str)
def test_every_size_equals_open_clip(size, resize, interpolation, target):
    image = picture(*size)
    if resize == "longest" and min(size) / max(size) * min(target) < 0.5:
        pytest.skip("open_clip itself fails where the shorter side rounds to nothing")
    expected = reference(image, image_size=target, resize_mode=resize, interpolation=interpolation)
    pixels = to_pixels(image, Preprocessing(*target, resize, interpolation))
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
def test_every_mode_equals_open_clip(mode, resize):
    image = picture(57, 43, mode)
    expected = reference(image, image_size=32, resize_mode=resize)
    np.testing.assert_array_equal(to_pixels(image, Preprocessing(32, 32, resize)), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_padding_is_filled_as_in_open_clip(mode):
    image = picture(57, 20, mode)
    expected = reference(image, image_size=32, resize_mode="longest", fill_color=127)
    pixels = to_pixels(image, Preprocessing(32, 32, "longest", fill=127))
    np.testing.assert_array_equal(pixels, expected)


# Without open_clip: values worked out once with it, so the bare wheel is held to them too.
@pytest.mark.parametrize(
    ("size", "resize", "digest"),
    [
        ((33, 47), "shortest", "d39d96a1dbfdde5d"),
        ((101, 37), "shortest", "0d880fcf65f12595"),
        ((101, 37), "longest", "a8a1235f88b7c47c"),
        ((20, 15), "squash", "cd47a9a3af12c841"),
    ],
)
def test_pixels_are_the_recorded_ones(size, resize, digest):
    pixels = to_pixels(picture(*size), Preprocessing(32, 32, resize))
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == digest


def test_the_result_is_contiguous_bytes_of_the_size_asked_for():
    pixels = to_pixels(picture(57, 43), Preprocessing(24, 40))
    assert pixels.shape == (24, 40, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous


def test_the_result_may_be_written_to():
    assert to_pixels(picture(32, 32), Preprocessing(32, 32)).flags.writeable


def test_a_picture_of_the_right_size_is_left_as_it_is():
    image = picture(32, 32)
    np.testing.assert_array_equal(to_pixels(image, Preprocessing(32, 32)), np.asarray(image))


def test_the_shorter_side_fills_and_the_middle_of_the_longer_stays():
    image = Image.new("RGB", (96, 32), "red")
    image.paste("blue", (32, 0, 64, 32))
    pixels = to_pixels(image, Preprocessing(32, 32))
    np.testing.assert_array_equal(pixels, np.full((32, 32, 3), (0, 0, 255)))


def test_longest_shows_all_and_pads_evenly():
    pixels = to_pixels(Image.new("RGB", (64, 32), "red"), Preprocessing(32, 32, "longest"))
    assert pixels[[7, 8, 23, 24], 0, 0].tolist() == [0, 255, 255, 0]


def test_a_palette_with_transparency_warns_of_nothing():
    image = picture(32, 32, "P")
    image.info["transparency"] = bytes(range(256))
    assert to_pixels(image, Preprocessing(32, 32)).any()


def test_a_picture_too_narrow_to_resize_is_refused():
    with pytest.raises(InputUnusable, match="too narrow") as caught:
        to_pixels(Image.new("L", (1, 30000)), Preprocessing(224, 224))
    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize("size", [(1, 30000), (30000, 1)])
def test_longest_keeps_at_least_a_pixel_of_the_shorter_side(size):
    assert to_pixels(Image.new("L", size, 255), Preprocessing(32, 32, "longest")).any()


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(UsageError) as caught:
        Preprocessing(0, 32, resize="crop", interpolation="nearest", fill=300)
    assert all(word in str(caught.value) for word in ("resize", "interpolation", "0 x 32", "fill"))


def test_a_tall_result_cropped_at_its_sides_is_that_of_resizing_at_once():
    image = picture(100, 300)  # Pillow 13 resizes its columns first
    at_once = np.asarray(image.resize((13, 40), Image.Resampling.BICUBIC))
    pixels = to_pixels(image, Preprocessing(40, 8))
    np.testing.assert_array_equal(pixels, at_once[:, 2:10])
