"""Turn a picture into the pixels that an image encoder was trained on.

The steps are those of open_clip's evaluation transform with Pillow: resize, crop or pad about
the centre, RGB. They are repeated here because the runtime has no torch; a test holds the two
equal to the last bit. Scaling to floats and normalising are in the network's graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from trml_rt.errors import InputUnusable, UsageError

__all__ = ["Placement", "Preprocessing", "placement_of", "to_pixels"]

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
# An extreme picture (1 x 30000) would be resized to more pixels than memory holds.
_MAX_PIXELS = 1 << 26


@dataclass(frozen=True)
class Preprocessing:
    """How an image encoder wants its pictures; the bundle's manifest records it.

    Attributes:
        height: Of the result, in pixels.
        width: Of the result, in pixels.
        resize: "shortest" fills the result and crops the rest, "longest" shows all of the
            picture and pads with `fill`, "squash" ignores the aspect ratio.
        interpolation: "bicubic" or "bilinear", both antialiased.
        fill: Grey level of the padding for "longest".
    """

    height: int
    width: int
    resize: str = "shortest"
    interpolation: str = "bicubic"
    fill: int = 0

    def __post_init__(self) -> None:
        problems = [
            f"{name}: {value!r} is not one of {', '.join(allowed)}"
            for name, value, allowed in (
                ("resize", self.resize, _SIZES),
                ("interpolation", self.interpolation, _FILTERS),
            )
            if value not in allowed
        ]
        if self.height < 1 or self.width < 1:
            problems.append(f"height and width: {self.height} x {self.width} holds no pixel")
        if not 0 <= self.fill <= 255:
            problems.append(f"fill: {self.fill} is not a level from 0 to 255")
        if problems:
            raise UsageError("preprocessing: " + "; ".join(problems))


def to_pixels(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Return `image` as RGB pixels, (height, width, 3), uint8, C-contiguous, owned by the caller.

    Resizing comes before the conversion to RGB, as in open_clip, so a picture in another mode
    (palette, transparency) gives what the encoder was trained on.

    Raises:
        InputUnusable: The picture is so narrow that resizing it would exhaust memory.
    """
    to = placement_of(image.height, image.width, preprocessing)
    width, resampling = to.width, _FILTERS[to.interpolation]
    if image.mode == "RGB" and width > preprocessing.width and not to.down_first:
        # Pillow resizes rows, then columns. Between the two, the columns can go that nobody keeps.
        image = image.resize((width, image.height), resampling)
        image = _centre(image, image.height, preprocessing.width, 0)
        width = preprocessing.width
    if (image.width, image.height) != (width, to.height):
        image = image.resize((width, to.height), resampling)
    image = _centre(image, preprocessing.height, preprocessing.width, to.fill)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours; straight to RGB, Pillow warns
    return np.array(image.convert("RGB"))


@dataclass(frozen=True)
class Placement:
    """How a picture of some size is resized and cropped.

    Attributes:
        height: That it is resized to.
        width: That it is resized to.
        top: Where the result begins in that; negative is padding.
        left: As `top`.
        interpolation: "bicubic" or "bilinear".
        fill: Grey level of the padding.
        down_first: Whether Pillow resizes columns before rows.
    """

    height: int
    width: int
    top: int
    left: int
    interpolation: str
    fill: int
    down_first: bool


def placement_of(height: int, width: int, preprocessing: Preprocessing) -> Placement:
    """Return what `to_pixels` does with a picture of a size.

    Raises:
        InputUnusable: It is so narrow that resizing it would exhaust memory.
    """
    rows, columns = _SIZES[preprocessing.resize](height, width, preprocessing)
    if rows * columns > _MAX_PIXELS:
        raise InputUnusable(
            f"picture of {width} x {height}: too narrow to resize to {columns} x {rows}; crop it",
            reason="undecodable",
        )
    return Placement(
        height=rows,
        width=columns,
        top=_offset(rows, preprocessing.height),
        left=_offset(columns, preprocessing.width),
        interpolation=_interpolation(preprocessing),
        fill=preprocessing.fill if preprocessing.resize == "longest" else 0,
        # Since 13, where the height loses more than twice as many pixels as the width. The results
        # differ by one step in places, as they are rounded in between.
        down_first=rows < height and height - rows > 2 * (width - columns),
    )


# Each way of resizing: the (height, width) that a picture gets before cropping or padding.


def _shortest(height: int, width: int, to: Preprocessing) -> tuple[int, int]:
    if to.height != to.width:
        ratio = min(height / to.height, width / to.width)
        return round(height / ratio), round(width / ratio)
    # torchvision cuts the longer side where timm rounds it: a pixel either way.
    if width <= height:
        return int(to.height * height / width), to.width
    return to.height, int(to.width * width / height)


def _longest(height: int, width: int, to: Preprocessing) -> tuple[int, int]:
    ratio = max(height / to.height, width / to.width)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _squash(height: int, width: int, to: Preprocessing) -> tuple[int, int]:
    del height, width
    return to.height, to.width


_SIZES: dict[str, Callable[[int, int, Preprocessing], tuple[int, int]]] = {
    "shortest": _shortest,
    "longest": _longest,
    "squash": _squash,
}


def _interpolation(preprocessing: Preprocessing) -> str:
    # open_clip leaves the setting out on this one path, and its weights are trained that way.
    if preprocessing.resize == "shortest" and preprocessing.height != preprocessing.width:
        return "bicubic"
    return preprocessing.interpolation


def _centre(image: Image.Image, height: int, width: int, fill: int) -> Image.Image:
    """Crop or pad `image` about its centre; an odd pixel goes the way torchvision sends it."""
    left = _offset(image.width, width)
    top = _offset(image.height, height)
    if fill == 0:
        return image.crop((left, top, left + width, top + height))  # outside is zero
    canvas = Image.new("RGB", (width, height), (fill, fill, fill))
    canvas.paste(image.convert("RGB"), (-left, -top))
    return canvas


def _offset(size: int, target: int) -> int:
    """Return where the result begins in the picture; negative is padding."""
    if target > size:
        return -((target - size) // 2)
    return round((size - target) / 2)
