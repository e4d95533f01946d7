"""Frames that the caller has: what is taken as frames, which are chosen, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests import media
from trml_rt.errors import InputUnusable, UsageError
from trml_rt.inputs.clip import choose_indices
from trml_rt.inputs.frames import frames_from_array

EIGHT_OF_20 = choose_indices(20, 8)
COLOURS = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def pixels(frames, **options):
    return [np.asarray(image) for image in frames_from_array(frames, **options).frames]


def numbers(frames, count=None):
    return media.numbers_of(frames_from_array(frames, count).frames)


class HasArray:
    """An array of another library, as numpy sees it."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class HasDlpack:
    """An array of a library that speaks DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnGpu:
    """A tensor that is not in the CPU's memory."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_an_array_of_frames_is_a_clip():
    assert numbers(np.stack([media.numbered(i) for i in range(3)])) == [0, 1, 2]


def test_one_array_of_three_dimensions_is_one_frame():
    assert numbers(media.numbered(5)) == [5]


@pytest.mark.parametrize("form", [np.asarray, HasArray, HasDlpack])
def test_an_array_of_any_library_is_taken(form):
    [image] = pixels(form(COLOURS))
    np.testing.assert_array_equal(image, COLOURS)
    [image] = pixels([form(COLOURS)])
    np.testing.assert_array_equal(image, COLOURS)


def test_a_tensor_of_torch_is_taken():
    torch = pytest.importorskip("torch")
    [image] = pixels(torch.from_numpy(COLOURS))
    np.testing.assert_array_equal(image, COLOURS)


def test_more_frames_than_wanted_are_thinned_by_index():
    frames = [media.numbered(i) for i in range(20)]
    assert numbers(np.stack(frames), 8) == numbers(frames, 8) == EIGHT_OF_20


def test_only_the_chosen_frames_of_a_sequence_are_looked_at():
    frames = [None] * 20
    for index in EIGHT_OF_20:
        frames[index] = media.numbered(index)
    assert numbers(frames, 8) == EIGHT_OF_20


@pytest.mark.parametrize("total", [1, 8, 20, 64])
def test_an_iterator_gives_the_frames_of_the_list(total):
    frames = [media.numbered(i) for i in range(total)]
    assert numbers(iter(frames), 8) == numbers(frames, 8)


def test_a_long_iterator_is_thinned_evenly_and_never_held_whole():
    alive = most = 0

    class Frame:
        def __init__(self, number):
            nonlocal alive, most
            self.number = number
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

        def __array__(self, dtype=None, copy=None):
            return np.full((1, 1), self.number // 100, np.uint8)

    [*found] = (int(image[0, 0, 0]) for image in pixels((Frame(i) for i in range(20_000)), count=8))
    assert most <= 8 * 16 + 2
    wanted = [index // 100 for index in choose_indices(20_000, 8)]
    assert np.abs(np.subtract(found, wanted)).max() <= 20_000 // (8 * 8) // 100


def test_an_iterable_may_mix_arrays_pictures_and_paths_of_pictures(tmp_path):
    Image.fromarray(media.numbered(3)).save(tmp_path / "p.png")
    frames = (media.numbered(1), Image.fromarray(media.numbered(2)), tmp_path / "p.png")
    assert numbers(f for f in frames) == [1, 2, 3]
    assert numbers([str(tmp_path / "p.png")]) == [3]


def test_a_slice_of_an_array_need_not_be_contiguous():
    assert numbers(media.numbered(3, 128, 96)[::2, ::2]) == [3]


def test_blue_may_come_first():
    [image] = pixels(COLOURS[..., ::-1], order="bgr")
    np.testing.assert_array_equal(image, COLOURS)
    with pytest.raises(UsageError, match="no order 'gbr'; choose rgb or bgr"):
        pixels(COLOURS, order="gbr")


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_fourth_channel_is_dropped(order):
    opaque = np.dstack([COLOURS if order == "rgb" else COLOURS[..., ::-1], COLOURS[..., 0]])
    [image] = pixels(opaque, order=order)
    np.testing.assert_array_equal(image, COLOURS)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (1, 6, 5, 1)])
def test_grey_frames_have_three_equal_channels(shape):
    grey = COLOURS[..., 0]
    [image] = pixels(grey.reshape(shape))
    np.testing.assert_array_equal(image, np.dstack([grey] * 3))


@pytest.mark.parametrize("nothing", [np.zeros((0, 4, 4, 3), np.uint8), [], iter(())])
def test_no_frames_are_too_short(nothing):
    with pytest.raises(InputUnusable) as caught:
        frames_from_array(nothing, 8)
    assert caught.value.reason == "too_short"


@pytest.mark.parametrize(
    ("frames", "what"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"uint8 \(3, 8, 9\)"),
        (np.zeros((2, 3, 4, 5), np.uint8), r"uint8 \(3, 4, 5\)"),
        (np.zeros((4, 4, 3), np.float32), r"float32 \(4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"uint8 \(0, 4, 3\)"),
        (np.zeros((2, 2, 4, 4, 3), np.uint8), r"uint8 \(2, 2, 4, 4, 3\)"),
        ([3], "int"),
        (7, "int"),
        ({"a": 1}, "dict"),
        (SimpleNamespace(shape=(2, 3)), r"SimpleNamespace \(2, 3\)"),
    ],
)
def test_another_shape_or_type_is_a_usage_error_that_names_what_was_given(frames, what):
    with pytest.raises(UsageError, match=f"^video: got {what}; give the path of a clip"):
        frames_from_array(frames)


def test_an_array_that_is_not_in_the_cpus_memory_is_a_usage_error():
    with pytest.raises(UsageError, match=r"OnGpu cannot be read as an array .* copy it to the CPU"):
        frames_from_array([OnGpu()])


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_a_picture_without_a_pixel_is_refused(size):
    with pytest.raises(UsageError, match=f"a picture of {size[0]} x {size[1]} pixels"):
        frames_from_array([Image.new("RGB", size)])


@pytest.mark.parametrize("order", [None, 3, ["rgb"], np.zeros(2)], ids=repr)
def test_what_is_no_order_of_colours_is_refused(order):
    with pytest.raises(UsageError, match="choose rgb or bgr"):
        frames_from_array(np.zeros((2, 2, 3), np.uint8), order=order)
