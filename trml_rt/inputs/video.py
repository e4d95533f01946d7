"""Take a few frames, evenly spaced in time, from whatever the caller calls a video.

A video file, an animation, a picture and a folder of pictures all become a `Clip`: at most
`count` upright RGB pictures of full size. `clip` has the rule that chooses them.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from trml_rt.errors import InputUnusable, UsageError, blames_machine, cannot_write
from trml_rt.inputs.clip import Clip, Shaped
from trml_rt.inputs.limits import DEFAULT_LIMITS, Budget, MediaLimits
from trml_rt.inputs.picture import read_folder, read_picture
from trml_rt.inputs.picture_file import check_file, open_picture

__all__ = ["read_encoded", "read_frames", "refuse_address"]

_BYTES = (bytes, bytearray, memoryview)
_PART = 1 << 20  # bytes that are copied at once
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a Path has lost one of the two slashes


def _unchanged(picture: Image.Image) -> Image.Image:
    return picture


def read_frames(
    path: str | os.PathLike[str],
    count: int,
    shape: Callable[[Image.Image], Any] = _unchanged,
    *,
    threads: int = 1,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Clip[Any]:
    """Return at most `count` frames of a video, a picture or a folder of frame pictures.

    The rule, for any reader that must choose the same frames:

    1. The first video stream counts that is marked as default, else the first; cover art never.
       If it has at most `count` packets, every frame is taken.
    2. Otherwise the frames are those shown at `choose_times(start, duration, count)`, in ticks
       of the stream's time base. A frame shown at several of these times is taken once, so
       a clip that stands still may give fewer than `count`.
    3. In MP4 and MOV, `start` and `duration` are the stream's own. Elsewhere, and in an MP4 with
       a frame beyond its duration, the packets decide: from the first frame shown to the end of
       the last one. Only of a file that is cut off the stated length counts.
    4. Where times jump, a new stretch begins. Stretches follow each other without a gap. A jump
       is a step back; or a step ahead of more than 30 hours, in MPEG-TS and MPEG-PS of 10 s.
    5. An AVI has times of decoding only: its frames are shown at these times in turn.
    6. Frames without any time (raw H.264) are taken by `choose_indices`.

    Frames are turned by the display matrix, and scaled in width where pixels are not square.
    A picture is a clip of one frame, turned by its EXIF orientation; the frames of a GIF, WebP
    or PNG animation follow rules 1 and 2 in milliseconds. Transparency is dropped. The pictures of
    a folder follow each other in natural order and are taken by `choose_indices`; hidden files and
    files without a picture's ending are left out.

    Args:
        path: the file or folder.
        count: of frames, at most.
        shape: what to make of each frame, an upright RGB picture of full size. It runs while later
            frames of a video are decoded, in other threads.
        threads: that decode a video at once.
        limits: of what it may cost.

    Raises:
        InputUnusable: `path` is absent, not a video or picture, has no frame, or costs too much.
        EnvironmentUnfit: the machine lacks memory, threads or open files to read it.
        UsageError: `count` is below 1.
    """
    if count < 1:
        raise UsageError(f"count: {count} frames cannot be taken; ask for at least 1")
    refuse_address(path)
    with blames_machine(path):
        return _read(Path(path), count, shape, threads, Budget(Path(path), limits))


def refuse_address(path: str | os.PathLike[str]) -> None:
    """Raise InputUnusable, in words without credentials, where `path` is an address and no file."""
    if not _ADDRESS.match(os.fspath(path)) or os.path.exists(path):  # noqa: PTH110 - may be a str
        return
    scheme, _, rest = os.fspath(path).partition(":/")
    host, slash, place = rest.lstrip("/").partition("?")[0].partition("/")
    raise InputUnusable(
        f"{scheme}://{host.rpartition('@')[2]}{slash}{place}: addresses are not read; "
        "download the clip, or open a stream on it",
        reason="undecodable",
    )


def _read(
    path: Path, count: int, shape: Callable[[Image.Image], Any], threads: int, budget: Budget
) -> Clip[Any]:
    try:
        is_folder = path.is_dir()
    except OSError:
        is_folder = False  # `check_file` says why it cannot be looked at
    if is_folder:
        return read_folder(path, count, shape, budget)
    check_file(path, budget)
    picture = open_picture(path, budget)
    if picture is not None:
        with picture:
            return read_picture(picture, path, count, shape, budget)

    from trml_rt.inputs.video_file import read_video

    return read_video(path, count, shape, threads, budget)


def read_encoded(
    data: bytes | BinaryIO,
    read: Callable[[str], Clip[Shaped]],
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Clip[Shaped]:
    """Return the frames of an encoded video or picture that is no file.

    Args:
        data: its bytes, or a binary file object, which is read to its end.
        read: gives the frames of a file, as `read_frames` does.
        limits: of which `file_mib` counts here.

    Raises:
        InputUnusable: as in `read_frames`.
        EnvironmentUnfit: as in `read_frames`, or a temporary file cannot be written.
        UsageError: the file object is closed, or gives text.
    """
    what = "the bytes of the video" if isinstance(data, _BYTES) else "the video"
    with tempfile.NamedTemporaryFile(prefix="trml-rt-") as copy:
        try:
            if isinstance(data, _BYTES):
                copy.write(data)
            else:
                budget = Budget(what, limits)
                while part := data.read(_PART):
                    copy.write(part)
                    budget.check_file(copy.tell())
            copy.flush()
        except InputUnusable:
            raise
        except (TypeError, ValueError):
            raise UsageError(
                "video: a file object must be open, and in binary mode, as of open(path, 'rb')"
            ) from None
        except OSError as error:
            raise cannot_write(copy.name, error, "name another folder with TMPDIR") from None
        try:
            return read(copy.name)
        except InputUnusable as error:
            text = str(error).replace(copy.name, what)
            raise InputUnusable(text, reason=error.reason) from None
