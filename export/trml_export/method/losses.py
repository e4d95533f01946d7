"""The losses of TRML: the task's own, and the one that aligns virtual with real vectors.

Total = task + lambda * matching + mu * distilling + nu * surer, and
matching = alpha * L_v + (1 - alpha) * L_t. L_v compares virtual videos with real ones, L_t virtual
texts with real ones. Distilling and the penalty on surer answers are off by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trml_export.config import Config
from trml_export.method.model import Views, normalise

__all__ = [
    "Losses",
    "cosine",
    "distilling_loss",
    "infonce",
    "label_infonce",
    "likeness",
    "losses",
    "matching_loss",
    "sample_losses",
    "surer_loss",
    "task_loss",
]


class Losses(NamedTuple):
    """Five scalars; `total` is the one to minimise."""

    total: Tensor
    task: Tensor
    matching: Tensor
    distilling: Tensor
    surer: Tensor


def losses(config: Config, views: Views, target: Tensor, groups: Tensor) -> Losses:
    """Return the losses of one batch.

    Args:
        config: names the losses and their weights.
        views: what the model made of the batch.
        target: (batch,) scores, or class numbers as int64.
        groups: (batch, 2) int64; samples of one number in a column have equal texts, or
            equal clips. Read for complete samples only.
    """
    task = task_loss(config, views, target)
    matching = matching_loss(config, views, target, groups)
    distilling = distilling_loss(config, views)
    surer = surer_loss(config, views)
    total = task + config.matching_weight * matching + config.distil_weight * distilling
    total = total + config.confidence_weight * surer
    return Losses(total, task, matching, distilling, surer)


def task_loss(config: Config, views: Views, target: Tensor) -> Tensor:
    """Return the mean over samples of the mean over each sample's views: L1 or cross-entropy.

    Only the views that `trained_views` names count, and the samples that have one of them; 0
    where the batch has none.
    """
    loss = sample_losses(config, views, target)
    return loss.sum() / max(len(loss), 1)


def sample_losses(config: Config, views: Views, target: Tensor) -> Tensor:
    """Return what `task_loss` is the mean of: (samples that have a trained view,)."""
    total = torch.zeros(len(target))
    count = torch.zeros(len(target))
    for name, rows, prediction in (
        ("text", views.text_rows, views.from_text),
        ("video", views.video_rows, views.from_video),
        ("text_video", views.both_rows, views.from_both),
    ):
        if config.trained_views not in ("all", name):
            continue
        targets = target[rows]
        if config.task == "regression":
            loss = (prediction.squeeze(1) - targets).abs()
        else:
            weights = config.class_weights  # numbers by now, see `training.fitting.fit`
            each = prediction.new_tensor(weights) if isinstance(weights, tuple) else None
            loss = functional.cross_entropy(prediction, targets, each, reduction="none")
        total = total.index_add(0, rows, loss)
        count = count.index_add(0, rows, torch.ones_like(loss))
    counted = count > 0
    return total[counted] / count[counted]


def distilling_loss(config: Config, views: Views) -> Tensor:
    """Return how far the answers to one input lie from the answer to both, which stays still.

    It is the mean over the complete samples and the two inputs: L1 of scores, or the divergence of
    Kullback and Leibler of classes. It is 0 where the batch has no complete sample.
    """
    whole = views.from_both.detach()
    total = views.from_both.new_zeros(())
    if config.distil_weight == 0 or len(whole) == 0:
        return total
    for of_one in _answers_to_one(views):
        if config.task == "regression":
            total = total + functional.l1_loss(of_one, whole) / 2
        else:
            logs = functional.log_softmax(of_one, dim=1), functional.log_softmax(whole, dim=1)
            total = total + functional.kl_div(*logs, reduction="batchmean", log_target=True) / 2
    return total


def surer_loss(config: Config, views: Views) -> Tensor:
    """Return by how much answers to one input are surer than the answer to both, which stays still.

    It is the mean over the complete samples and the two inputs of `max(0, c_one - c_both)`. c is
    the confidence, the largest probability of a class (after Ma et al. 2023, "Calibrating
    Multimodal Learning"). It is 0 where the batch has no complete sample.
    """
    total = views.from_both.new_zeros(())
    if config.confidence_weight == 0 or len(views.from_both) == 0:
        return total
    whole = _confidence(views.from_both).detach()
    for of_one in _answers_to_one(views):
        total = total + functional.relu(_confidence(of_one) - whole).mean() / 2
    return total


def _confidence(logits: Tensor) -> Tensor:
    """Return the largest probability (rows,) of `logits` (rows, classes)."""
    return functional.softmax(logits, dim=1).amax(dim=1)


def _answers_to_one(views: Views) -> Iterator[Tensor]:
    """Yield what the complete samples get from text alone, and from video alone."""
    yield views.from_text[torch.isin(views.text_rows, views.both_rows)]
    yield views.from_video[torch.isin(views.video_rows, views.both_rows)]


def matching_loss(config: Config, views: Views, target: Tensor, groups: Tensor) -> Tensor:
    """Return the matching loss over the complete samples; 0 where the batch has none.

    A sample that lacks a modality is not among the views' vectors, so it is neither a
    positive nor a negative here.
    """
    groups, targets = groups[views.both_rows], target[views.both_rows]

    def compare(virtual: Tensor, real: Tensor) -> Tensor:
        if len(virtual) == 0:
            return virtual.sum()  # 0, with a gradient
        if config.detach_targets:
            real = real.detach()
        if config.matching_loss == "infonce":
            return infonce(virtual, real, groups, tau=config.tau)
        if config.matching_loss == "label_infonce":
            return label_infonce(virtual, real, likeness(config, targets), tau=config.tau)
        return _PAIRWISE[config.matching_loss](virtual, real)

    video = compare(views.virtual_video, views.real_video)
    text = compare(views.virtual_text, views.real_text)
    return config.alpha * video + (1 - config.alpha) * text


def infonce(virtual: Tensor, real: Tensor, groups: Tensor, *, tau: float) -> Tensor:
    """Return the symmetric InfoNCE of `virtual` and `real`, both (n, d).

    One cross-entropy picks the real vector of each virtual one, by cosine over `tau`. Another
    picks the virtual vector of each real one. The result is their mean (van den Oord et al.
    2018; symmetric as in CLIP). Two samples with one number in a column of `groups` (n, columns)
    have the same text or clip. So neither is a negative of the other.
    """
    similarity = normalise(virtual) @ normalise(real).T / tau  # (virtual, real)
    equal = (groups.unsqueeze(0) == groups.unsqueeze(1)).any(dim=-1)
    itself = torch.eye(len(groups), dtype=torch.bool)
    similarity = similarity.masked_fill(equal & ~itself, float("-inf"))
    diagonal = torch.arange(len(groups))
    rows = functional.cross_entropy(similarity, diagonal)
    columns = functional.cross_entropy(similarity.T, diagonal)
    return (rows + columns) / 2


def label_infonce(virtual: Tensor, real: Tensor, alike: Tensor, *, tau: float) -> Tensor:
    """Return the symmetric InfoNCE of `virtual` and `real`, both (n, d), with soft targets.

    `alike` (n, n) says how much each pair of samples belongs together, 1 on the diagonal. Its
    rows, scaled to a sum of 1, are the targets of the cross-entropies. With 0 and 1 that is the
    supervised contrastive loss of Khosla et al. 2020 (the sum outside of the logarithm) across
    two modalities. A virtual vector then has to say what the label is, and not which of many
    samples of one label it came from.
    """
    similarity = normalise(virtual) @ normalise(real).T / tau  # (virtual, real)
    shares = alike / alike.sum(dim=1, keepdim=True)  # serve both directions
    rows = functional.cross_entropy(similarity, shares)
    columns = functional.cross_entropy(similarity.T, shares)
    return (rows + columns) / 2


def likeness(config: Config, target: Tensor) -> Tensor:
    """Return (n, n): 1 for equal classes, else 0; for scores `exp(-(y_i - y_j)^2 / 2 s^2)`.

    s is `label_width` times the score range.
    """
    if config.task == "classification":
        return (target.unsqueeze(0) == target.unsqueeze(1)).float()
    low, high = config.score_range
    width = config.label_width * (high - low)
    return torch.exp(-((target.unsqueeze(0) - target.unsqueeze(1)) ** 2) / (2 * width**2))


def cosine(virtual: Tensor, real: Tensor) -> Tensor:
    """Return the mean of 1 - cosine over pairs (n, d)."""
    return (1 - (normalise(virtual) * normalise(real)).sum(dim=-1)).mean()


_PAIRWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": cosine,
    "mse": functional.mse_loss,
}
