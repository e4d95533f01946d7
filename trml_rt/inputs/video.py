"""Take a few frames, evenly spaced in time, from whatever the caller calls a video.

A video file, an animation, a picture, an array and a list of pictures all become a `Clip`:
at most `count` upright RGB pictures of full size. The rule that chooses them is two pure
functions, so that another reader (the C++ one) can choose the same frames.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from trml_rt.errors import InputUnusable, UsageError

__all__ = ["Clip", "choose_indices", "choose_times", "frames_from_array", "read_frames"]

# Pillow also "opens" PostScript, by starting Ghostscript, and MPEG, without its frames.
_PICTURES = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# The pages of a TIFF and the views of a JPEG (MPO) do not follow each other in time.
_ANIMATIONS = ("AVIF", "GIF", "PNG", "WEBP")
# Animations that state no time for a frame are played at this pace by every browser.
_DEFAULT_MS = 100
# What Pillow raises on damaged files, by format.
_PICTURE_ERRORS = (
    EOFError,
    Image.DecompressionBombError,
    IndexError,
    OSError,
    RuntimeError,  # AVIF
    SyntaxError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class Clip:
    """The frames that stand for a video.

    Attributes:
        frames: RGB pictures in the order shown, upright, of full size.
        incomplete: The file is damaged or ends before its stated end; `frames` are those
            that could be had. Damage between the chosen frames goes unseen.
    """

    frames: tuple[Image.Image, ...]
    incomplete: bool = False


def choose_times(start: int, duration: int, count: int) -> list[int]:
    """Return the middle of each of `count` equal parts of a clip, in its own integer ticks.

    t_i = start + floor((2 i + 1) * duration / (2 * count)). The frame of t_i is the last one
    whose presentation time is <= t_i.
    """
    return [start + (2 * i + 1) * duration // (2 * count) for i in range(count)]


def choose_indices(total: int, count: int) -> list[int]:
    """Return which of `total` untimed frames to take: all, or `count` evenly spaced ones.

    index_i = floor((2 i + 1) * total / (2 * count)): `choose_times` where a frame is a tick.
    """
    if total <= count:
        return list(range(total))
    return choose_times(0, total, count)


def read_frames(path: str | os.PathLike[str], count: int) -> Clip:
    """Return at most `count` frames of the video or picture at `path`, evenly spaced in time.

    The rule, for any reader that must choose the same frames:

    1. The first video stream counts that is not cover art. If it has at most `count` packets,
       every frame is taken.
    2. Otherwise the frames are those shown at `choose_times(start, duration, count)`, in ticks
       of the stream's time base. A frame shown at several of these times is taken once, so
       a clip that stands still may give fewer than `count`.
    3. `start` is the stream's start time. `duration` is the stream's own; else the
       container's, which counts from zero, less `start`; else, or if a frame among the first
       `count + 1` lies beyond it, the latest end of a packet, less `start`.
    4. Frames without any time (raw H.264) are taken by `choose_indices`.

    Frames are turned by the display matrix, and scaled in width where pixels are not square.
    A picture is a clip of one frame, turned by its EXIF orientation; the frames of a GIF, WebP
    or PNG animation follow rules 1 and 2 in milliseconds. Transparency is dropped.

    Raises:
        InputUnusable: `path` is absent, a folder, not a video or picture, or has no frame.
        UsageError: `count` is below 1.
    """
    _check(count)
    path = Path(path)
    try:
        if problem := _no_file(path):
            raise InputUnusable(f"{path}: {problem}", reason="undecodable")
        with path.open("rb"):
            pass  # FFmpeg and Pillow would not say why they cannot
    except OSError as error:
        raise InputUnusable(
            f"{path}: cannot be read ({error.strerror})", reason="undecodable"
        ) from None
    picture = _open_picture(path)
    if picture is not None:
        with picture:
            return _read_picture(picture, path, count)

    from trml_rt.inputs.video_file import read_video

    frames, incomplete = read_video(path, count)
    return Clip(tuple(frames), incomplete)


def _no_file(path: Path) -> str | None:
    """Say why `path` is no file with content, or None; OSError where it cannot be looked at."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        return "is a folder; name one video or picture in it"
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file; name a video or picture"
    if found.st_size == 0:
        return "the file is empty; record or copy the clip again"
    return None


