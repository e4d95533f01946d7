from __future__ import annotations

import torch

from trml_export.config import Config
from trml_export.method.model import TRML
from trml_export.training.checkpoint import TrainingRecord, save_checkpoint

RECORD = TrainingRecord(
    data_sha256="0" * 64, samples={}, epochs=1, best_epoch=1, train={"loss": 1.0}, valid={}
)


def checkpoint(folder, backbone, **settings):
    """Write a checkpoint of random weights, none of them left at zero."""
    torch.manual_seed(3)
    model = TRML(Config(**settings), backbone.size)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_checkpoint(folder, model, backbone, RECORD)
    return folder
