"""Cut features into the padded batches that the model takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trml_export.config import Config
from trml_export.features.features import Features

__all__ = ["Batch", "batches", "collate"]


class Batch(NamedTuple):
    """Some samples as tensors; zeros stand where a sample has nothing.

    Attributes:
        text: (batch, d).
        has_text: (batch,).
        frames: (batch, n, d).
        mask: (batch, n), True up to each clip's length.
        target: (batch,) scores or class numbers.
        groups: (batch, 2) numbers of the text and of the clip, the same for equal content.
    """

    text: Tensor
    has_text: Tensor
    frames: Tensor
    mask: Tensor
    target: Tensor
    groups: Tensor


def collate(features: Features, rows: npt.NDArray[np.int64], config: Config) -> Batch:
    """Return the samples `rows` as one batch, clips packed to the front.

    n is the length of the longest clip among them, at least 1. A place that is padding in every
    row would cost a step of the recurrence and change nothing.
    """
    text_rows = features.text_rows[rows]
    lengths = features.clip_lengths[rows, np.newaxis]
    has_text = text_rows >= 0
    text = np.zeros((len(rows), features.size), np.float32)
    text[has_text] = features.vectors[text_rows[has_text]]
    place = np.arange(max(1, lengths.max()))
    mask = place < lengths  # (batch, n)
    frames = np.zeros((*mask.shape, features.size), np.float32)
    frames[mask] = features.vectors[(features.clip_starts[rows, np.newaxis] + place)[mask]]
    kind = torch.float32 if config.task == "regression" else torch.int64
    return Batch(
        torch.from_numpy(text),
        torch.from_numpy(has_text),
        torch.from_numpy(frames),
        torch.from_numpy(mask),
        torch.tensor([features.samples[row].target for row in rows], dtype=kind),
        torch.from_numpy(features.groups[rows]),
    )


def batches(
    features: Features, order: npt.NDArray[np.int64], count: int, config: Config
) -> Iterator[Batch]:
    """Yield the samples `order` in batches of `count`, the last one with what is left.

    They lie where PyTorch makes its tensors, see `trml_export.device.tensors_on`.
    """
    device = torch.get_default_device()
    for start in range(0, len(order), count):
        batch = collate(features, order[start : start + count], config)
        yield Batch(*(tensor.to(device) for tensor in batch))
