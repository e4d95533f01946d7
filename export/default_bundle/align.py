"""Project both towers into one L2-normalised space in which sentiment lies alike.

It works on cached pooled vectors, so it takes about a minute. There are five losses:

    score     one readout of the score, shared by both modalities
    match     a contrastive loss across modalities, its targets soft in the difference of scores
    content   the similarities of the pooled vectors stay as they were
    pairs     natural pairs: an emoji with its words, and with the comments that used it
    gap       the modalities' mean vectors of each sign lie together
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trml_rt.progress import counted

_log = logging.getLogger(__name__)

TAU = 0.1
SEED = 7
WEIGHTS = {"score": 4.0, "match": 1.0, "content": 1.0, "pairs": 0.2, "gap": 2.0}


@dataclass(frozen=True)
class Side:
    """Pooled vectors (n, width), scores (n,) and split names (n,) of one modality."""

    pooled: torch.Tensor
    score: torch.Tensor
    split: np.ndarray

    def rows(self, split: str) -> np.ndarray:
        """Return the indices of one split."""
        return np.flatnonzero(self.split == split)


class Aligned(nn.Module):
    """The two projections, plus the shared readout that only training needs."""

    def __init__(self, text_width: int, image_width: int, dim: int) -> None:
        super().__init__()
        self.text = nn.Linear(text_width, dim, bias=False)
        self.image = nn.Linear(image_width, dim, bias=False)
        self.readout = nn.Linear(dim, 1)

    def project(self, which: str, pooled: torch.Tensor) -> torch.Tensor:
        """Return unit vectors (n, dim) in the shared space; `which` is text or image."""
        return functional.normalize(getattr(self, which)(pooled), dim=-1)

    def score(self, vector: torch.Tensor) -> torch.Tensor:
        """Return the shared readout (n,)."""
        return self.readout(vector)[:, 0]


def _start(pooled: torch.Tensor, dim: int) -> torch.Tensor:
    """Return unwhitened PCA directions (dim, width) as the projection to start from."""
    centred = pooled[:8192] - pooled[:8192].mean(0)
    _, spread, axes = torch.linalg.svd(centred, full_matrices=False)
    return axes[:dim] / (spread[:dim].square().sum() / len(centred)).sqrt()


def _match(one, other, score_one, score_other) -> torch.Tensor:
    """Cross-entropy to soft targets: the nearer two scores, the nearer the vectors."""
    target = torch.exp(-((score_one[:, None] - score_other) ** 2) / (2 * 0.15**2)) + 1e-6
    logits = one @ other.T / TAU
    rows = functional.cross_entropy(logits, target / target.sum(1, keepdim=True))
    return (rows + functional.cross_entropy(logits.T, (target / target.sum(0)).T)) / 2


def _content(vector: torch.Tensor, pooled: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Keep the angles between the centred pooled vectors."""
    reference = functional.normalize(pooled - mean, dim=-1)
    centred = functional.normalize(vector - vector.mean(0).detach(), dim=-1)
    return functional.mse_loss(centred @ centred.T, reference @ reference.T)


def _gap(one, other, score_one, score_other) -> torch.Tensor:
    """Pull the modalities' mean vectors of each sign together."""
    signs = [[s > 0.125, s < -0.125, s.abs() <= 0.125] for s in (score_one, score_other)]
    means = [
        (one[a].mean(0) - other[b].mean(0)).square().sum()
        for a, b in zip(*signs, strict=True)
        if a.any() and b.any()
    ]
    return torch.stack(means).mean()


def _pairs(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    logits, own = one @ other.T / TAU, torch.arange(len(one))
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def spread(vector: torch.Tensor) -> float:
    """Return the effective number of dimensions: (sum of variances)^2 / sum of squares."""
    values = torch.linalg.eigvalsh(torch.cov(vector.T)).clamp(min=0)
    return float(values.sum() ** 2 / values.square().sum())


def train(
    text: Side,
    image: Side,
    natural: tuple[torch.Tensor, torch.Tensor],
    dim: int,
    steps: int = 1500,
    batch: int = 256,
) -> Aligned:
    """Return the projections; `natural` holds pooled (text, image) rows that belong together."""
    torch.manual_seed(SEED)
    draw = np.random.default_rng(SEED)
    model = Aligned(text.pooled.shape[1], image.pooled.shape[1], dim)
    means = {}
    for which, side in (("text", text), ("image", image)):
        pooled = side.pooled[torch.from_numpy(side.rows("train"))]
        means[which] = pooled.mean(0)
        getattr(model, which).weight.data.copy_(_start(pooled, dim))
    optimiser = torch.optim.AdamW(
        [
            {"params": [model.text.weight, model.image.weight], "lr": 1e-3},
            {"params": model.readout.parameters(), "lr": 1e-2},
        ],
        weight_decay=1e-4,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rows = {"text": text.rows("train"), "image": image.rows("train")}
    for _ in counted(range(steps), steps, "aligning, step", _log):
        parts, loss = {}, torch.zeros(())
        for which, side in (("text", text), ("image", image)):
            index = torch.from_numpy(draw.choice(rows[which], batch))
            pooled, score = side.pooled[index], side.score[index]
            vector = model.project(which, pooled)
            parts[which] = vector, score
            wrong = functional.smooth_l1_loss(model.score(vector), score, beta=0.1)
            drift = _content(vector, pooled, means[which])
            loss = loss + WEIGHTS["score"] * wrong + WEIGHTS["content"] * drift
        (t, t_score), (v, v_score) = parts["text"], parts["image"]
        loss = loss + WEIGHTS["match"] * _match(t, v, t_score, v_score)
        loss = loss + WEIGHTS["gap"] * _gap(t, v, t_score, v_score)
        index = torch.from_numpy(draw.choice(len(natural[0]), 96, replace=False))
        one, other = model.project("text", natural[0][index]), natural[1][index]
        loss = loss + WEIGHTS["pairs"] * _pairs(one, model.project("image", other))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    _log.info("aligned: loss %.3f in the last step", loss.item())
    return model.eval()


def report(model: Aligned, text: Side, image: Side, split: str = "valid") -> dict[str, float]:
    """Measure the space: score errors, spread, and retrieval of the same sentiment sign."""
    measures, vectors = {}, {}
    with torch.no_grad():
        for which, side in (("text", text), ("image", image)):
            index = torch.from_numpy(side.rows(split))
            vector, score = model.project(which, side.pooled[index]), side.score[index]
            readout = model.score(vector)
            measures[f"{which}_mae"] = float((readout - score).abs().mean())
            measures[f"{which}_pearson"] = float(
                torch.corrcoef(torch.stack([readout, score]))[0, 1]
            )
            measures[f"{which}_dimensions"] = spread(vector)
            vectors[which] = vector, (score > 0.125).int() - (score < -0.125).int()
    (t, t_sign), (v, v_sign) = vectors["text"], vectors["image"]
    nearest = (t @ v.T).topk(10, dim=1).indices
    for sign in (-1, 0, 1):
        rows = t_sign == sign
        share = (v_sign[nearest[rows]] == sign).float().mean()
        measures[f"text_to_image_sign_{sign}_at_10"] = float(share)
    measures["gap"] = float((t.mean(0) - v.mean(0)).norm())
    return measures
