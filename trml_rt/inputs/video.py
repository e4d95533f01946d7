"""Take a few frames, evenly spaced in time, from whatever the caller calls a video.

A video file, an animation, a picture, an array and a list of pictures all become a `Clip`:
at most `count` upright RGB pictures of full size. `clip` has the rule that chooses them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from trml_rt.errors import InputUnusable, UsageError, blames_machine
from trml_rt.inputs.clip import Clip, choose_indices
from trml_rt.inputs.picture import read_folder, read_picture, to_rgb
from trml_rt.inputs.picture_file import check_file, open_picture

__all__ = ["frames_from_array", "read_frames"]


def read_frames(path: str | os.PathLike[str], count: int) -> Clip:
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

    Raises:
        InputUnusable: `path` is absent, not a video or picture, or has no frame.
        EnvironmentUnfit: the machine lacks memory, threads or open files to read it.
        UsageError: `count` is below 1.
    """
    _check(count)
    with blames_machine(path):
        return _read(Path(path), count)


def _read(path: Path, count: int) -> Clip:
    try:
        is_folder = path.is_dir()
    except OSError:
        is_folder = False  # `check_file` says why it cannot be looked at
    if is_folder:
        return read_folder(path, count)
    check_file(path)
    picture = open_picture(path)
    if picture is not None:
        with picture:
            return read_picture(picture, path, count)

    from trml_rt.inputs.video_file import read_video

    frames, incomplete = read_video(path, count)
    return Clip(tuple(frames), incomplete)


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
    frames: Sequence[npt.NDArray[np.uint8] | Image.Image]
    if isinstance(array, Image.Image):
        frames = [array]
    elif isinstance(array, np.ndarray):
        if array.ndim not in (3, 4):
            raise UsageError(_shape_message(array))
        frames = list(array[None] if array.ndim == 3 else array)
    elif isinstance(array, Iterable):
        frames = list(array)
    else:
        raise UsageError(_shape_message(array))
    if not frames:
        raise InputUnusable("video: there is no frame in it; give at least one", reason="too_short")
    indices = range(len(frames)) if count is None else choose_indices(len(frames), count)
    return Clip(tuple(_to_image(frames[index]) for index in indices))


def _check(count: int) -> None:
    if count < 1:
        raise UsageError(f"count: {count} frames cannot be taken; ask for at least 1")


def _to_image(frame: npt.NDArray[np.uint8] | Image.Image) -> Image.Image:
    if isinstance(frame, Image.Image):
        return to_rgb(frame)
    shape: tuple[int, ...] = getattr(frame, "shape", ())
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or frame.dtype != np.uint8:
        raise UsageError(_shape_message(frame))
    return Image.fromarray(np.ascontiguousarray(frame))


def _shape_message(frames: object) -> str:
    shape = getattr(frames, "shape", None)
    what = type(frames).__name__ if shape is None else f"{frames.dtype} {tuple(shape)}"  # type: ignore[attr-defined]
    return (
        f"video: got {what}; give RGB uint8 of shape (frames, height, width, 3) "
        "or (height, width, 3)"
    )
