"""Frames in CUDA memory, on stand-ins for CUDA, NVRTC and the driver; nothing here runs on a GPU.

The kernels are compiled for the host, so their pixels are real. What is proven of CUDA is that it
is called with memory of the right kind and size, in an order that it allows.
"""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest
from PIL import Image

from tests.conformance.pictures import picture
from tests.conftest import TINY
from tests.trml_rt.backends.tensorrt.fake_cuda import FakeCuda
from tests.trml_rt.backends.tensorrt.fake_kernels import FakeDriver, FakeNvrtc, compile_for_host
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.backends.shaping import ReadsDeviceFrames
from trml_rt.backends.tensorrt import frames as frames_module
from trml_rt.backends.tensorrt.cuda import Cuda, current_gpu
from trml_rt.backends.tensorrt.frames import FrameReader
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import EnvironmentUnfit, UsageError
from trml_rt.inputs.frames import frames_from_array
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.prepare import Inputs, Sample
from trml_rt.inputs.resize import shaping_of


@pytest.fixture(scope="module")
def library(tmp_path_factory, request):
    return compile_for_host(tmp_path_factory.mktemp("kernels"), request.config.rootpath)


class World:
    """A GPU of stand-ins, and a reader of frames on it."""

    def __init__(self, library, monkeypatch, *, integrated=False):
        self.cuda = FakeCuda(integrated=integrated)
        self.driver, self.nvrtc = FakeDriver(self.cuda, library), FakeNvrtc()
        self.majors = []
        monkeypatch.setattr(frames_module.kernels, "find_driver", lambda: self.driver)
        monkeypatch.setattr(frames_module.kernels, "find_nvrtc", self._find)
        self.reader = FrameReader(Cuda(self.cuda), current_gpu("tensorrt", self.cuda))
        self.stream = self.cuda.cudaStreamCreateWithFlags(1)[1]  # the caller's

    def _find(self, major):
        self.majors.append(major)
        return self.nvrtc

    def put(self, array, *, now=True):
        """Return device memory with an array, written now, or when its stream comes to it."""
        array = np.ascontiguousarray(array)
        _, address = self.cuda.cudaMalloc(array.nbytes)
        data = array.tobytes()
        write = lambda: ctypes.memmove(address, data, len(data))  # noqa: E731
        write() if now else self.cuda.work(self.stream, write)
        return OnGpu(address, array.shape, None, None if now else self.stream)

    def pixels(self, value, to, **options):
        """Return the pixels of one frame as `Inputs` asks for them."""
        read = lambda frame: Image.fromarray(  # noqa: E731
            self.reader.read(frame, shaping_of(frame.height, frame.width, to))
        )
        [image] = frames_from_array(value, read_device=read, **options).frames
        return np.asarray(image)


class OnGpu:
    def __init__(self, address, shape, strides, stream):
        self.__cuda_array_interface__ = {
            **{"shape": shape, "typestr": "|u1", "data": (address, False), "version": 3},
            **{"strides": strides, "stream": stream},
        }


@pytest.fixture(params=[False, True], ids=["discrete", "integrated"])
def world(request, library, monkeypatch):
    return World(library, monkeypatch, integrated=request.param)


TO = (
    Preprocessing(24, 24),
    Preprocessing(24, 24, "longest", "bilinear", fill=99),
    Preprocessing(40, 8),
    Preprocessing(9, 31, "squash"),
)


@pytest.mark.parametrize("to", TO, ids=lambda to: f"{to.resize}-{to.height}x{to.width}")
def test_pixels_are_those_of_the_host(world, to):
    for width, height in ((33, 47), (64, 20), (24, 24), (20, 90)):
        rgb = picture(width, height)
        expected = to_pixels(Image.fromarray(rgb), to)
        rgba = picture(width, height, format="rgba")
        given = {"rgb": rgb, "bgr": np.ascontiguousarray(rgb[..., ::-1])}
        for order, array in given.items():
            np.testing.assert_array_equal(world.pixels(world.put(array), to, order=order), expected)
        np.testing.assert_array_equal(world.pixels(world.put(rgba), to), expected)
        gray = picture(width, height, format="gray")
        expected = to_pixels(Image.fromarray(np.dstack([gray] * 3)), to)
        for array in (gray, gray[..., None]):
            np.testing.assert_array_equal(world.pixels(world.put(array), to), expected)
    assert world.nvrtc.compiled == 1
    assert world.majors == [12]


