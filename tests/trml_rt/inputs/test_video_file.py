"""Reading videos leaves nothing behind, and one unknown detail of a frame costs nothing."""

from __future__ import annotations

import gc
import io
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from tests import media
from trml_rt.errors import InputUnusable
from trml_rt.inputs.video import read_frames

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

    for _ in range(3):
        call()
    threads, files, memory = held()
    for _ in range(60):
        call()
    assert held()[:2] == (threads, files)
    assert held()[2] <= memory + 20  # one kept frame a call would be 27 MB


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
