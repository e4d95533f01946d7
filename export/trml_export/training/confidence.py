"""Learn on valid how sure a trained model may be in each presence case.

The logits of a case are divided by one number, its softness (the temperature of Guo et al. 2017).
It moves no label, and makes a probability mean the share of right answers. Scores have no
probability; of them the reach is learned, the distance within which most true scores lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from trml_export.features.features import Features
from trml_export.method.model import TRML
from trml_export.training.batches import batches

__all__ = ["COVERED", "learn_confidence", "reach_of", "softness_of"]

COVERED = 0.9
"""The share of true scores that lie within the reach."""

_BATCH = 256
_FARTHEST = 3.0  # of the logarithm of a softness: a factor of 20


@torch.no_grad()
def learn_confidence(model: TRML, valid: Features) -> None:
    """Set the softness (classes) or the reach (scores) of each presence case of `model`.

    A case without rows in `valid` keeps what it has. Nothing happens unless `learn_confidence` is
    set.
    """
    model.eval()
    for learned, learn in ((model.softness, softness_of), (model.reach, reach_of)):
        if learned is not None:
            for place, (answers, targets) in enumerate(_of_cases(model, valid)):
                if len(targets):
                    learned[place] = learn(answers, targets)


def softness_of(logits: Tensor, targets: Tensor) -> float:
    """Return what to divide `logits` (rows, classes) by, so that `targets` (rows,) are likeliest.

    The square of its logarithm counts as much as one row. So a case that is never wrong on valid
    does not become certain.
    """

    def cost(logarithm: float) -> float:
        loss = functional.cross_entropy(logits / math.exp(logarithm), targets, reduction="sum")
        return float(loss) + logarithm**2

    found = minimize_scalar(cost, bounds=(-_FARTHEST, _FARTHEST), method="bounded")
    return math.exp(float(found.x))


def reach_of(scores: Tensor, targets: Tensor) -> float:
    """Return how far true scores lie from `scores` (rows, 1) at most, by the `targets` (rows,).

    It is the error of rank ceil(0.9 (rows + 1)) of the sorted errors (split conformal prediction,
    Vovk et al. 2005), and infinite where there are fewer than 9 rows.
    """
    errors = (scores.squeeze(1) - targets).abs().sort().values
    rank = math.ceil(COVERED * (len(errors) + 1))
    return float(errors[rank - 1]) if rank <= len(errors) else math.inf


def _of_cases(model: TRML, features: Features) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield answers and targets of text alone, of video alone and of both, of rows that have them.

    The answers are those of training, which no softness divides.
    """
    parts: list[list[tuple[Tensor, Tensor]]] = [[], [], []]
    order = np.arange(len(features.samples))
    for batch in batches(features, order, _BATCH, model.config):
        views = model(batch.text, batch.has_text, batch.frames, batch.mask)
        for part, rows, answers in (
            (parts[0], views.text_rows, views.from_text),
            (parts[1], views.video_rows, views.from_video),
            (parts[2], views.both_rows, views.from_both),
        ):
            part.append((answers, batch.target[rows]))
    for part in parts:
        answers, targets = zip(*part, strict=True)
        yield torch.cat(answers), torch.cat(targets)