def frames_from_array(
    array: npt.NDArray[np.uint8] | Iterable[npt.NDArray[np.uint8] | Image.Image],
    count: int | None = None,
) -> Clip:
    """Return a clip of frames that the caller already has.

    Args:
        array: RGB, uint8, (frames, height, width, 3) or (height, width, 3) for one frame; or an
            iterable of (height, width, 3) arrays and Pillow pictures. Pixels are copied.
        count: Take at most so many, by `choose_indices`; None takes all.

    Raises:
        InputUnusable: There is no frame in it.
        UsageError: Another shape or dtype, or `count` is below 1.
    """
    if count is not None:
        _check(count)
    given: Sequence[npt.NDArray[np.uint8] | Image.Image]
    if isinstance(array, Image.Image):
        given = [array]
    elif isinstance(array, np.ndarray):
        if array.ndim not in (3, 4):
            raise UsageError(_shape_message(array))
        given = list(array[None] if array.ndim == 3 else array)
    elif isinstance(array, Iterable):
        given = list(array)
    else:
        raise UsageError(_shape_message(array))
    if not given:
        raise InputUnusable("video: there is no frame in it; give at least one", reason="too_short")
    indices = range(len(given)) if count is None else choose_indices(len(given), count)
    return Clip(tuple(_to_image(given[index]) for index in indices))


def _check(count: int) -> None:
    if count < 1:
        raise UsageError(f"count: {count} frames cannot be taken; ask for at least 1")


def _to_image(frame: npt.NDArray[np.uint8] | Image.Image) -> Image.Image:
    if isinstance(frame, Image.Image):
        return _to_rgb(frame)
    shape: tuple[int, ...] = getattr(frame, "shape", ())
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or frame.dtype != np.uint8:
        raise UsageError(_shape_message(frame))
    return Image.fromarray(np.ascontiguousarray(frame))


def _shape_message(given: object) -> str:
    shape = getattr(given, "shape", None)
    what = type(given).__name__ if shape is None else f"{given.dtype} {tuple(shape)}"  # type: ignore[attr-defined]
    return (
        f"video: got {what}; give RGB uint8 of shape (frames, height, width, 3) "
        "or (height, width, 3)"
    )


def _open_picture(path: Path) -> Image.Image | None:
    Image.init()
    try:
        return Image.open(path, formats=[name for name in _PICTURES if name in Image.OPEN])
    except UnidentifiedImageError:
        return None
    except _PICTURE_ERRORS as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputUnusable:
    return InputUnusable(
        f"{path}: the picture cannot be decoded ({error}); copy or save it again",
        reason="undecodable",
    )


def _read_picture(picture: Image.Image, path: Path, count: int) -> Clip:
    frames: list[Image.Image] = []
    incomplete = False
    try:
        for index in _choose_pictures(picture, count):
            picture.seek(index)
            frames.append(_to_rgb(ImageOps.exif_transpose(picture)))
    except _PICTURE_ERRORS as error:
        if not frames:
            raise _broken(path, error) from error
        incomplete = True
    return Clip(tuple(frames), incomplete)


def _choose_pictures(picture: Image.Image, count: int) -> list[int]:
    total = getattr(picture, "n_frames", 1) if picture.format in _ANIMATIONS else 1
    if total <= count:
        return list(range(total))
    ends: list[int] = []
    for index in range(total):
        picture.seek(index)
        picture.load()  # WebP tells the time of a frame once it is decoded
        ends.append((ends[-1] if ends else 0) + int(picture.info.get("duration") or _DEFAULT_MS))
    times = choose_times(0, ends[-1], count)
    # searchsorted: the first frame that ends after the time; dict: each once, in order.
    return list(dict.fromkeys(int(i) for i in np.searchsorted(ends, times, side="right")))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    return image.convert("RGB")
