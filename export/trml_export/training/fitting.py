"""Fit TRML to features: AdamW, a cosine schedule, and the best epoch on validation kept."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trml_export.config import Config
from trml_export.features.features import Features
from trml_export.method.losses import losses, sample_losses
from trml_export.method.model import TRML, Views
from trml_export.training.batches import Batch, batches
from trml_export.training.confidence import learn_confidence
from trml_export.training.state import TrainingState
from trml_rt.errors import UsageError
from trml_rt.progress import time_left

__all__ = ["Fit", "fit", "presence_metrics"]

_log = logging.getLogger(__name__)

_EVALUATION_BATCH = 256
_SPACE = 10_000  # samples that tell where the vectors of an encoder lie


@dataclass(frozen=True)
class Fit:
    """A trained model in eval mode, and how it came about; epochs count from 1.

    `resumed` is the number of epochs that an earlier, stopped run did. `history` has a record for
    each epoch: its number, the mean loss in training, and what `presence_metrics` gives on valid.
    """

    model: TRML
    epochs: int
    best_epoch: int
    resumed: int
    train: dict[str, float]
    valid: dict[str, float]
    history: list[dict[str, Any]]


def fit(
    train: Features,
    valid: Features,
    config: Config,
    size: int,
    *,
    state: Path | None = None,
    watch: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Fit:
    """Train a model on `train`, stop when `valid` no longer gets better, keep its best epoch.

    The same seed, data and number of threads give the same numbers. The caller's random state
    stays as it was. The model is trained where PyTorch makes its tensors, and stays there; see
    `trml_export.device.tensors_on`. It starts from the same weights on every device.

    Args:
        train: what to learn from.
        valid: what to choose the epoch by.
        config: the method and the optimiser.
        size: d.
        state: file for the state after each epoch. If it exists, the run goes on from it, and
            ends with the numbers of an unbroken run. The caller names a file that belongs to
            these very arguments, and deletes it in the end.
        watch: takes the record of each epoch as it ends, those of a stopped run first.

    Raises:
        UsageError: the loss is no longer finite.
        ArtefactMismatch: `state` is damaged.
    """
    config = config.model_copy(update={"class_weights": _class_weights(config, train)})
    device = torch.get_default_device()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        with torch.device("cpu"):
            model = TRML(config, size)
            model.learn_spaces(*_vectors_of(train))
        model.to(device)
        run = TrainingState.start(model, config)
        if state is not None and state.exists():
            run.load(state)
        for record in run.history:
            watch(record)
        return _fit(run, train, valid, state, watch)


def _class_weights(config: Config, train: Features) -> Any:
    """Return what each class counts in numbers, or "none".

    Balanced weights are n / (classes * rows of the class), so that their mean over the training
    rows is 1. A class without rows has 1.
    """
    if config.class_weights != "balanced":
        return config.class_weights
    classes = len(config.labels)
    rows = np.bincount([sample.target for sample in train.samples], minlength=classes)
    weights = np.where(rows > 0, rows.sum() / (classes * np.maximum(rows, 1)), 1.0)
    return tuple(weights.tolist())


def _vectors_of(features: Features) -> tuple[torch.Tensor, torch.Tensor]:
    """Return raw text vectors and raw frame vectors (rows, d), of at most so many samples."""
    texts = features.text_rows[features.text_rows >= 0][:_SPACE]
    clips = zip(features.clip_starts[:_SPACE], features.clip_lengths[:_SPACE], strict=True)
    frames = [np.arange(start, start + length) for start, length in clips]
    rows = np.concatenate([np.zeros(0, np.int64), *frames])
    return torch.from_numpy(features.vectors[texts]), torch.from_numpy(features.vectors[rows])


def _fit(
    run: TrainingState,
    train: Features,
    valid: Features,
    state: Path | None,
    watch: Callable[[dict[str, Any]], None],
) -> Fit:
    model, config, resumed = run.model, run.model.config, run.epoch
    if resumed:
        _log.info("going on after epoch %d of %d", resumed, config.epochs)
    start = time.monotonic()
    while run.epoch < config.epochs and run.epoch - run.best_epoch < config.patience:
        run.epoch += 1
        train_loss = _epoch(run, train)
        measured = presence_metrics(model, valid)
        valid_loss = measured["loss"]
        run.history.append({"epoch": run.epoch, "train_loss": train_loss, "valid": measured})
        if valid_loss < run.best_loss:
            run.keep(valid_loss)
        if state is not None:
            run.save(state)
        watch(run.history[-1])
        _log.info(
            "epoch %d of %d: loss %.4f, valid %.4f%s",
            *(run.epoch, config.epochs, train_loss, valid_loss),
            time_left(start, run.epoch - resumed, config.epochs - resumed),
        )
    model.load_state_dict(run.best_weights)
    learn_confidence(model, valid)
    return Fit(
        model.eval(),
        epochs=run.epoch,
        best_epoch=run.best_epoch,
        resumed=resumed,
        train=presence_metrics(model, train),
        valid=presence_metrics(model, valid),
        history=run.history,
    )


def _epoch(run: TrainingState, train: Features) -> float:
    """Train the epoch `run.epoch` and return the mean loss of its batches."""
    model, config = run.model, run.model.config
    steps = math.ceil(len(train.samples) / config.batch_size)
    # Seeded by the epoch, so that a run that goes on draws what it would have drawn.
    torch.manual_seed(config.seed * 10_000 + run.epoch)
    model.train()
    order = torch.randperm(len(train.samples), device="cpu").numpy()
    total = 0.0
    for step, batch in enumerate(batches(train, order, config.batch_size, config)):
        progress = ((run.epoch - 1) * steps + step) / (config.epochs * steps)
        for group in run.optimiser.param_groups:
            group["lr"] = config.learning_rate * (1 + math.cos(math.pi * progress)) / 2
        total += _step(model, batch, run.optimiser, run.epoch)
    return total / max(steps, 1)


def _step(model: TRML, batch: Batch, optimiser: torch.optim.Optimizer, epoch: int) -> float:
    """Take one step of the optimiser and return the loss before it."""
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
    return float(total.detach())


@torch.inference_mode()
def presence_metrics(model: TRML, features: Features) -> dict[str, float]:
    """Return the task loss and, for each presence case, the mean absolute error or accuracy.

    `loss` is the mean over samples of the mean over their views, as in training. The others,
    such as `video_mae` and `text_video_accuracy`, cover the samples that have the named
    modalities; a modality that is not named is generated. A case without samples is left out.
    """
    config = model.config
    metric = "mae" if config.task == "regression" else "accuracy"
    model.eval()
    total, trained = 0.0, 0
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for batch in batches(features, np.arange(len(features.samples)), _EVALUATION_BATCH, config):
        views: Views = model(batch.text, batch.has_text, batch.frames, batch.mask)
        loss = sample_losses(config, views, batch.target)
        total, trained = total + loss.sum().item(), trained + len(loss)
        for case, places, prediction in (
            ("text", views.text_rows, views.from_text),
            ("video", views.video_rows, views.from_video),
            ("text_video", views.both_rows, views.from_both),
        ):
            target = batch.target[places]
            if config.task == "regression":
                score = (prediction.squeeze(1) - target).abs()  # unclipped, as MMSA has it
            else:
                score = (prediction.argmax(dim=1) == target).float()
            sums[case] = sums.get(case, 0.0) + score.sum().item()
            counts[case] = counts.get(case, 0) + len(score)
    means = {f"{case}_{metric}": sums[case] / counts[case] for case in sums if counts[case]}
    return {"loss": total / max(trained, 1), **means}
