"""Reading videos leaves nothing behind, and one unknown detail of a frame costs nothing."""

from __future__ import annotations

import errno
import gc
import io
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from tests import media
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import EnvironmentUnfit, InputUnusable
from trml_rt.inputs.prepare import Inputs, Sample
from trml_rt.inputs.video import read_frames

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
EIGHT_OF_20 = [1, 3, 6, 8, 11, 13, 16, 18]


@pytest.fixture
def no_collector():
    """Nothing may wait for the cyclic collector: a service may run long without it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held() -> tuple[int, int, int]:
    """Return threads, open files, and resident memory in MB."""
    threads, files = (len(list(Path("/proc/self", name).iterdir())) for name in ("task", "fd"))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return threads, files, pages * 4096 >> 20


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "cut off"])
def test_sixty_calls_leave_no_thread_no_file_and_no_memory(tmp_path, whole):
    pictures = [media.numbered(i, 640, 480) for i in range(20)]
    path = media.write_video(tmp_path / "a.mp4", pictures)
    if not whole:
        media.truncate(path, 0.9)

    def call() -> None:
        try:
            assert media.numbers_of(read_frames(path, 8).frames) == EIGHT_OF_20
        except InputUnusable:
            assert not whole

    for _ in range(10):  # each decoder thread gets a heap of its own, which is kept for the next
        call()
    threads, files, memory = held()
    for _ in range(60):
        call()
    assert held()[:2] == (threads, files)
    assert held()[2] <= memory + 20  # one kept frame a call would be 27 MB


# A shortage of the machine.

SWEEP = """
import resource, sys
import av
from trml_rt.errors import EnvironmentUnfit
from trml_rt.inputs.video import read_frames
words = set()
for extra in range(1, 80, 4):
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * 4096 + (extra << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        clip = read_frames(sys.argv[1], 8)
        word = "incomplete" if clip.incomplete else str(len(clip.frames))
    except EnvironmentUnfit as error:
        word = "unfit"
    except Exception as error:
        word = repr(error)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    words.add(word)
print(*sorted(words), sep="\\n")
"""


def test_a_whole_clip_is_read_whole_or_the_machine_is_blamed(tmp_path):
    pictures = [media.numbered(i, 640, 480) for i in range(20)]
    path = media.write_video(tmp_path / "a.mp4", pictures)
    words = [sys.executable, "-c", SWEEP, str(path)]
    ended = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert ended.stdout.split("\n")[:-1] == ["8", "unfit"]


def test_a_header_that_asks_for_the_impossible_is_no_shortage_of_the_machine():
    import av

    from trml_rt.inputs.video_scan import is_shortage

    assert not is_shortage(av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"))
    assert is_shortage(av.error.BlockingIOError(errno.EAGAIN, "no thread is left"))
    assert not is_shortage(av.error.InvalidDataError(1, "Invalid data"))


@pytest.fixture
def no_file_left():
    """Let this process open no more files."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    fill = []

    def close_the_door():
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened) + 8, limits[1]))
        while True:
            try:
                fill.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                return

    yield close_the_door
    for descriptor in fill:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "folder", "a.txt"])
def test_no_input_is_refused_for_want_of_an_open_file(tmp_path, tiny_bundle, no_file_left, name):
    path = tmp_path / name
    if name == "a.mp4":
        media.write_video(path)
        read_frames(path, 1)  # what is imported once
    elif name == "a.txt":
        path.write_text("what a day")
    else:
        path.mkdir() if name == "folder" else None
        picture = path / "0.png" if name == "folder" else path
        Image.fromarray(media.numbered(1)).save(picture)
    inputs = Inputs(Bundle(tiny_bundle))
    sample = Sample(text=path) if name == "a.txt" else Sample(text="a day", video=path)
    inputs.prepare(sample, degrade=True)
    no_file_left()
    with pytest.raises(EnvironmentUnfit, match="Too many open files"):
        inputs.prepare(sample, degrade=True)


def test_colours_without_a_way_to_rgb_are_refused_in_a_sentence(tmp_path):
    path = media.write_video(tmp_path / "a.mp4", colour={"colorspace": 10})
    with pytest.raises(InputUnusable, match="its colours cannot be converted") as caught:
        read_frames(path, 8)
    assert caught.value.reason == "undecodable"


# Side data.


def write_exif_video(path: Path, orientation: int) -> Path:
    """Write 20 numbered JPEG frames with EXIF, as cameras do, stored as `orientation` says."""
    import av

    turn = {1: None, 6: Image.Transpose.ROTATE_90, 2: Image.Transpose.FLIP_LEFT_RIGHT}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(20):
            picture = Image.fromarray(media.numbered(number))
            data = io.BytesIO()
            (picture if turn is None else picture.transpose(turn)).save(data, "JPEG", exif=exif)
            packet = av.Packet(data.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 10), True
            packet.pts = packet.dts = number
            container.mux(packet)
    return path


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize("orientation", [1, 2, 6])
def test_side_data_without_a_name_in_pyav_loses_nothing(tmp_path, name, orientation):
    clip = read_frames(write_exif_video(tmp_path / name, orientation), 8)
    assert media.numbers_of(clip.frames) == EIGHT_OF_20
    assert not clip.incomplete
