"""Decide which modality a sample lacks, by a hash of its id and never by chance.

The hash gives a number in [0, 1). So masks are the same for every method, seed, machine and order
of the data. They are nested: what is missing at rate 0.2 is missing at 0.3 as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trml_export.features.features import Features

__all__ = ["CASES", "MissingCase", "incomplete", "presence"]

TEXT, VIDEO, BOTH = 1, 2, 3
"""The bits of `trml_rt.bundle.modality.Modality`."""


@dataclass(frozen=True)
class MissingCase:
    """One way to take modalities away from complete samples.

    With `kind` "random", `rate` is the share of all modalities of all samples that is missing, at
    most 0.5, because a sample keeps one. With `kind` "text" or "video", the victim, it is the
    share of samples that lose that modality.
    """

    kind: str
    rate: float

    @property
    def name(self) -> str:
        """The case in one word: "random_0.3", "text_missing_0.7"."""
        kind = self.kind if self.kind == "random" else f"{self.kind}_missing"
        return f"{kind}_{self.rate:.1f}"


RANDOM_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
VICTIM_RATES = (0.6, 0.7, 0.8, 0.9, 1.0)
CASES = (
    *(MissingCase("random", rate) for rate in RANDOM_RATES),
    *(MissingCase(victim, rate) for victim in ("video", "text") for rate in VICTIM_RATES),
)
"""The protocol: random missing up to 0.5, above it the victim form. `random_0.0` is both
modalities, `video_missing_1.0` text alone, `text_missing_1.0` video alone."""


def presence(ids: Sequence[str], case: MissingCase) -> NDArray[np.int8]:
    """Return which modalities each sample keeps, (samples,): 1 text, 2 video, 3 both."""
    if case.kind != "random":
        keeps = VIDEO if case.kind == "text" else TEXT
        return np.where(_numbers(ids, f"victim {case.kind}") < case.rate, keeps, BOTH).astype(
            np.int8
        )
    # Where 2 r of the samples lose one of two modalities, a share r of all modalities is missing.
    loses = _numbers(ids, "loses one") < 2 * case.rate
    keeps = np.where(_numbers(ids, "which one") < 0.5, TEXT, VIDEO)
    return np.where(loses, keeps, BOTH).astype(np.int8)


def incomplete(features: Features, completeness: float) -> Features:
    """Return `features` in which only a share `completeness` of the complete samples stays so.

    Each of the others loses one modality, either of them with equal chance.
    """
    ids = [sample.id for sample in features.samples]
    loses = (_numbers(ids, "training loses one") >= completeness) & (
        features.has_text & features.has_video
    )
    text_goes = loses & (_numbers(ids, "training which one") < 0.5)
    return replace(
        features,
        text_rows=np.where(text_goes, -1, features.text_rows),
        clip_lengths=np.where(loses & ~text_goes, 0, features.clip_lengths),
    )


def _numbers(ids: Sequence[str], purpose: str) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each id, another one for each purpose."""
    digests = (hashlib.sha256(f"{purpose}\0{each}".encode()).digest() for each in ids)
    return np.array([int.from_bytes(d[:7], "big") for d in digests], float) / 2**56
