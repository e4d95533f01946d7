"""Streams of real servers: RTSP of GStreamer, HLS over HTTP, pipes; no file is ever reached."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

from tests import media
from tests.trml_rt.inputs.live.test_source import (
    FAST,
    SQUARE,
    drops,
    frames,
    is_frame,
    is_state,
    states,
    until,
)
from trml_rt.backends.process import python_command
from trml_rt.errors import UsageError
from trml_rt.inputs.live import State, open_source

SERVER = Path(__file__).parents[4] / "tests" / "rtsp_server.py"
DEBIAN = "/usr/bin/python3"  # it alone has the packages of Debian
JPEG = (
    "( videotestsrc is-live=true ! video/x-raw,format=I420,width=64,height=48,framerate=20/1 "
    "! jpegenc ! rtpjpegpay name=pay0 pt=26 )"
)
# Of the encoder: frames come in the order that they are shown, keyframes at their distance alone.
AT_ONCE = {"tune": "zerolatency", "sc_threshold": "0"}
H264 = "( filesrc location={} ! qtdemux ! rtph264pay name=pay0 pt=96 config-interval=1 )"


@functools.cache
def has_rtsp_server() -> bool:
    look = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        return subprocess.run([DEBIAN, "-c", look], capture_output=True).returncode == 0
    except OSError:
        return False


needs_rtsp = pytest.mark.skipif(
    not has_rtsp_server(), reason="the RTSP server of GStreamer is not installed"
)


@contextlib.contextmanager
def rtsp_server(launch: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [DEBIAN, str(SERVER), str(port), launch]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


# RTSP.


@needs_rtsp
def test_rtsp_runs_and_comes_back_in_another_epoch_after_the_server_was_gone():
    with rtsp_server(JPEG) as (server, port):
        source = open_source(f"rtsp://me:secret@127.0.0.1:{port}/camera", SQUARE, **FAST)
        events = until(source, is_frame)
        assert states(events) == ["connecting", "running"]
        assert frames(events)[0].pixels.shape == (32, 32, 3)
        assert frames(events)[0].pixels.std() > 20  # bars, no grey
        server.kill()
    with source:
        events = until(source, is_state("retrying"))
        with rtsp_server(JPEG, port):
            events += until(source, is_state("running"))
            events += until(source, is_frame)
    assert frames(events)[-1].epoch == 1
    told = [event for event in events if isinstance(event, State)]
    assert {event.name for event in told} <= {"stalled", "retrying", "running"}
    assert all("secret" not in event.message for event in told)


@needs_rtsp
def test_a_server_that_stands_still_is_stalled_and_then_runs_on():
    with rtsp_server(JPEG) as (server, port):
        patient = {**FAST, "restart_after": 30}
        with open_source(f"rtsp://127.0.0.1:{port}/camera", SQUARE, **patient) as source:
            until(source, is_frame)
            server.send_signal(signal.SIGSTOP)
            until(source, is_state("stalled"))
            server.send_signal(signal.SIGCONT)
            until(source, is_state("running"))
            assert until(source, is_frame)[-1].epoch == 0


@needs_rtsp
def test_a_stream_that_is_joined_between_keyframes_begins_with_the_next(tmp_path):
    path = media.write_video(tmp_path / "v.mp4", 60, rate=20, gop=20, options=AT_ONCE)
    with (
        rtsp_server(H264.format(path)) as (_, port),
        open_source(f"rtsp://127.0.0.1:{port}/camera", SQUARE) as source,
    ):
        events = until(source, is_frame)
    shown = media.number_of(Image.fromarray(frames(events)[0].pixels))
    assert shown % 20 == 0
    dropped = drops(events)
    assert set(dropped) <= {"before_keyframe"}
    assert shown == 0 or dropped["before_keyframe"] > 0


@needs_rtsp
def test_a_stream_that_is_not_there_says_what_the_server_said():
    with (
        rtsp_server(JPEG) as (_, port),
        open_source(f"rtsp://me:secret@127.0.0.1:{port}/other", SQUARE) as source,
    ):
        [_, failed] = source
    assert failed.name == "failed"
    assert failed.message == (
        f"rtsp://127.0.0.1:{port}/other: cannot be read: Server returned 404 Not Found"
    )


def test_a_port_where_nobody_listens_fails_the_first_connection():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with open_source(f"rtsp://me:secret@127.0.0.1:{port}/camera", SQUARE) as source:
            [_, failed] = source
    assert failed.message == f"rtsp://127.0.0.1:{port}/camera: cannot be read: Connection refused"


# HLS.


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def http_server(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def playlist(folder: Path, *, finished: bool, segments: int = 2) -> None:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:0"]
    for number in range(segments):
        start = range(number * 10, number * 10 + 10)
        path = folder / f"{number}.ts"
        pictures = [media.numbered(n) for n in start]
        media.write_video(path, pictures, gop=10, pts=[*start], options=AT_ONCE)
        lines += ["#EXTINF:1.0,", path.name]
    lines += ["#EXT-X-ENDLIST"] * finished
    (folder / "live.m3u8").write_text("\n".join(lines) + "\n")


def test_a_finished_playlist_is_a_file_of_which_nothing_is_lost(tmp_path):
    playlist(tmp_path, finished=True)
    with http_server(tmp_path) as address, open_source(f"{address}/live.m3u8", SQUARE) as source:
        events = list(source)
        assert not source.live
    assert states(events) == ["connecting", "running", "ended"]
    shown = [media.number_of(Image.fromarray(frame.pixels)) for frame in frames(events)]
    assert shown == list(range(20))
    assert frames(events)[-1].t == pytest.approx(1.9)


def test_a_playlist_that_may_grow_is_live_and_stalls_when_it_does_not(tmp_path):
    playlist(tmp_path, finished=False)
    with (
        http_server(tmp_path) as address,
        open_source(f"{address}/live.m3u8?token=secret", SQUARE, **FAST) as source,
    ):
        events = until(source, is_frame)
        assert source.live
        events += until(source, is_state("retrying"))
    assert states(events) == ["connecting", "running", "stalled", "retrying"]
    assert all("secret" not in e.message for e in events if isinstance(e, State))


@pytest.mark.parametrize("target", ["file://{}", "{}", "concat:{}", "subfile,,start,0,end,0,,:{}"])
def test_no_playlist_leads_to_a_file_of_this_machine(tmp_path, target):
    local = media.write_video(tmp_path / "local.ts", 10)
    folder = tmp_path / "served"
    folder.mkdir()
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1.0,", target.format(local)]
    (folder / "live.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    with http_server(folder) as address, open_source(f"{address}/live.m3u8", SQUARE) as source:
        events = list(source)
    assert frames(events) == []
    assert states(events)[-1] in ("failed", "ended")


# Pipes.


def fed(path: Path, data: bytes) -> threading.Thread:
    thread = threading.Thread(target=path.write_bytes, args=(data,))
    thread.start()
    return thread


def test_a_fifo_is_read_to_its_end(tmp_path):
    data = media.write_video(tmp_path / "v.ts", 20).read_bytes()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = fed(fifo, data)
    with open_source(f"pipe:{fifo}", SQUARE) as source:
        events = list(source)
    writer.join()
    assert states(events) == ["connecting", "running", "ended"]
    assert len(frames(events)) == 20


def test_times_that_go_back_to_zero_begin_an_epoch(tmp_path):
    data = media.write_video(tmp_path / "v.ts", 20).read_bytes()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = fed(fifo, data + data)
    with open_source(f"pipe:{fifo}", SQUARE) as source:
        events = frames(source)
    writer.join()
    assert [frame.epoch for frame in events] == [0] * 20 + [1] * 20
    for epoch in (0, 1):
        times = [frame.t for frame in events if frame.epoch == epoch]
        assert times == pytest.approx([n / 10 for n in range(20)])


@pytest.mark.parametrize("frozen", [True, False])
def test_frames_whose_time_stands_still_are_no_sign_of_life(tmp_path, frozen):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=100)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        [packet] = stream.encode(av.VideoFrame.from_ndarray(media.numbered(5), format="rgb24"))
        picture = bytes(packet)
        for number in range(200):
            again = av.Packet(picture)
            again.stream, again.time_base = stream, packet.time_base
            again.pts = again.dts = min(number, 50) if frozen else number
            container.mux(again)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=trickle, args=(path.read_bytes(), fifo))
    writer.start()
    # One frame alone is wanted; the others only show whether the source lives.
    with open_source(f"pipe:{fifo}", SQUARE, interval=10, stall_after=0.5) as source:
        events = list(source)
    writer.join()
    stalled = ["stalled"] * frozen
    assert states(events) == ["connecting", "running", *stalled, "ended"]
    # Of those whose time stands still one is given now and then.
    assert {frame.t for frame in frames(events)} == ({0.0, 0.5} if frozen else {0.0})
    reasons = {event.reason for event in events if isinstance(event, State)}
    assert ("frozen" in reasons) == frozen


def trickle(data: bytes, fifo: Path) -> None:
    """Write `data` in about two seconds."""
    with fifo.open("wb", buffering=0) as file:
        for at in range(0, len(data), len(data) // 80):
            file.write(data[at : at + len(data) // 80])
            time.sleep(0.025)


def test_a_resolution_that_changes_gives_frames_of_one_size(tmp_path):
    parts = [
        media.write_video(tmp_path / f"{n}.ts", [media.numbered(n, *size)] * 5, gop=5, pts=pts)
        for n, size, pts in ((1, (64, 48), range(5)), (2, (128, 96), range(5, 10)))
    ]
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = fed(fifo, b"".join(part.read_bytes() for part in parts))
    with open_source(f"pipe:{fifo}", SQUARE) as source:
        events = list(source)
    writer.join()
    shown = [media.number_of(Image.fromarray(frame.pixels)) for frame in frames(events)]
    assert shown == [1] * 5 + [2] * 5


READ_STDIN = """
from trml_rt.inputs.image import Preprocessing
from trml_rt.inputs.live import Frame, State, open_source
with open_source("-", Preprocessing(32, 32)) as source:
    events = list(source)
