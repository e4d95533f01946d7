"""Open a picture or an animation: which decoders, on what files, and within what limits."""

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
from trml_rt.inputs.limits import Budget

__all__ = ["ANIMATIONS", "PICTURE_ERRORS", "broken", "check_file", "open_picture"]

# Pillow also "opens" PostScript, by starting Ghostscript, and MPEG, without its frames.
_PICTURES = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# The pages of a TIFF and the views of a JPEG (MPO) do not follow each other in time.
ANIMATIONS = ("AVIF", "GIF", "PNG", "WEBP")
# Bytes that a pixel takes while it is decoded, turned and converted, by format. Pillow holds four
# a pixel, of each step a picture; animations hold the frame before, too.
_EACH = {"AVIF": 20, "GIF": 20, "JPEG2000": 24, "WEBP": 20}
_EACH_ELSE = 12
# A JPEG in several passes is held whole as coefficients, two bytes for each of three colours.
_COEFFICIENTS = 6
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


def check_file(path: Path, budget: Budget) -> None:
    """Refuse what is no file with content; neither Pillow nor FFmpeg would say why they cannot.

    Raises:
        InputUnusable: `path` is absent, empty, no regular file, too large, or may not be read.
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
    budget.check_file(status.st_size)


def open_picture(path: Path, budget: Budget) -> Image.Image | None:
    """Open a picture or animation; None for a file that is neither.

    Raises:
        InputUnusable: it is one and cannot be read, or costs too much.
    """
    Image.init()
    with path.open("rb") as file:
        start = file.read(32)
    _check_start(path, start, budget)
    # Not Image.open: it warns on stderr of pictures that are decoded small here.
    for opener, accepts in (Image.OPEN[name] for name in _PICTURES if name in Image.OPEN):
        try:
            if accepts is not None and not accepts(start[:16]):
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
        try:
            return _within_budget(picture, budget)
        except InputUnusable:
            picture.close()
            raise
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


def _check_start(path: Path, start: bytes, budget: Budget) -> None:
    """Refuse what would cost too much as soon as Pillow opens it."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        # Memory for all pixels is taken at once, before Pillow says how many there are.
        width, height = _webp_size(start)
        budget.check_pixels(width, height)
        budget.check_memory(width, height, _EACH["WEBP"])
    elif start[:4] == b"GIF8":
        # Pillow counts the frames by walking over each of them, slowly.
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _walk_gif(data, budget)


def _webp_size(start: bytes) -> tuple[int, int]:
    """Return width and height by the header of a WebP; nothing of one that is cut off."""
    kind, bits = start[12:16], int.from_bytes(start[21:25], "little")
    if kind == b"VP8X":
        sides = int.from_bytes(start[24:27], "little"), int.from_bytes(start[27:30], "little")
        return 1 + sides[0], 1 + sides[1]
    if kind == b"VP8L":
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    sides = int.from_bytes(start[26:28], "little"), int.from_bytes(start[28:30], "little")
    return sides[0] & 0x3FFF, sides[1] & 0x3FFF


def _walk_gif(data: mmap.mmap, budget: Budget) -> None:
    """Look at the frames of a GIF, from block to block."""
    frames, at = 0, 13
    try:
        at += _table_of(data[10])
        while data[at] != ord(";"):
            budget.check_time()
            if data[at] == ord(","):
                frames += 1
                budget.check_frames(frames)
                # Pillow makes the canvas larger for a frame that lies beyond it.
                left, top, width, height = struct.unpack_from("<4H", data, at + 1)
                budget.check_pixels(left + width, top + height)
                at += 11 + _table_of(data[at + 9])
            elif data[at] == ord("!"):
                at += 2
            else:  # what has no meaning is passed over
                at += 1
                continue
            while data[at]:
                at += 1 + data[at]
            at += 1
    except (IndexError, struct.error):
        return  # cut off; Pillow says so


def _table_of(flags: int) -> int:
    """Return the bytes of the table of colours that follows."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _within_budget(picture: Image.Image, budget: Budget) -> Image.Image:
    """Have a picture of too many pixels decoded small, or refuse it."""
    width, height = picture.size
    if picture.format in ("JPEG", "MPO"):
        budget.check_memory(width, height, _COEFFICIENTS)
        for scale in (1, 2, 4, 8):
            if (width // scale) * (height // scale) <= budget.limits.pixels:
                if scale > 1:
                    picture.draft(picture.mode, (width // scale, height // scale))
                break
    budget.check_pixels(*picture.size)
    budget.check_memory(*picture.size, _EACH.get(picture.format or "", _EACH_ELSE))
    if picture.format in ANIMATIONS and picture.format != "GIF":
        budget.check_frames(getattr(picture, "n_frames", 1))
    return picture


def broken(path: Path, error: Exception) -> InputUnusable:
    """Return the refusal of a damaged picture."""
    return InputUnusable(
        f"{path}: the picture cannot be decoded ({error}); copy or save it again",
        reason="undecodable",
    )
