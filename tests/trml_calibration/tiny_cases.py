"""Inputs of the tiny bundle for checks and verification."""

from __future__ import annotations

import numpy as np

from trml_rt.proof.compare import Case


def cases(count=8):
    """Rows with both inputs, no two alike."""
    make = np.random.default_rng(7)
    return [
        Case(
            {
                "ids": make.integers(2, 12, (1, 6)).astype(np.int32),
                "frames": make.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8),
                "frame_mask": np.array([[True, True, False, False]]),
            }
        )
        for _ in range(count)
    ]
