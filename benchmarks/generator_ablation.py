"""Ask why the generator is worth what it is: change one choice of TRML at a time.

    python benchmarks/generator_ablation.py --data DATA.jsonl --backbone ENCODERS --out OUT

Every variant is trained with the same seeds as the controls, and scored on the **valid** split:
this is where a recipe may be chosen, and the test split is not looked at. OUT gets what
`trml-rt eval` writes; `paired.md` has each variant's gain over the learned constant.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from trml_export.backbone.backbone import load_backbone
from trml_export.config import load_config
from trml_export.evaluation import DataSplit, MethodSubject, evaluate
from trml_export.evaluation.methods import METHODS, Method

LABEL = {"matching_loss": "label_infonce"}
ALONE = {"task_teaches_generators": False}
VARIANTS = {
    **{name: METHODS[name] for name in ("constant", "zero", "mean", "copy", "separate")},
    **{name: METHODS[name] for name in ("lambda_0", "attention", "average")},
    **{
        title: Method(title, changes)
        for title, changes in {
            "TRML, defaults": {},
            "TRML, lengths as they come": {"equal_lengths": False},
            "standardised": {"standardise": True},
            "gate": {"gate": True},
            "distilled": {"distil_weight": 1.0},
            "standardised, gate, distilled": {
                "standardise": True,
                "gate": True,
                "distil_weight": 1.0,
            },
            "lambda = 0.01": {"matching_weight": 0.01},
            "lambda = 1": {"matching_weight": 1.0},
            "tau = 0.2": {"tau": 0.2},
            "tau = 0.02": {"tau": 0.02},
            "batch of 512, so more negatives": {"batch_size": 512},
            "matching as the head sees it": {"matching_level": "head"},
            "targets not detached": {"detach_targets": False},
            "mask bits": {"mask_bits": True},
            "mean of frames instead of the GRU": {"temporal_encoder": "mean"},
            "cosine, lambda = 1": {"matching_loss": "cosine", "matching_weight": 1.0},
            "narrow generator (half d)": {"generator_width": 1},
            "cosine": {"matching_loss": "cosine"},
            "squares": {"matching_loss": "mse", "matching_weight": 1.0},
            "generators learn from matching alone, lambda = 1": {**ALONE, "matching_weight": 1.0},
            "cosine alone, lambda = 1": {
                **ALONE,
                "matching_loss": "cosine",
                "matching_weight": 1.0,
            },
            "squares alone, lambda = 10": {
                **ALONE,
                "matching_loss": "mse",
                "matching_weight": 10.0,
            },
            "label-aware alone, lambda = 1": {**ALONE, **LABEL, "matching_weight": 1.0},
            "label-aware": LABEL,
            "label-aware, lambda = 1": {**LABEL, "matching_weight": 1.0},
            "label-aware, mask bits": {**LABEL, "mask_bits": True},
            "label-aware, as the head sees it": {**LABEL, "matching_level": "head"},
            "label-aware, targets not detached": {**LABEL, "detach_targets": False},
        }.items()
    },
    "constant, mask bits": Method(
        "constant, mask bits", {**METHODS["constant"].changes, "mask_bits": True}
    ),
}


def main() -> None:
    """Train every variant and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="JSONL file")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--config", type=Path, help="of TRML; the variants change it")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, help="these alone")
    parser.add_argument("--completeness", type=float, nargs="+", default=[1.0, 0.1])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    subject = MethodSubject(
        load_backbone(args.backbone),
        load_config(args.config, overrides=args.overrides),
        args.cache,
        methods={name: VARIANTS[name] for name in args.variants or VARIANTS},
        completeness=args.completeness,
        seeds=args.seeds,
    )
    evaluate(subject, DataSplit(args.data, name="valid"), out=args.out, force=True)
    print((args.out / "paired.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
