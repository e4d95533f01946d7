"""Hold what a training run has reached, and keep it on disk between two epochs.

One safetensors file holds the weights, the best weights so far, and AdamW's moments. It needs no
random state, because each epoch is seeded by its number. It needs no learning rate, because that
follows from the number of the step.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from trml_export.config import Config
from trml_export.method.model import TRML
from trml_rt.bundle.atomic import write_bytes
from trml_rt.errors import ArtefactMismatch, cannot_write

__all__ = ["TrainingState"]

_DAMAGE = (SafetensorError, OSError, RuntimeError, LookupError, ValueError, TypeError)


@dataclass
class TrainingState:
    """A model in training, its optimiser, the best epoch so far, and the losses of each."""

    model: TRML
    optimiser: torch.optim.AdamW
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def start(cls, model: TRML, config: Config) -> TrainingState:
        """Return the state before the first epoch."""
        optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,  # one pass over each tensor
        )
        return cls(model, optimiser, best_weights=_copy(model.state_dict()))

    def keep(self, loss: float) -> None:
        """Take the weights of this epoch, of validation loss `loss`, for the best so far."""
        self.best_loss, self.best_epoch = loss, self.epoch
        self.best_weights = _copy(self.model.state_dict())

    def save(self, path: Path) -> None:
        """Write `path` whole or not at all; EnvironmentUnfit where that cannot be done."""
        tensors = {
            **{f"model.{name}": value for name, value in self.model.state_dict().items()},
            **{f"best.{name}": value for name, value in self.best_weights.items()},
            **{
                f"optimiser.{index}.{name}": value
                for index, moments in self.optimiser.state_dict()["state"].items()
                for name, value in moments.items()
            },
        }
        numbers = {
            "epoch": str(self.epoch),
            "best_epoch": str(self.best_epoch),
            "best_loss": self.best_loss.hex(),  # every bit of it
            "history": json.dumps(self.history),
        }
        content = save({k: v.contiguous() for k, v in tensors.items()}, numbers)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
        except OSError as error:
            raise cannot_write(path, error, "name another folder with --cache") from None

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote for a model and an optimiser of the same kind.

        Raises:
            ArtefactMismatch: the file is damaged, or of another model.
        """
        try:
            with safe_open(path, framework="pt") as file:
                numbers = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimiser": {}}
            for name, tensor in tensors.items():
                part, _, rest = name.partition(".")
                parts[part][rest] = tensor
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in parts["optimiser"].items():
                index, _, kind = name.partition(".")
                moments.setdefault(int(index), {})[kind] = tensor
            self.model.load_state_dict(parts["best"])  # checks names and shapes
            self.model.load_state_dict(parts["model"])
            groups = self.optimiser.state_dict()["param_groups"]
            self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
            self.epoch, self.best_epoch = int(numbers["epoch"]), int(numbers["best_epoch"])
            self.best_loss = float.fromhex(numbers["best_loss"])
            self.best_weights = parts["best"]
            self.history = json.loads(numbers.get("history", "[]"))  # an older state has none
        except _DAMAGE as error:
            raise ArtefactMismatch(
                f"{path}: the state of a stopped training is damaged ({error}); delete it to "
                "train from the start"
            ) from None


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in weights.items()}
