"""Train the heads with and without the parts that TRML adds, on the same cached vectors.

    python controls.py --rows ROWS/data.jsonl --encoders ENCODERS --cache CACHE --out CONTROLS.json

Each variant is trained as the shipped model is, for the same seeds; what is reported is the
valid split's mean absolute error for text alone, video alone and both, mean and standard
deviation over the seeds, beside the error of the training median. A first look: the full
protocol is the evaluation's business, not this script's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from trml_export.config import load_config
from trml_export.train import train

HERE = Path(__file__).parent
VARIANTS: dict[str, list[str]] = {
    "as shipped": [],
    "without matching (lambda = 0)": ["matching_weight=0"],
    "generator is a copy": ["generator=copy", "matching_weight=0"],
    "mean of frames instead of the GRU": ["temporal_encoder=mean"],
}


def floors(rows: Path) -> dict[str, float]:
    """Return the error of always answering the training median, for each presence case."""
    with rows.open(encoding="utf-8") as file:
        samples = [json.loads(line) for line in file]
    median = float(np.median([s["score"] for s in samples if s["split"] == "train"]))
    cases = {"text": ["text"], "video": ["video"], "text_video": ["text", "video"]}
    return {
        f"{case}_mae": float(
            np.mean(
                [
                    abs(s["score"] - median)
                    for s in samples
                    if s["split"] == "valid" and all(key in s for key in keys)
                ]
            )
        )
        for case, keys in cases.items()
    }


def run(job: tuple[str, int, argparse.Namespace]) -> dict[str, float]:
    """Train one variant with one seed, on one core; return its metrics on the valid split."""
    name, seed, args = job
    torch.set_num_threads(1)  # one process a core
    config = load_config(HERE / "config.json", overrides=[*VARIANTS[name], f"seed={seed}"])
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        report = train(args.rows, args.encoders, checkpoint, config=config, cache=args.cache)
    print(f"{name}, seed {seed}: {report.valid}", file=sys.stderr)
    return report.valid


def main() -> None:
    """Train every variant and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=Path, required=True, help="data.jsonl of datasets.py")
    parser.add_argument("--encoders", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="feature cache of trml-rt train")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    jobs = [(name, seed, args) for name in VARIANTS for seed in range(args.seeds)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        valid = list(pool.map(run, jobs))
    found: dict = {"split": "valid", "seeds": args.seeds, "training median": floors(args.rows)}
    for name in VARIANTS:
        runs = [v for v, (variant, _, _) in zip(valid, jobs, strict=True) if variant == name]
        found[name] = {
            key: {
                "mean": round(float(np.mean([run[key] for run in runs])), 4),
                "deviation": round(float(np.std([run[key] for run in runs], ddof=1)), 4),
            }
            for key in runs[0]
        }
    args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
