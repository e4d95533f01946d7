"""Fit TRML to features: AdamW, a cosine schedule, and the best epoch on validation kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from trml_export.config import Config
from trml_export.features import Features
from trml_export.losses import losses, task_loss
from trml_export.model import TRML, Views
from trml_rt.errors import UsageError

__all__ = ["Batch", "Fit", "collate", "evaluate", "fit"]

_EVALUATION_BATCH = 256


class Batch(NamedTuple):
    """Raw vectors of a few samples, zero where a modality or a frame is missing."""

    text: Tensor  # (batch, d)
    has_text: Tensor  # (batch,) bool
    frames: Tensor  # (batch, n, d)
    mask: Tensor  # (batch, n) bool, frames first
    target: Tensor  # (batch,) float32 scores, or int64 classes
    groups: Tensor  # (batch,) int64, equal for equal texts; -1 without text


@dataclass(frozen=True)
class Fit:
    """A trained model in eval mode, and how it came about; epochs count from 1."""

    model: TRML
    epochs: int
    best_epoch: int
    train: dict[str, float]
    valid: dict[str, float]


def collate(features: Features, rows: list[int], config: Config, size: int) -> Batch:
    """Return the samples at `rows` as one batch."""
    text = torch.zeros(len(rows), size)
    frames = torch.zeros(len(rows), config.frames, size)
    has_text = torch.zeros(len(rows), dtype=torch.bool)
    mask = torch.zeros(len(rows), config.frames, dtype=torch.bool)
    groups: dict[str | None, int] = {None: -1}
    for place, row in enumerate(rows):
        vector, clip = features.text[row], features.video[row]
        if vector is not None:
            text[place] = torch.tensor(vector)
            has_text[place] = True
        if clip is not None:
            frames[place, : len(clip)] = torch.tensor(clip)
            mask[place, : len(clip)] = True
        groups.setdefault(features.samples[row].text, len(groups))
    kind = torch.float32 if config.task == "regression" else torch.int64
    return Batch(
        text,
        has_text,
        frames,
        mask,
        torch.tensor([features.samples[row].target for row in rows], dtype=kind),
        torch.tensor([groups[features.samples[row].text] for row in rows]),
    )


def fit(train: Features, valid: Features, config: Config, size: int) -> Fit:
    """Train a model on `train`, stop when `valid` no longer gets better, keep its best epoch.

    The same seed, data and number of threads give the same numbers; the caller's own random
    numbers go on as if nothing had been drawn here.

    Raises:
        UsageError: the loss is no longer finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return _fit(train, valid, config, size)


def _fit(train: Features, valid: Features, config: Config, size: int) -> Fit:
    model = TRML(config, size)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * math.ceil(len(train.samples) / config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    best, best_epoch, best_state = math.inf, 0, model.state_dict()
    epoch = 0
    with tqdm(total=config.epochs, desc="epochs", disable=None, leave=False) as bar:
        while epoch < config.epochs and epoch - best_epoch < config.patience:
            epoch += 1
            model.train()
            order = torch.randperm(len(train.samples)).tolist()
            for batch in _batches(train, order, config.batch_size, config, size):
                _step(model, batch, optimiser, epoch)
                schedule.step()
            loss = evaluate(model, valid)["loss"]
            if loss < best:
                best, best_epoch = loss, epoch
                best_state = {name: value.clone() for name, value in model.state_dict().items()}
            bar.set_postfix(valid=f"{loss:.4f}", best=f"{best:.4f}")
            bar.update()
    model.load_state_dict(best_state)
    return Fit(model.eval(), epoch, best_epoch, evaluate(model, train), evaluate(model, valid))


def _step(model: TRML, batch: Batch, optimiser: torch.optim.Optimizer, epoch: int) -> None:
    config = model.config
    views = model(batch.text, batch.has_text, batch.frames, batch.mask)
    total = losses(config, views, batch.target, batch.groups).total
    if not torch.isfinite(total):
        raise UsageError(
            f"training diverged in epoch {epoch}; try --set "
            f"learning_rate={config.learning_rate / 10:g}"
        )
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimiser.step()


@torch.inference_mode()
def evaluate(model: TRML, features: Features) -> dict[str, float]:
    """Return the task loss and, for each presence case, the mean absolute error or accuracy.

    `loss` is the mean over samples of the mean over their views, as in training. The others,
    such as `video_mae` and `text_video_accuracy`, cover the samples that have what the name
    says, with the rest of them generated; a case that no sample allows is left out.
    """
    config = model.config
    metric = "mae" if config.task == "regression" else "accuracy"
    model.eval()
    total = 0.0
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    rows = list(range(len(features.samples)))
    for batch in _batches(features, rows, _EVALUATION_BATCH, config, model.size):
        views: Views = model(batch.text, batch.has_text, batch.frames, batch.mask)
        total += task_loss(config, views, batch.target).item() * len(batch.target)
        for case, places, prediction in (
            ("text", views.text_rows, views.from_text),
            ("video", views.video_rows, views.from_video),
            ("text_video", views.both_rows, views.from_both),
        ):
            wanted = batch.target[places]
            if config.task == "regression":
                score = (prediction.squeeze(1) - wanted).abs()  # unclipped, as MMSA has it
            else:
                score = (prediction.argmax(dim=1) == wanted).float()
            sums[case] = sums.get(case, 0.0) + score.sum().item()
            counts[case] = counts.get(case, 0) + len(score)
    means = {f"{case}_{metric}": sums[case] / counts[case] for case in sums if counts[case]}
    return {"loss": total / len(rows), **means}


def _batches(
    features: Features, order: list[int], count: int, config: Config, size: int
) -> Iterator[Batch]:
    for start in range(0, len(order), count):
        yield collate(features, order[start : start + count], config, size)
