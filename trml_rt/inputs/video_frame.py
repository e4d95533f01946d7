"""Turn a decoded frame into a picture: RGB, upright, with square pixels.

PyAV is heavy: import this module in the function that needs it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from typing import cast

from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

__all__ = ["upright"]

# A pixel shape outside 1:4 to 4:1 is a damaged header, not a lens.
_MAX_ASPECT = 4
# How a frame is turned for each sign pattern (a, b, c, d) of a display matrix, which shows
# the stored point (x, y) at (ax + cy, bx + dy), y pointing down.
_TURNS = {
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,  # Pillow counts against the clock
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


def upright(frame: VideoFrame, aspect: Fraction | None, scaler: VideoReformatter) -> Image.Image:
    """Convert `frame` to RGB with square pixels, turned the way its display matrix says.

    swscale converts with the frame's own colour space and range (BT.601 where it names none).
    Pixels that are not square (`aspect`, width to height) have the width scaled.
    """
    width = frame.width
    if aspect and 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        width = max(1, round(width * aspect))
    rgb = scaler.reformat(frame, width=width, height=frame.height, format="rgb24")
    image = Image.fromarray(rgb.to_ndarray())
    turn = _TURNS.get(_display_signs(frame))
    return image if turn is None else image.transpose(turn)


def _display_signs(frame: VideoFrame) -> tuple[int, int, int, int]:
    # Not frame.rotation: it takes a mirrored picture for a turned one.
    matrix = cast("Mapping[str, Buffer]", _side_data(frame)).get("DISPLAYMATRIX")
    if matrix is None:
        return (1, 0, 0, 1)
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    # A slanted matrix is taken as the nearest quarter turn.
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (1 if a > 0 else -1, 0, 0, 1 if d > 0 else -1)
    return (0, 1 if b > 0 else -1, 1 if c > 0 else -1, 0)


def _side_data(frame: VideoFrame) -> SideDataContainer:
    """Return the side data of `frame`, as far as PyAV has names for it.

    Not frame.side_data: frame and side data then hold each other, and decoder threads with them.
    """
    found = SideDataContainer.__new__(SideDataContainer)
    # PyAV stops at the first kind without a name. FFmpeg puts the display matrix before those.
    with suppress(ValueError):
        found.__init__(frame)  # type: ignore[misc]
    return found
