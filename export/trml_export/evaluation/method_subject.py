"""Evaluate the method itself: train TRML and every control with several seeds, and score them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from trml_export.backbone.backbone import Encoders
from trml_export.config import Config
from trml_export.device import CPU, device_name
from trml_export.evaluation.methods import METHODS, Method
from trml_export.evaluation.protocol import COMPLETENESS, Material, Run, run_protocol
from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.split import DataSplit
from trml_export.evaluation.subject import assemble, count_inputs
from trml_export.features.features import Features, compute_split

__all__ = ["MethodSubject"]


@dataclass(frozen=True)
class MethodSubject:
    """TRML and its controls over one backbone.

    Attributes:
        backbone: the frozen encoders.
        config: of TRML; the controls change it, and the seeds count up from its seed.
        cache: folder of the features and of finished runs; a protocol that was stopped goes on.
        methods: what to train, by name.
        completeness: shares of complete training samples; None takes 1.0, 0.5 and 0.1, or 1.0
            alone where no training sample is complete.
        seeds: how many.
        workers: trainings at a time; None takes one a core.
        device: what to train on; the backbone has its own placement.
    """

    backbone: Encoders
    config: Config
    cache: Path
    methods: Mapping[str, Method] = field(default_factory=METHODS.copy)
    completeness: Sequence[float] | None = None
    seeds: int = 5
    workers: int | None = None
    device: torch.device = CPU

    def evaluate(self, split: DataSplit) -> Evaluation:
        """Train every method on the split train, choose epochs on valid, and score on `split`.

        See `evaluate` and `run_protocol` for the errors.
        """
        dataset = split.read(self.config, to_train=True)
        features = {
            name: compute_split(dataset, name, self.backbone, self.config, cache=self.cache)
            for name in dict.fromkeys(("train", "valid", split.name))
        }
        records = run_protocol(
            Material(features, self.config, self.methods, split.name, self.device),
            self._runs(features["train"]),
            identity=f"{dataset.sha256} {self.backbone.fingerprint}",
            folder=self.cache / "protocol",
            workers=self.workers,
        )
        subject = {
            "kind": "method",
            "backbone": {
                "name": self.backbone.name,
                "fingerprint": self.backbone.fingerprint,
            },
            "methods": {name: method.title for name, method in self.methods.items()},
            "training_samples": count_inputs(features["train"]),
            "device": device_name(self.device),
        }
        return assemble(subject, self.config, split, dataset, features[split.name], records)

    def _runs(self, train: Features) -> list[Run]:
        shares = self.completeness
        if shares is None:
            complete = bool((train.has_text & train.has_video).any())
            shares = COMPLETENESS if complete else (1.0,)
        return [
            Run(method, float(share), self.config.seed + seed)
            for share in shares
            for method in self.methods
            for seed in range(self.seeds)
        ]
