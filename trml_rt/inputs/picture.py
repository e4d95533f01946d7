"""Read pictures, animations and folders of frame pictures, through Pillow."""

from __future__ import annotations

import re
import stat
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from trml_rt.errors import InputUnusable, lacks_resource
from trml_rt.inputs.clip import Clip, choose_indices, choose_times

__all__ = ["check_file", "frame_pictures", "open_picture", "read_folder", "read_picture", "to_rgb"]

# The endings of frame pictures in a folder; other files there are none of our business.
_ENDINGS = frozenset((".avif", ".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
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


def check_file(path: Path) -> None:
    """Refuse what is no file with content; neither Pillow nor FFmpeg would say why they cannot.

    Raises:
        InputUnusable: `path` is absent, empty, no regular file, or may not be read.
    """
    try:
        status = path.stat()
        problem = None
        if not stat.S_ISREG(status.st_mode):
            problem = "is not a regular file; name a video or picture"
        elif status.st_size == 0:
            problem = "the file is empty; record or copy the clip again"
        else:
            path.open("rb").close()
    except OSError as error:
        if lacks_resource(error):
            raise
        problem = f"cannot be read ({error.strerror})"
    except ValueError:
        raise InputUnusable(
            f"{str(path)!r}: is no path, it holds a zero byte; name a file", reason="undecodable"
        ) from None
    if problem is not None:
        raise InputUnusable(f"{path}: {problem}", reason="undecodable")


def frame_pictures(folder: Path) -> list[Path]:
    """Return the frame pictures in `folder`, in natural order: f2.png before f10.png.

    Pictures are known by their endings. Hidden files and all others are left out.

    Raises:
        OSError: the folder cannot be read.
    """
    pictures = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _ENDINGS and not path.name.startswith(".")
    ]
    return sorted(pictures, key=lambda path: (_natural(path.stem), path.name))


def read_folder(folder: Path, count: int) -> Clip:
    """Return at most `count` frame pictures of `folder`, chosen as untimed frames are.

    Raises:
        InputUnusable: there is no picture, or a chosen one cannot be decoded.
    """
    try:
        pictures = frame_pictures(folder)
    except OSError as error:
        if lacks_resource(error):
            raise
        raise InputUnusable(
            f"{folder}: cannot be read ({error.strerror})", reason="undecodable"
        ) from None
    if not pictures:
        raise InputUnusable(
            f"{folder}: no picture in this folder; name a video, a picture, or a folder of frame "
            "pictures",
            reason="too_short",
        )
    frames: list[Image.Image] = []
    incomplete = False
    for index in choose_indices(len(pictures), count):
        check_file(pictures[index])
        picture = open_picture(pictures[index])
        if picture is None:
            raise InputUnusable(
                f"{pictures[index]}: is no picture; take it out of the folder",
                reason="undecodable",
            )
        with picture:
            clip = read_picture(picture, pictures[index], 1)
        frames += clip.frames
        incomplete |= clip.incomplete
    return Clip(tuple(frames), incomplete)


def _natural(stem: str) -> list[tuple[int, int, str]]:
    """Return a key by which numbers in names compare as numbers, and come before letters."""
    parts = re.findall("[0-9]+|[^0-9]+", stem.lower())
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts
    ]


def open_picture(path: Path) -> Image.Image | None:
    """Open a picture or animation; None for a file that is neither.

    Raises:
        InputUnusable: it is one and cannot be read.
    """
    Image.init()
    try:
        return Image.open(path, formats=[name for name in _PICTURES if name in Image.OPEN])
    except UnidentifiedImageError:
        return None
    except _PICTURE_ERRORS as error:
        if lacks_resource(error):
            raise
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputUnusable:
    return InputUnusable(
        f"{path}: the picture cannot be decoded ({error}); copy or save it again",
        reason="undecodable",
    )


def read_picture(picture: Image.Image, path: Path, count: int) -> Clip:
    """Return at most `count` upright frames of an opened picture or animation.

    Raises:
        InputUnusable: no frame can be decoded.
    """
    frames: list[Image.Image] = []
    incomplete = False
    try:
        for index in _choose_pictures(picture, count):
            picture.seek(index)
            frames.append(to_rgb(ImageOps.exif_transpose(picture)))
    except _PICTURE_ERRORS as error:
        if lacks_resource(error):
            raise
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


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture in RGB; transparency is dropped."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    return image.convert("RGB")
