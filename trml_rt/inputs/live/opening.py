"""Open the source of a stream with FFmpeg, which may touch nothing but what the user named.

PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from trml_rt.errors import InputUnusable
from trml_rt.inputs.limits import Budget, MediaLimits
from trml_rt.inputs.live.address import Address
from trml_rt.inputs.picture_file import check_file
from trml_rt.inputs.video_file import FORMATS, open_video, video_of

__all__ = ["open_stream"]

_NETWORK = "tcp,udp,tls,crypto"
# For each kind the format (None: what the content says), the protocols and formats that may be
# opened, and options. Without "file" no playlist leads to a file of this machine.
_SOON = {"analyzeduration": "1000000"}  # look for a second at what the stream holds, not for five
_OPTIONS: dict[str, tuple[str | None, dict[str, str]]] = {
    "camera": ("v4l2", {}),
    "rtsp": (
        "rtsp",
        {
            "protocol_whitelist": f"rtp,rtsp,{_NETWORK}",
            "format_whitelist": "rtsp,sdp,rtp,mpegts",
            "rtsp_transport": "tcp",
            "fflags": "nobuffer",
            **_SOON,
        },
    ),
    "http": (
        None,
        {
            "protocol_whitelist": f"http,https,{_NETWORK}",
            "format_whitelist": f"{FORMATS},hls,webvtt",
            **_SOON,
        },
    ),
    "pipe": (None, {"protocol_whitelist": "pipe,file", "format_whitelist": FORMATS}),
    "test": ("lavfi", {}),
}


@contextmanager
def open_stream(
    address: Address, limits: MediaLimits
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open `address` and its first moving picture; close it on the way out.

    Raises:
        InputUnusable: it cannot be opened, or has no picture.
    """
    budget = Budget(address.name, limits)
    if address.kind == "file":
        check_file(Path(address.target), budget)
        with open_video(Path(address.target), budget) as opened:
            yield opened
        return
    name, options = _OPTIONS[address.kind]
    with _opened(address, name, options) as container:
        yield container, video_of(container, budget)


def _opened(address: Address, name: str | None, options: dict[str, Any]) -> InputContainer:
    target = _fifo(address.target) if address.kind == "pipe" else address.target
    try:
        return av.open(target, mode="r", format=name, container_options=options)
    except (OSError, av.FFmpegError) as error:  # those of HTTP and RTSP are no OSError
        raise _refused(address, error.strerror or str(error)) from None
    except ValueError:  # PyAV does not know the format; most errors of FFmpeg are one, too
        raise _refused(address, f"FFmpeg here lacks {name}") from None


def _fifo(path: str) -> str:
    if path == "-":
        return "pipe:0"
    try:
        if not stat.S_ISFIFO(os.stat(path).st_mode):  # noqa: PTH116 - Path("-x") is the same
            raise InputUnusable(f"{path}: is no FIFO; make one with mkfifo", reason="undecodable")
    except OSError as error:
        raise InputUnusable(
            f"{path}: cannot be read ({error.strerror})", reason="undecodable"
        ) from None
    return f"file:{path}"


def _refused(address: Address, why: str) -> InputUnusable:
    return InputUnusable(address.clean(f"{address.name}: {why}"), reason="undecodable")
