"""The weights of Pillow's resizing, for frames that Pillow cannot reach.

Pillow does not show its weights. The native library has the same ones, and the conformance files
hold all three to the same pixels.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends.shaping import Shaping, Weights
from trml_rt.inputs.image import Preprocessing, placement_of

__all__ = ["shaping_of"]

_FRACTION_BITS = 32 - 8 - 2
_REACH = {"bilinear": 1.0, "bicubic": 2.0}


@functools.lru_cache(maxsize=16)
def shaping_of(height: int, width: int, preprocessing: Preprocessing) -> Shaping:
    """Return how frames of a size become the pixels that `to_pixels` gives.

    Raises:
        InputUnusable: they are so narrow that resizing them would exhaust memory.
    """
    to = placement_of(height, width, preprocessing)
    across = _weigh(width, to.width, to.left, preprocessing.width, to.interpolation)
    down = _weigh(height, to.height, to.top, preprocessing.height, to.interpolation)
    return Shaping(across, down, to.down_first, to.fill)


def _weigh(size: int, target: int, offset: int, length: int, interpolation: str) -> Weights:
    """Return the weights of one direction.

    Args:
        size: of the frame, in pixels.
        target: what it is resized to.
        offset: where the result begins in that; negative pads.
        length: of the result.
        interpolation: "bicubic" or "bilinear", both antialiased.
    """
    scale = size / target
    widening = max(scale, 1.0)  # when shrinking, the kernel covers what vanishes
    reach = _REACH[interpolation] * widening
    places = range(max(offset, 0), min(target, offset + length))
    first, count = np.zeros((2, len(places)), np.int32)
    values = np.zeros((len(places), math.ceil(reach) * 2 + 1), np.int32)
    for i, place in enumerate(places):
        centre = (place + 0.5) * scale
        first[i] = max(int(centre - reach + 0.5), 0)
        count[i] = min(int(centre + reach + 0.5), size) - first[i]
        x = np.abs((np.arange(count[i]) + first[i] - centre + 0.5) * (1.0 / widening))
        kernel = _cubic(x) if interpolation == "bicubic" else np.maximum(1.0 - x, 0.0)
        total = kernel.cumsum()[-1]  # one after the other, as Pillow adds them
        share = 1.0 / total if total != 0 else 1.0
        weights = kernel * share * (1 << _FRACTION_BITS)
        values[i, : count[i]] = weights + np.copysign(0.5, weights)  # cut towards zero
    return Weights(first, count, values, max(-offset, 0), length)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic convolution kernel with a = -1/2 (Keys 1981), which is Pillow's, for x >= 0."""
    a = -0.5
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
