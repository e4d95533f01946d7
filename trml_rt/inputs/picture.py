"""Read pictures, animations and folders of frame pictures, through Pillow."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from trml_rt.errors import InputUnusable, lacks_resource
from trml_rt.inputs.clip import Clip, Shaped, choose_indices, choose_times
from trml_rt.inputs.limits import Budget, MediaLimits
from trml_rt.inputs.picture_file import (
    ANIMATIONS,
    PICTURE_ERRORS,
    broken,
    check_file,
    open_picture,
)

__all__ = [
    "frame_pictures",
    "pictures_in_turn",
    "read_folder",
    "read_frame_picture",
    "read_picture",
    "read_tiles",
    "some_pictures",
    "to_rgb",
]

# The endings of frame pictures in a folder; other files there are none of our business.
_ENDINGS = frozenset((".avif", ".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
# Animations that state no time for a frame are played at this pace by every browser.
_DEFAULT_MS = 100


def frame_pictures(folder: Path) -> list[Path]:
    """Return the frame pictures in `folder`, in natural order: f2.png before f10.png.

    Pictures are known by their endings. Hidden files, folders and all others are left out.

    Raises:
        OSError: the folder cannot be read.
    """
    pictures = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _ENDINGS and not path.name.startswith(".") and not path.is_dir()
    ]
    return sorted(pictures, key=lambda path: (_natural(path.stem), path.name))


def some_pictures(folder: Path) -> list[Path]:
    """Return the frame pictures in `folder`, of which there is one at least.

    Raises:
        InputUnusable: there is none, or the folder cannot be read.
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
    return pictures


def read_folder(
    folder: Path, count: int, shape: Callable[[Image.Image], Shaped], budget: Budget
) -> Clip[Shaped]:
    """Return at most `count` frame pictures of `folder`, chosen as untimed frames are.

    Each becomes what `shape` makes of it before the next is read.

    Raises:
        InputUnusable: there is no picture, or a chosen one cannot be decoded.
    """
    pictures = some_pictures(folder)
    frames: list[Shaped] = []
    incomplete = False
    for index in choose_indices(len(pictures), count):
        budget.check_time()
        clip = read_frame_picture(pictures[index], shape, budget.limits)
        frames += clip.frames
        incomplete |= clip.incomplete
    return Clip(tuple(frames), incomplete)


def read_frame_picture(
    path: Path, shape: Callable[[Image.Image], Shaped], limits: MediaLimits
) -> Clip[Shaped]:
    """Return a picture as a clip of one frame.

    Raises:
        InputUnusable: it is no picture, or cannot be decoded within the limits.
    """
    budget = Budget(path, limits)
    check_file(path, budget)
    picture = open_picture(path, budget)
    if picture is None:
        raise InputUnusable(
            f"{path}: is no picture; take it out of the frames", reason="undecodable"
        )
    with picture:
        return read_picture(picture, path, 1, shape, budget)


def _natural(stem: str) -> list[tuple[int, int, str]]:
    """Return a key by which numbers in names compare as numbers, and come before letters."""
    parts = re.findall("[0-9]+|[^0-9]+", stem.lower())
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts
    ]


def read_tiles(path: Path, budget: Budget) -> Image.Image:
    """Return the picture of a HEIC file in tiles, which FFmpeg does not put together.

    Raises:
        InputUnusable: pillow-heif is not installed, or cannot decode it.
    """
    try:
        heif: Any = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise InputUnusable(
            f"{path}: its picture is stored in tiles, which only pillow-heif reads; "
            "pip install pillow-heif, or save it as JPEG",
            reason="undecodable",
        ) from error
    try:
        picture = heif.open_heif(path)
        budget.check_pixels(*picture.size)
        return to_rgb(picture.to_pillow(), path)
    except InputUnusable:
        raise
    except PICTURE_ERRORS as error:
        if lacks_resource(error):
            raise
        raise broken(path, error) from error


def read_picture(
    picture: Image.Image,
    path: Path,
    count: int,
    shape: Callable[[Image.Image], Shaped],
    budget: Budget,
) -> Clip[Shaped]:
    """Return at most `count` upright frames of an opened picture or animation.

    Each becomes what `shape` makes of it before the next is decoded.

    Raises:
        InputUnusable: no frame can be decoded, or they cost too much.
    """
    frames: list[Shaped] = []
    incomplete = False
    try:
        for index in _choose_pictures(picture, count, budget):
            _go_to(picture, index, budget)
            frames.append(shape(to_rgb(ImageOps.exif_transpose(picture), path)))
    except InputUnusable:
        raise
    except PICTURE_ERRORS as error:
        if lacks_resource(error):
            raise
        if not frames:
            raise broken(path, error) from error
        incomplete = True
    return Clip(tuple(frames), incomplete)


def pictures_in_turn(
    picture: Image.Image, path: Path, budget: Budget
) -> Iterator[tuple[float, Image.Image]]:
    """Yield every upright frame of an opened picture or animation, with its time in seconds.

    Raises:
        InputUnusable: no frame can be decoded, or one costs too much.
    """
    ms = 0
    for index in range(_count(picture)):
        try:
            _go_to(picture, index, budget)
            frame = to_rgb(ImageOps.exif_transpose(picture), path)
        except InputUnusable:
            raise
        except PICTURE_ERRORS as error:
            if lacks_resource(error):
                raise
            if not index:
                raise broken(path, error) from error
            return
        yield ms / 1000, frame
        ms += int(picture.info.get("duration") or _DEFAULT_MS)


def _count(picture: Image.Image) -> int:
    """Return how many frames follow each other in time."""
    return getattr(picture, "n_frames", 1) if picture.format in ANIMATIONS else 1


def _choose_pictures(picture: Image.Image, count: int, budget: Budget) -> list[int]:
    total = _count(picture)
    if total <= count:
        return list(range(total))
    ends: list[int] = []
    for index in range(total):
        _go_to(picture, index, budget)
        picture.load()  # WebP tells the time of a frame once it is decoded
        ends.append((ends[-1] if ends else 0) + int(picture.info.get("duration") or _DEFAULT_MS))
    times = choose_times(0, ends[-1], count)
    # searchsorted: the first frame that ends after the time; dict: each once, in order.
    return list(dict.fromkeys(int(i) for i in np.searchsorted(ends, times, side="right")))


def _go_to(picture: Image.Image, index: int, budget: Budget) -> None:
    """Go to a frame, through those before it."""
    start = picture.tell() + 1 if picture.tell() < index else index
    for each in range(start, index + 1):
        budget.check_time()
        picture.seek(each)
        budget.check_pixels(*picture.size)  # a frame of a GIF may be larger than its canvas


def to_rgb(image: Image.Image, source: Path | str = "video") -> Image.Image:
    """Return the picture in RGB; transparency is dropped, and of 16 bits the upper 8 are taken.

    A refusal names `source`.

    Raises:
        InputUnusable: its values have no known range, as floats and 32-bit integers have none.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
            raise InputUnusable(
                f"{source}: the picture's values have no known range from black to white; "
                "save it with 8 or 16 bits a channel",
                reason="undecodable",
            )
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    return image.convert("RGB")
