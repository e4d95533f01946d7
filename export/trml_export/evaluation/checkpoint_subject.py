"""Evaluate the model of a checkpoint, in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trml_export.backbone.backbone import place
from trml_export.device import find_device
from trml_export.evaluation.predictions import predict
from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.rows import row_answers
from trml_export.evaluation.split import DataSplit
from trml_export.evaluation.subject import assemble, model_run
from trml_export.features.features import compute_split
from trml_export.training.checkpoint import load_checkpoint

__all__ = ["CheckpointSubject"]


@dataclass(frozen=True)
class CheckpointSubject:
    """A checkpoint that `trml-rt train` made; `cache` is the folder of the feature cache.

    Its encoders compute on `device`, see `find_device`; `mixed` lets them do so in half precision.
    """

    folder: Path
    cache: Path
    device: str = "auto"
    mixed: bool = False

    def evaluate(self, split: DataSplit) -> Evaluation:
        """Evaluate the model on `split`; see `evaluate` for the errors."""
        checkpoint = load_checkpoint(self.folder)
        config, record = checkpoint.config, checkpoint.record
        dataset = split.read(config)
        backbone = place(checkpoint.backbone(), find_device(self.device), mixed=self.mixed)
        features = compute_split(dataset, split.name, backbone, config, cache=self.cache)
        subject = {
            "kind": "checkpoint",
            "name": checkpoint.name,
            "methods": {"checkpoint": "checkpoint"},
            "backbone": record.backbone.fingerprint,
            "weights": record.files["model.safetensors"].sha256,
        }
        predictions = predict(checkpoint.model(), features)
        run = model_run("checkpoint", predictions, features, config)
        rows = row_answers(predictions, features, config)
        return assemble(subject, config, split, dataset, features, [run], rows)
