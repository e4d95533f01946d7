"""Train TRML on a data set and write a checkpoint: read, encode, fit, save."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trml_export.backbone.backbone import Backbone, load_backbone, place
from trml_export.config import Config
from trml_export.data import InputProblem, read_dataset
from trml_export.device import device_name, find_device, tensors_on
from trml_export.evaluation.collapse import model_remarks
from trml_export.evaluation.predictions import predict
from trml_export.evaluation.scoring import score_lengths
from trml_export.features.features import Features, compute_split
from trml_export.plots.picture import check_drawing
from trml_export.plots.training import training_picture
from trml_export.to_bundle.tokenizer import portable_tokenizer
from trml_export.training.board import check_board, open_board
from trml_export.training.checkpoint import (
    TrainingRecord,
    check_checkpoint_target,
    model_name,
    save_checkpoint,
)
from trml_export.training.fitting import Fit, fit
from trml_export.training.recipes import choose_recipe
from trml_export.training.run_key import run_key
from trml_rt.errors import EnvironmentUnfit, UsageError

__all__ = ["TrainReport", "train"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainReport:
    """What a training run did.

    `samples` counts the usable samples of train and valid. `resumed` is how many of the `epochs`
    an earlier, stopped run did. `train` and `valid` are the metrics of the epoch that was kept,
    `lengths` the mean lengths of its vectors on valid. `remarks` say which presence case ends near
    its floor, or far below one input alone. `recipe` is the one that was chosen on valid, if any.
    `problems` names every input that was unusable or cut short.
    """

    checkpoint: str
    samples: dict[str, int]
    epochs: int
    best_epoch: int
    resumed: int
    train: dict[str, float]
    valid: dict[str, float]
    lengths: dict[str, float]
    remarks: tuple[str, ...]
    recipe: str | None
    problems: tuple[InputProblem, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, as `trml-rt train --json` prints it."""
        return asdict(self)


def train(
    data: Path,
    backbone: str | Path,
    out: Path,
    *,
    config: Config | None = None,
    weights: Path | None = None,
    cache: Path | None = None,
    layout: str = "jsonl",
    force: bool = False,
    recipe: str | None = None,
    device: str = "auto",
    mixed: bool = False,
    tensorboard: Path | None = None,
) -> TrainReport:
    """Train on the splits train and valid of `data` and write the checkpoint `out`.

    Called again, a stopped run goes on after its last whole epoch. The configuration, data,
    backbone, version of PyTorch, device and number of threads must be the same.

    Args:
        data: a data set in the layout `layout`.
        backbone: a folder, or the name of a model of open_clip; see `load_backbone`.
        out: the folder to make, whole or not at all.
        config: None means the defaults.
        weights: the backbone's weights; None takes those in its folder.
        cache: folder of the feature cache; None means `.trml-cache` beside `out`.
        layout: a name of `trml_export.data.FORMATS`; who makes `config` applies its defaults.
        force: replace the checkpoint `out` if there is one.
        recipe: "auto" tries those of `recipes.RECIPES` with several seeds, and takes one on valid;
            None trains as `config` says.
        device: what to encode and to train on, see `find_device`.
        mixed: encode in half precision; see `trml_export.features.tower` for what is checked.
        tensorboard: folder for the losses and metrics of each epoch, as TensorBoard reads them;
            None writes none.

    Raises:
        UsageError: the data set, the backbone or `out` is not what it should be.
        ArtefactMismatch: weights that do not fit, or a damaged cache.
        EnvironmentUnfit: `out`, `cache` or `tensorboard` cannot be written, or there is no such
            device.
        VerificationFailed: `mixed` for a backbone that needs FP32.
        InputUnusable: no sample of a split has an input that can be used.
    """
    config = config or Config()
    if recipe not in (None, "auto"):
        raise UsageError(f"recipe: {recipe!r} is none; give auto, or leave it out")
    check_checkpoint_target(out, force=force)  # before an hour of work, not after
    check_board(tensorboard)
    where = find_device(device)
    drawing = _can_draw()
    dataset = read_dataset(data, config, layout)
    if where.type != "cpu":
        _log.info("device: %s", device_name(where))
    encoders = place(load_backbone(backbone, weights=weights), where, mixed=mixed)
    if isinstance(encoders, Backbone):  # what no export could carry is refused before the work
        portable_tokenizer(encoders.tokenizer, encoders.context_length)
    cache = cache or out.absolute().parent / ".trml-cache"
    features = {
        split: compute_split(dataset, split, encoders, config, cache=cache)
        for split in ("train", "valid")
    }
    identity = f"{dataset.sha256} {encoders.fingerprint}"
    on_gpu = [] if where.type == "cpu" else [device_name(where)]
    states: set[Path] = set()

    def state_of(one: Config) -> Path:
        key = run_key(one, identity, features, on_gpu, threads=torch.get_num_threads())
        states.add(cache / "training" / f"{key}.safetensors")
        return cache / "training" / f"{key}.safetensors"

    parts = features["train"], features["valid"]
    chosen, tried = None, []
    with open_board(tensorboard) as watch, tensors_on(where):
        if recipe is not None:
            chosen, tried = choose_recipe(*parts, config, encoders.size, state_of=state_of)
            _log.info("recipe taken: %s", chosen.name)
            config = chosen.config
        result = fit(*parts, config, encoders.size, state=state_of(config), watch=watch)
        predictions = predict(result.model, features["valid"])
    remarks = model_remarks(predictions, features["valid"], features["train"], config)
    for remark in remarks:
        _log.warning("on valid, %s", remark)
    record = TrainingRecord(
        data_sha256=dataset.sha256,
        samples=_count(features),
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        train=result.train,
        valid=result.valid,
        lengths=score_lengths(predictions),
        device=device_name(where),
        encoded_in=encoders.placement.type_name,
    )
    name = model_name(out, encoders.name, config)
    beside = _curves(result, record, name, drawing=drawing)
    if tried:
        content = {"taken": chosen and chosen.name, "tried": [each.to_dict() for each in tried]}
        beside["recipes.json"] = (json.dumps(content, indent=1) + "\n").encode()
    save_checkpoint(out, result.model, encoders, record, beside=beside, force=force)
    for state in states:
        _remove(state)
    return TrainReport(
        checkpoint=str(out),
        samples=record.samples,
        epochs=record.epochs,
        best_epoch=record.best_epoch,
        resumed=result.resumed,
        train=record.train,
        valid=record.valid,
        lengths=record.lengths,
        remarks=tuple(remarks),
        recipe=chosen.name if chosen else None,
        problems=(*dataset.problems, *features["train"].problems, *features["valid"].problems),
    )


