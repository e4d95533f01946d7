"""Hash all that decides the numbers of a training run: the same key, the same numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch

from trml_export.config import Config
from trml_export.features.features import Features

__all__ = ["run_key"]

_VERSION = 4  # raise it when training draws or counts in another way


def run_key(
    config: Config,
    identity: str,
    features: dict[str, Features],
    more: Sequence[Any] = (),
    *,
    threads: int,
) -> str:
    """Return a hash of 32 hexadecimal digits.

    Args:
        config: every choice of method and optimiser.
        identity: names the data set and the backbone.
        features: by split; which inputs could be used counts, and what the encoders said of them.
        more: anything else that matters, as JSON values.
        threads: of PyTorch; sums come out differently with another number.
    """
    usable = {
        split: [
            [sample.id, sample.target, bool(text), int(frames)]
            for sample, text, frames in zip(
                part.samples, part.has_text, part.clip_lengths, strict=True
            )
        ]
        for split, part in features.items()
    }
    content = {split: part.digest for split, part in features.items()}
    facts = [
        _VERSION,
        config.model_dump(mode="json"),
        identity,
        usable,
        content,
        torch.__version__,
        threads,
        *more,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
