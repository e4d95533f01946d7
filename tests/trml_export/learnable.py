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


UNALIGNED_SIZE = 64
UNALIGNED = Config(
    task="classification",
    frames=1,
    epochs=15,
    patience=5,
    learning_rate=8e-3,
    head_width=16,
    matching_loss="label_infonce",
    matching_weight=1.0,
    task_teaches_generators=False,
)
"""The recipe of the model that ships, but for its size and its rate of learning."""


def unaligned(count: int, *, seed: int) -> Features:
    """Return pairs of three classes whose two modalities lie in a space of their own each.

    As with encoders that were never aligned, all vectors of a modality point roughly one way, and
    the class is a small part of each. Most samples are of class 2.
    """
    world = np.random.default_rng(7)
    of_class = world.normal(0, 0.2, (2, 3, UNALIGNED_SIZE))
    centre = world.normal(0, 2, (2, UNALIGNED_SIZE))
    generator = np.random.default_rng(seed)
    samples, texts, videos = [], [], []
    for index in range(count):
        label = int(generator.choice(3, p=(0.3, 0.1, 0.6)))
        samples.append(Sample(str(index), "train", f"text {index}", None, label))
        vectors = centre + of_class[:, label] + generator.normal(0, 1, (2, UNALIGNED_SIZE))
        texts.append(vectors[0].astype(np.float32))
        videos.append(vectors[1:].astype(np.float32))
    return Features.of(samples, texts, videos)


SMALL = Config(frames=4, epochs=12, batch_size=16, learning_rate=1e-2, dropout=0.0)