def test_rows_that_are_apart_channels_that_come_first_and_flipped_ones(world):
    rgb, to = picture(30, 22), TO[0]
    expected = to_pixels(Image.fromarray(rgb), to)
    padded = np.zeros((22, 128), np.uint8)
    padded[:, :90] = rgb.reshape(22, 90)
    views = [
        (padded, 0, (128, 3, 1)),
        (rgb.transpose(2, 0, 1), 0, (30, 1, 22 * 30)),  # as torch has pictures, permuted
        (rgb[::-1], 21 * 90, (-90, 3, 1)),
    ]
    for array, offset, strides in views:
        given = world.put(array)
        address = given.__cuda_array_interface__["data"][0] + offset
        frame = OnGpu(address, (22, 30, 3), strides, None)
        np.testing.assert_array_equal(world.pixels(frame, to), expected)


def test_a_frame_is_read_after_the_stream_that_writes_it(world):
    rgb = picture(30, 22)
    frame = world.put(rgb, now=False)
    np.testing.assert_array_equal(
        world.pixels(frame, TO[0]), to_pixels(Image.fromarray(rgb), TO[0])
    )


def test_what_lies_on_no_gpu_or_another_one_is_refused(world):
    host = picture(30, 22)
    frame = world.put(host)
    address = frame.__cuda_array_interface__["data"][0]
    for at, shape in ((host.ctypes.data, host.shape), (address, (22, 300, 3))):
        with pytest.raises(UsageError, match="said to lie on a GPU does not, or not all of it"):
            world.pixels(OnGpu(at, shape, None, None), TO[0])
    world.cuda.elsewhere[frame.__cuda_array_interface__["data"][0]] = 1
    if not world.cuda.properties.integrated:
        with pytest.raises(UsageError, match="a frame lies on GPU 1, and the engines on 0; copy"):
            world.pixels(frame, TO[0])


def test_kernels_that_cannot_be_compiled_are_asked_for_again(world):
    frame = world.put(picture(30, 22))
    world.nvrtc.knows = ()
    with pytest.raises(EnvironmentUnfit, match=r"NVRTC cannot compile frames.cu for sm_87"):
        world.pixels(frame, TO[0])
    world.nvrtc.knows = ("sm_87",)
    assert world.pixels(frame, TO[0]).any()


def test_memory_is_kept_for_few_sizes_and_goes_with_the_reader(world):
    caller = dict(world.cuda.buffers)
    blocks = []
    for width in range(20, 40):
        frame = world.put(np.zeros((width, width, 3), np.uint8))
        caller = {**caller, **{frame.__cuda_array_interface__["data"][0]: None}}
        world.pixels(frame, TO[0])
        blocks.append(len(set(world.cuda.buffers) - set(caller)))
    assert blocks[-1] == blocks[8]
    del world.reader
    gc.collect()
    assert set(world.cuda.buffers) == set(caller)
    assert world.cuda.alive == {world.stream}


def test_where_memory_does_not_suffice_nothing_stays(world):
    world.pixels(world.put(picture(30, 22)), TO[0])
    frame = world.put(picture(31, 22))
    before, world.cuda.left = set(world.cuda.buffers), 2500
    with pytest.raises(EnvironmentUnfit, match="out of memory"):
        world.pixels(frame, TO[0])
    assert set(world.cuda.buffers) == before


def test_a_call_takes_frames_of_both_memories(world):
    clip = [picture(40, 30, seed) for seed in range(3)]
    given = [world.put(clip[0]), clip[1], world.put(clip[2])]
    with_gpu = Inputs(Bundle(TINY), read_device=world.reader.read)
    there = with_gpu.prepare(Sample(video=given), degrade=False)
    here = Inputs(Bundle(TINY)).prepare(Sample(video=clip), degrade=False)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert there.reports == here.reports


def test_a_back_end_on_the_cpu_refuses_them(world):
    frame = world.put(picture(40, 30))
    assert not isinstance(OnnxRuntimeBackend(), ReadsDeviceFrames)
    with pytest.raises(UsageError, match='load the bundle with backend="tensorrt"'):
        Inputs(Bundle(TINY)).prepare(Sample(video=frame), degrade=True)
