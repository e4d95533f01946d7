"""The pictures of pixels.json and answers.json, made by formula, the same in every language."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def picture(width: int, height: int, seed: int = 0, format: str = "rgb") -> NDArray[np.uint8]:
    """Return a picture with smooth and sharp parts; `seed` moves its colours.

    rgb and bgr: (height, width, 3); gray: the first channel; nv12: (height * 3 / 2, width).
    """
    y, x = np.mgrid[:height, :width].astype(np.int64)
    a = (x * 7 + y * 3 + seed * 31) % 256
    b = (x * y * 5 + seed * 17) % 256
    c = ((x // 3 + y // 4 + seed) % 2) * 255
    if format == "gray":
        return a.astype(np.uint8)
    if format == "nv12":
        uv = np.empty((height // 2, width), np.int64)
        uv[:, 0::2] = (x[::2, ::2] * 3 + y[::2, ::2] + seed) % 225 + 16
        uv[:, 1::2] = (x[::2, ::2] + y[::2, ::2] * 5 + seed) % 225 + 16
        return np.concatenate([a * 219 // 255 + 16, uv]).astype(np.uint8)
    rgb = np.stack([a, b, c], axis=2).astype(np.uint8)
    return rgb if format == "rgb" else np.ascontiguousarray(rgb[:, :, ::-1])


def nv12_to_rgb(planes: NDArray[np.uint8], matrix: str) -> NDArray[np.uint8]:
    """Convert limited-range NV12 by the definition in ITU-R BT.601 or BT.709."""
    height = planes.shape[0] * 2 // 3
    kr, kb = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    kg = 1 - kr - kb
    luma = (planes[:height].astype(np.float64) - 16) / 219
    chroma = planes[height:].astype(np.float64).repeat(2, axis=0)
    cb = (chroma[:, 0::2].repeat(2, axis=1) - 128) / 224
    cr = (chroma[:, 1::2].repeat(2, axis=1) - 128) / 224
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / kg
    rgb = np.stack([red, green, blue], axis=2)
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