print(sum(isinstance(event, Frame) for event in events))
print(*[event.name for event in events if isinstance(event, State)])
"""


def test_standard_input_is_a_source(tmp_path, monkeypatch):
    data = media.write_video(tmp_path / "v.ts", 20).read_bytes()
    (tmp_path / "read_stdin.py").write_text(READ_STDIN)
    monkeypatch.syspath_prepend(tmp_path)
    done = subprocess.run(
        python_command("read_stdin"), input=data, capture_output=True, check=True, timeout=30
    )
    assert done.stdout.decode().splitlines() == ["20", "connecting running ended"]


def test_a_closed_standard_input_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="standard input is closed; name a file"):
        open_source("-", SQUARE)


@pytest.mark.parametrize("data", [b"", b"what a day\n" * 50])
def test_a_pipe_without_a_clip_says_that_it_is_none(tmp_path, data):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = fed(fifo, data)
    with open_source(f"pipe:{fifo}", SQUARE) as source:
        [_, failed] = source
    writer.join()
    assert failed.message == f"{fifo}: cannot be read: Invalid data found when processing input"


def test_a_clip_that_a_pipe_cannot_give_a_frame_of_fails(tmp_path):
    # Larger than what FFmpeg can step back in a pipe, and its index is at its end.
    data = (Path(__file__).parents[4] / "samples" / "smiling.mp4").read_bytes()
    assert data.index(b"moov") > data.index(b"mdat")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = fed(fifo, data)
    with open_source(f"pipe:{fifo}", SQUARE) as source:
        [_, failed] = source
    writer.join()
    assert failed.name == "failed"
    assert "no frame of it can be decoded (Invalid data" in failed.message
    assert "name the clip as a file" in failed.message


def test_a_path_that_is_no_fifo_is_refused(tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(b"x")
    with open_source(f"pipe:{path}", SQUARE) as source:
        [_, failed] = source
    assert failed.message == f"{path}: cannot be read: is no FIFO; make one with mkfifo"


def test_a_camera_that_is_absent_says_so():
    with open_source("/dev/video987", SQUARE) as source:
        [_, failed] = source
    assert (failed.name, failed.reason) == ("failed", "lost")
    assert failed.message == "/dev/video987: cannot be read: No such file or directory"
