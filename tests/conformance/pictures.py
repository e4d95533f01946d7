"""The pictures of pixels.json and answers.json, made by formula, the same in every language."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def picture(width: int, height: int, seed: int = 0, format: str = "rgb") -> NDArray[np.uint8]:
    """Return a picture with smooth and sharp parts; `seed` moves its colours.

    rgb, bgr: (height, width, 3); rgba, bgra: (height, width, 4); gray: the first channel.
    """
    y, x = np.mgrid[:height, :width].astype(np.int64)
    a = (x * 7 + y * 3 + seed * 31) % 256
    if format == "gray":
        return a.astype(np.uint8)
    b = (x * y * 5 + seed * 17) % 256
    c = ((x // 3 + y // 4 + seed) % 2) * 255
    alpha = [x * 11 % 256] if format in ("rgba", "bgra") else []
    channels = [a, b, c] if format in ("rgb", "rgba") else [c, b, a]
    return np.stack([*channels, *alpha], axis=2).astype(np.uint8)


Planes = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def nv12_picture(width: int, height: int, seed: int = 0) -> Planes:
    """Return Y, (height, width), and U and V at half size, rounded up: (rows, columns, 2)."""
    luma = picture(width, height, seed, "gray").astype(np.int64) * 219 // 255 + 16
    y, x = np.mgrid[0:height:2, 0:width:2].astype(np.int64)
    chroma = [(x * 3 + y + seed) % 225 + 16, (x + y * 5 + seed) % 225 + 16]
    return luma.astype(np.uint8), np.stack(chroma, axis=2).astype(np.uint8)


def nv12_to_rgb(planes: Planes, matrix: str) -> NDArray[np.uint8]:
    """Convert limited-range NV12 as docs/embedding-c.md says, in integers alone.

    U and V lie between two rows, and on every second column. Weights have 20 bits of fraction.
    """
    luma, chroma = planes
    height, width = luma.shape
    kr, kb = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    kg = 1 - kr - kb
    red, blue = 2 * (1 - kr), 2 * (1 - kb)
    # What a level of Y, and an eighth of a level of U and V, are to red, green and blue.
    of_luma = round(255 / 219 * 2**20)
    of_u, of_v = (
        np.array([round(weight * 255 / 224 / 8 * 2**20) for weight in weights])
        for weights in ((0, -blue * kb / kg, blue), (red, -red * kr / kg, 0))
    )
    edged = np.pad(chroma.astype(np.int64) - 128, ((1, 1), (0, 1), (0, 0)), mode="edge")
    inner = edged[1:-1]
    rows = np.stack([3 * inner + edged[:-2], 3 * inner + edged[2:]], axis=1)
    rows = rows.reshape(-1, *edged.shape[1:])[:height]  # in quarters
    left, right = rows[:, :-1], rows[:, 1:]
    eighths = np.stack([2 * left, left + right], axis=2).reshape(height, -1, 2)[:, :width]
    levels = (luma.astype(np.int64) - 16)[..., None] * of_luma
    levels = levels + eighths[..., :1] * of_u + eighths[..., 1:] * of_v
    return np.clip((levels + 2**19) >> 20, 0, 255).astype(np.uint8)