def _can_draw() -> bool:
    """Return whether curves can be drawn, and say so where they cannot."""
    try:
        check_drawing()
    except EnvironmentUnfit as error:
        _log.warning("no curves are drawn: %s", error)
        return False
    return True


def _curves(result: Fit, record: TrainingRecord, name: str, *, drawing: bool) -> dict[str, bytes]:
    """Return the history of a training as JSON and CSV, and as pictures of the model `name`."""
    files = {
        "history.json": (json.dumps(result.history, indent=1) + "\n").encode(),
        "history.csv": _table(result.history).encode(),
    }
    if not drawing or not result.history:  # the state of an older version had none
        return files
    rows = {
        split: sum(n for case, n in record.samples.items() if case.startswith(split))
        for split in ("train", "valid")
    }
    title = (
        f"{name}: training, {rows['train']:,} rows of train and {rows['valid']:,} of valid\n"
        f"epoch {result.best_epoch} of {result.epochs} kept"
    )
    pictures = training_picture(result.history, result.best_epoch, title)
    return files | {f"curves.{ending}": content for ending, content in pictures.items()}


def _table(history: list[dict[str, Any]]) -> str:
    """Return one line an epoch: its number, the losses, and the metrics on valid."""
    names = list(history[0]["valid"]) if history else []
    lines = [["epoch", "train_loss", *(f"valid_{name}" for name in names)]]
    for each in history:
        numbers = [each["train_loss"], *(each["valid"][name] for name in names)]
        lines.append([str(each["epoch"]), *(f"{number:.6g}" for number in numbers)])
    return "".join(",".join(line) + "\n" for line in lines)


def _remove(state: Path) -> None:
    """Remove a state that is used up; it does no harm if it stays."""
    try:
        state.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s: no longer needed, but not removed (%s)", state, error.strerror)


def _count(features: dict[str, Features]) -> dict[str, int]:
    """Return, for each split and presence case, how many samples were used."""
    counts: Counter[str] = Counter()
    for split, part in features.items():
        for text, video in zip(part.has_text, part.has_video, strict=True):
            has = [name for name, value in (("text", text), ("video", video)) if value]
            counts[f"{split}_{'_'.join(has)}"] += 1
    return dict(sorted(counts.items()))
