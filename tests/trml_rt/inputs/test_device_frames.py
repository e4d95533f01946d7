"""Arrays on a GPU: what of `__cuda_array_interface__` and DLPack is read. No GPU is needed."""

from __future__ import annotations

import numpy as np
import pytest

from trml_rt.errors import UsageError
from trml_rt.inputs.device_frames import device_array
from trml_rt.inputs.frames import frames_from_array

CLIP = np.zeros((5, 4, 6, 3), np.uint8)


class Interface:
    def __init__(self, array=CLIP, **more):
        told = array.__array_interface__
        self.array = array
        self.__cuda_array_interface__ = {**told, "version": 3, "stream": 7, **more}


class Dlpack:
    """A numpy array that says it lies on a GPU."""

    def __init__(self, array=CLIP, device=(2, 0)):
        self.array, self.device, self.streams = array, device, []

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, *, stream=None):
        self.streams.append(stream)
        return self.array.__dlpack__()


@pytest.mark.parametrize("kind", [Interface, Dlpack])
def test_address_shape_and_strides_in_bytes(kind):
    for array in (CLIP, CLIP[:, ::-1, 1:, ::-1], CLIP.transpose(0, 2, 1, 3), CLIP[1, :, :, 0]):
        found = device_array(kind(array))
        assert found.address == array.ctypes.data
        assert found.shape == array.shape
        assert found.strides == array.strides


def test_the_stream_is_the_one_that_is_told_and_of_dlpack_the_default_one():
    assert device_array(Interface()).stream == 7
    assert device_array(Interface(stream=None)).stream is None
    given = Dlpack()
    assert device_array(given).stream == 1
    assert given.streams == [1]


def test_a_frame_of_a_clip_begins_where_numpy_has_it():
    frame = device_array(Interface())[3].frame(bgr=False)
    assert frame.address == CLIP[3].ctypes.data
    assert (frame.height, frame.width, frame.row, frame.pixel) == (4, 6, 18, 3)
    assert frame.colours == (0, 1, 2)
    assert device_array(Interface())[0].frame(bgr=True).colours == (2, 1, 0)


def test_grey_frames_have_one_colour():
    assert device_array(Interface(CLIP[0, :, :, 0])).frame(bgr=True).colours == (0, 0, 0)
    assert device_array(Interface(CLIP[0, :, :, :1])).frame(bgr=False).colours == (0, 0, 0)


def test_what_lies_on_the_cpu_is_no_device_array():
    assert device_array(CLIP) is None
    assert device_array(Dlpack(device=(1, 0))) is None
    assert device_array("text") is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Interface(CLIP.astype(np.float32)), "^video: frames on a GPU must be uint8, not <f4"),
        (
            Dlpack(CLIP.astype(np.float32)),
            "^video: frames on a GPU must be uint8, not a type of 32 bits",
        ),
        (Interface(mask=1), "^video: frames on a GPU must be uint8, not |u1 with a mask"),
        (Interface(data=None), r"Interface cannot be read as an array on a GPU \("),
        (Interface(typestr=None), "^video: frames on a GPU must be uint8, not None"),
        (Interface(strides=(1,)), r"Interface cannot be read .* \(1 strides of 4 axes\)"),
        (Interface(data=()), r"Interface cannot be read as an array on a GPU \("),
        (Interface(shape="ab"), r"Interface cannot be read as an array on a GPU \("),
    ],
)
def test_what_cannot_be_read_ends_in_a_sentence(value, words):
    with pytest.raises(UsageError, match=words.replace("|", r"\|")):
        device_array(value)


def test_frames_of_a_clip_are_chosen_on_the_gpu():
    seen = []
    frames_from_array(Interface(), 2, read_device=lambda frame: seen.append(frame.address))
    assert seen == [CLIP[1].ctypes.data, CLIP[3].ctypes.data]


def test_a_list_may_hold_frames_of_both_memories():
    seen = []

    def read(frame):
        seen.append(frame.address)
        return "there"

    clip = frames_from_array([Interface(CLIP[2]), CLIP[0]], read_device=read)
    assert clip.frames[0] == "there"
    assert clip.frames[1].size == (6, 4)


@pytest.mark.parametrize("shape", [(4, 6, 2), (0, 6, 3), (2, 2, 4, 6, 3), (7,)])
def test_shapes_that_are_no_frames_are_refused(shape):
    with pytest.raises(UsageError, match="got uint8"):
        frames_from_array(Interface(np.zeros(shape, np.uint8)))


def test_without_a_reader_frames_on_a_gpu_are_refused():
    with pytest.raises(
        UsageError, match="Interface lies on a GPU, which is read in calls of infer"
    ):
        frames_from_array(Interface())
