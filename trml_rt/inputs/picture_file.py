"""Open a picture or an animation: which decoders, on what files, and of how many pixels."""

from __future__ import annotations

import io
import mmap
import os
import re
import stat
import struct
from pathlib import Path

from PIL import Image

from trml_rt.errors import InputUnusable, lacks_resource

__all__ = ["MAX_PIXELS", "PICTURE_ERRORS", "broken", "check_file", "open_picture", "too_large"]

# Pillow also "opens" PostScript, by starting Ghostscript, and MPEG, without its frames.
_PICTURES = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# What a picture or a frame may hold; larger photographs are decoded small where the format can.
# Pillow, too, finds more than this suspicious.
MAX_PIXELS = 89_478_485
# A marker of a JPEG: not one that stands alone, nor a byte of the picture that looks like one.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
_HEADER = 1 << 18  # bytes within which a JPEG of a camera states its size
# What Pillow raises on damaged files, by format.
PICTURE_ERRORS = (
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


def open_picture(path: Path) -> Image.Image | None:
    """Open a picture or animation; None for a file that is neither.

    Raises:
        InputUnusable: it is one and cannot be read.
    """
    Image.init()
    with path.open("rb") as file:
        start = file.read(16)
    # Not Image.open: it warns on stderr of pictures that are decoded small here.
    for opener, accepts in (Image.OPEN[name] for name in _PICTURES if name in Image.OPEN):
        try:
            if accepts is not None and not accepts(start):
                continue
            picture = opener(os.fspath(path), None)  # type: ignore[arg-type]
        except (IndexError, SyntaxError, TypeError, struct.error):
            continue  # not of this format
        except PICTURE_ERRORS as error:
            if lacks_resource(error):
                raise
            raise broken(path, error) from error
        if _is_video(picture, path):
            picture.close()
            return None
        return _within_budget(picture, path)
    return None


def _is_video(picture: Image.Image, path: Path) -> bool:
    """Say whether JPEG pictures of one size follow each other, as webcams write a video."""
    if picture.format != "JPEG" or "mp" in picture.info:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = _jpeg_end(data)
        if data[end : end + 3] != b"\xff\xd8\xff":
            return False
        # A phone may put a smaller picture behind a photograph: the gain map of its HDR.
        try:
            with Image.open(io.BytesIO(data[end : end + _HEADER]), formats=["JPEG"]) as second:
                return bool(second.size == picture.size)
        except PICTURE_ERRORS:
            return False


def _jpeg_end(data: mmap.mmap) -> int:
    """Return where the first JPEG picture in `data` ends."""
    place = 2
    while found := _MARKER.search(data, place):
        place = found.end()
        if found[1] == b"\xd9":  # end of image
            return int(place)
        place += int.from_bytes(data[place : place + 2], "big")  # a segment states its length
    return len(data)


def _within_budget(picture: Image.Image, path: Path) -> Image.Image:
    """Have a picture of too many pixels decoded small, or refuse it."""
    width, height = picture.size
    if width * height <= MAX_PIXELS:
        return picture
    for scale in (2, 4, 8) if picture.format in ("JPEG", "MPO") else ():
        if (width // scale) * (height // scale) <= MAX_PIXELS:
            picture.draft(picture.mode, (width // scale, height // scale))
            return picture
    picture.close()
    raise too_large(path, width, height)


def too_large(path: Path | str, width: int, height: int) -> InputUnusable:
    """Return the refusal of a picture or a video of more than `MAX_PIXELS` a frame."""
    return InputUnusable(
        f"{path}: its {width} x {height} pixels are too many to decode; "
        f"scale it down to {MAX_PIXELS // 1_000_000} million at most",
        reason="undecodable",
    )


def broken(path: Path, error: Exception) -> InputUnusable:
    """Return the refusal of a damaged picture."""
    return InputUnusable(
        f"{path}: the picture cannot be decoded ({error}); copy or save it again",
        reason="undecodable",
    )
