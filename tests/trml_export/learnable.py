"""Features from which a score can be learnt, and features from which it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trml_export.config import Config
from trml_export.data import Sample
from trml_export.features.features import Features

SIZE = 8


def learnable(count: int = 48, *, seed: int = 0, presence: str = "both") -> Features:
    """Return vectors of which the first coordinate gives the score, in both modalities."""
    generator = np.random.default_rng(seed)
    samples, texts, videos = [], [], []
    for index in range(count):
        score = float(generator.uniform(-2, 2))
        direction = np.full(SIZE, 0.5)
        direction[0] = score
        text = (direction + generator.normal(0, 0.05, SIZE)).astype(np.float32)
        length = 1 + index % 4
        clip = (direction + generator.normal(0, 0.05, (length, SIZE))).astype(np.float32)
        samples.append(Sample(str(index), "train", f"text {index}", None, score))
        texts.append(text if presence in ("both", "text") else None)
        videos.append(clip if presence in ("both", "video") else None)
    return Features.of(samples, texts, videos)


def unlearnable() -> Features:
    """Return samples whose scores have nothing to do with their vectors."""
    noise = learnable(seed=3)
    return replace(noise, samples=noise.samples[::-1])


SMALL = Config(frames=4, epochs=12, batch_size=16, learning_rate=1e-2, dropout=0.0)
