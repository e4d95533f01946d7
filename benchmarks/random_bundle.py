"""Make a bundle of a backbone's real shapes with seeded random weights: for speed and parity.

    python benchmarks/random_bundle.py --out DIR [--backbone ViT-B-32-quickgelu] [--weights fp16]

Its answers mean nothing. The export compares every graph and engine set with PyTorch and fails
above its limit; `--report` writes what was seen. Needs the [train] extra and, for
ViT-B-32-quickgelu, 2 GB of disk. A bundle made here is never committed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import torch

from trml_calibration.fp16_stored import store_fp16
from trml_export.backbone.backbone import load_backbone
from trml_export.config import Config
from trml_export.method.model import TRML
from trml_export.to_bundle.export import PARITY, export
from trml_export.training.checkpoint import TrainingRecord, save_checkpoint

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

NOT_TRAINED = TrainingRecord(data_sha256="", samples={}, epochs=0, best_epoch=0, train={}, valid={})


def main() -> None:
    """Make the bundle and print what the export saw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="ViT-B-32-quickgelu", help="a model of open_clip")
    parser.add_argument("--weights", choices=["fp32", "fp16"], default="fp32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="bundle folder to make")
    parser.add_argument("--report", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    backbone = load_backbone(arguments.backbone, seed=arguments.seed)
    torch.manual_seed(arguments.seed)
    model = TRML(Config(), backbone.size)
    for parameter in model.parameters():
        if not parameter.any():  # a weight that starts at zero would hide what it multiplies
            torch.nn.init.normal_(parameter, std=0.02)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "checkpoint", model, backbone, NOT_TRAINED)
        exported = export(
            Path(folder) / "checkpoint",
            arguments.out,
            name=f"{arguments.backbone} with random weights, seed {arguments.seed}",
            store_weights=store_fp16 if arguments.weights == "fp16" else None,
        )
    result = {
        "what": "largest absolute difference between ONNX Runtime and PyTorch, random weights",
        "backbone": arguments.backbone,
        "seed": arguments.seed,
        "weights": arguments.weights,
        "limit": PARITY,
        "seconds": round(time.perf_counter() - start, 1),
        "bytes": exported.bytes,
        "cut_at_end_of_text": exported.cut,
        "parity": exported.parity,
        "machine": describe(("torch", "open_clip_torch", "onnx", "onnxscript", "onnxruntime")),
    }
    report(result, arguments.report)


if __name__ == "__main__":
    main()
