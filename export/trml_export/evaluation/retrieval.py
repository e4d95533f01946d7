"""Ask whether a virtual vector is nearest to the real one that it stands for.

Matching pulls each virtual vector towards its own counterpart, so among all candidates of the
test split that one should rank high. Where pairs are independent given the class, no method can
find the very counterpart. There the share of first candidates with the right class tells more.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["retrieval"]


def retrieval(
    virtual: NDArray[np.floating],
    real: NDArray[np.floating],
    identity: Sequence[Hashable],
    target: NDArray[np.generic],
) -> dict[str, float]:
    """Return how well cosine finds the real counterpart of each virtual vector.

    Args:
        virtual: (rows, d).
        real: (rows, d), the counterparts in the same order.
        identity: names each counterpart; counterparts of one name are one candidate.
        target: (rows,) scores or classes.

    Returns:
        `candidates` is their number. `recall_1` and `recall_5` are the shares of rows whose
        counterpart is among the first 1 and 5. `commonest_1` and `commonest_5` are what naming
        the commonest candidates would reach, the most that a constant vector can do.
        `same_target_1` is the share of rows whose first candidate belongs to a sample of the
        same class, or of a score within 0.5. `same_target_chance` is that share among all
        candidates. A candidate of several samples has the target of the first. Equal cosines
        count against the model. Without rows the result is empty.
    """
    if len(virtual) == 0:
        return {}
    numbers: dict[Hashable, int] = {}
    candidate = np.array([numbers.setdefault(each, len(numbers)) for each in identity])
    first = np.unique(candidate, return_index=True)[1]  # of each candidate, in order of its number
    similarity = _unit(virtual) @ _unit(real[first]).T  # (rows, candidates)
    counterpart = similarity[np.arange(len(candidate)), candidate][:, None]
    rank = (similarity >= counterpart - _TIE).sum(axis=1) - 1  # how many others are as near
    common = np.sort(np.bincount(candidate))[::-1]
    alike = np.abs(target[first].astype(float) - target[:, None]) <= _SAME_SCORE
    nearest = similarity.argmax(axis=1)
    return {
        "candidates": len(first),
        **{f"recall_{k}": float((rank < k).mean()) for k in (1, 5)},
        **{f"commonest_{k}": float(common[:k].sum() / len(candidate)) for k in (1, 5)},
        "same_target_1": float(alike[np.arange(len(candidate)), nearest].mean()),
        "same_target_chance": float(alike.mean()),
    }


_TIE = 1e-6
_SAME_SCORE = 0.5  # classes are whole numbers, so this means the same class


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)
