"""Hold the recipe that `train --recipe auto` takes against every other one, on rows it never saw.

    python benchmarks/recipes.py --data DATA --backbone ENCODERS --config FILE --out OUT.json

Each recipe is trained with the same seeds, and scored once on valid and once on test. The choice
sees valid alone, and as many seeds as `train` does. The table shows test: the recipe that was
taken, each control and each other form of TRML, as mean and deviation over the seeds, and how far
the taken one lies from the best control. A finished training is kept in the cache, so a stopped run
goes on. The table is written beside OUT.json, as OUT.md.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from machine import describe

from trml_export.backbone.backbone import load_backbone
from trml_export.config import Config, load_config
from trml_export.evaluation.collapse import case_values
from trml_export.evaluation.confidence import score_confidence
from trml_export.evaluation.masks import incomplete
from trml_export.evaluation.metrics import main_metric
from trml_export.evaluation.predictions import predict
from trml_export.evaluation.split import DataSplit
from trml_export.evaluation.statistic import Statistic, table
from trml_export.features.features import Features, compute_split
from trml_export.training.fitting import fit
from trml_export.training.recipes import CONTROLS, RECIPES, SEEDS, Tried, best_recipe
from trml_export.training.run_key import run_key
from trml_rt.bundle.atomic import write_bytes

_log = logging.getLogger(__name__)

CASES = ("both inputs", "text alone", "video alone")
NAMES = {"error": "calibration error", "surer": "surer than with both", "within": "within reach"}
Record = dict[str, Any]


def run(features: dict[str, Features], config: Config, key: str, cache: Path) -> Record:
    """Train once, and return what the model reaches on valid and on test."""
    path = cache / "recipes" / f"{key}.json"
    if path.exists():
        return json.loads(path.read_bytes())
    model = fit(features["train"], features["valid"], config, features["train"].size).model
    record: Record = {}
    for split in ("valid", "test"):
        predictions = predict(model, features[split])
        record[split] = case_values(predictions, features[split], config)
        record[f"{split}_confidence"] = score_confidence(predictions, features[split], config)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, json.dumps(record).encode())
    return record


def tried_at(
    share: float,
    features: dict[str, Features],
    config: Config,
    seeds: int,
    identity: str,
    cache: Path,
    names: Sequence[str],
) -> Iterator[tuple[str, list[Record]]]:
    """Yield each recipe with its records, one a seed, at a share of complete training rows."""
    parts = {**features, "train": incomplete(features["train"], share)}
    for name in names:
        records = []
        for seed in range(config.seed, config.seed + seeds):
            one = config.model_copy(update={**RECIPES[name], "seed": seed})
            key = run_key(one, identity, parts, ["recipes", share], threads=1)
            records.append(run(parts, one, key, cache))
        _log.info("training %.0f %% complete: %s", 100 * share, name)
        yield name, records


def verdict(taken: list[float], control: list[float], sign: int) -> tuple[float, bool]:
    """Return the gain over a control, and whether it is no loss beyond one deviation of either."""
    mine, other = Statistic.of(taken), Statistic.of(control)
    gain = sign * (mine.mean - other.mean)
    return gain, gain >= -max(mine.deviation or 0.0, other.deviation or 0.0)


def compare(records: dict[str, list[Record]], config: Config) -> Record:
    """Return the recipe that valid takes, and how it stands on test in each presence case."""
    sign = -1 if main_metric(config) == "mae" else 1
    tried = [
        Tried(name, config, [r["valid"] for r in each[:SEEDS]])  # as many as `train` looks at
        for name, each in records.items()
    ]
    taken = best_recipe(tried, main_metric(config)).name
    cases = {}
    for case in (case for case in CASES if case in records[taken][0]["test"]):
        values = {name: [r["test"][case] for r in each] for name, each in records.items()}
        controls = [name for name in CONTROLS if name in values]
        best = max(controls, key=lambda name: sign * Statistic.of(values[name]).mean)
        gain, holds = verdict(values[taken], values[best], sign)
        cases[case] = {"best_control": best, "gain": gain, "within_one_deviation": holds}
    return {"taken": taken, "cases": cases}


def markdown(results: Record, metric: str) -> str:
    """Return a table of the test rows for each completeness, the recipe that was taken in bold."""
    parts = []
    for share, part in results["completeness"].items():
        taken = part["taken"]
        cases = list(part["cases"])
        lines = [[f"{metric} on test, training {float(share):.0%} complete", *cases]]
        lines.append(["---"] * (len(cases) + 1))
        for name, records in part["records"].items():
            title = f"**{name}** (taken on valid)" if name == taken else name
            cells = [str(Statistic.of([r["test"][case] for r in records])) for case in cases]
            lines.append([title, *cells])
        cells = [
            f"{each['gain']:+.4f} to {each['best_control']}, "
            f"{'holds' if each['within_one_deviation'] else 'LOSES'}"
            for each in part["cases"].values()
        ]
        parts.append(table([*lines, ["taken against the best control", *cells]]))
        parts += confidence(part["records"])
    return "\n\n".join(parts) + "\n"


def confidence(records: dict[str, list[Record]]) -> Iterator[str]:
    """Yield a table of what was measured of confidence on test, if anything was."""
    first = next(iter(records.values()))[0]["test_confidence"]
    columns = [(case, name) for case in first for name in first[case] if name != "reach"]
    if not columns:
        return
    lines = [["confidence", *(f"{NAMES[name]}, {case}" for case, name in columns)]]
    lines.append(["---"] * (len(columns) + 1))
    for title, each in records.items():
        values = [[r["test_confidence"][case][name] for r in each] for case, name in columns]
        lines.append([title, *(str(Statistic.of(seeds)) for seeds in values)])
    yield table(lines)


def main() -> None:
    """Train every recipe and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a file or folder of rows")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--config", type=Path, help="what the recipes change")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument(
        "--recipes",
        nargs="+",
        choices=RECIPES,
        default=list(RECIPES),
        help="these alone, a control among them",
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--completeness", type=float, nargs="+", default=[1.0, 0.5, 0.1])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    config = load_config(args.config, overrides=args.overrides)
    backbone = load_backbone(args.backbone)
    dataset = DataSplit(args.data).read(config, to_train=True)
    features = {
        split: compute_split(dataset, split, backbone, config, cache=args.cache)
        for split in ("train", "valid", "test")
    }
    identity = f"{dataset.sha256} {backbone.fingerprint}"
    results: Record = {
        "what": "recipes chosen on valid, scored on test",
        "data": {"name": args.data.stem, "sha256": dataset.sha256},
        "samples": {split: len(part.samples) for split, part in features.items()},
        "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint},
        "config": config.model_dump(mode="json"),
        "machine": describe(("trml-rt", "torch", "onnxruntime")),
        "completeness": {},
    }
    for share in args.completeness:
        records = dict(
            tried_at(share, features, config, args.seeds, identity, args.cache, args.recipes)
        )
        results["completeness"][str(share)] = {**compare(records, config), "records": records}
    text = markdown(results, main_metric(config))
    write_bytes(args.out, (json.dumps(results, indent=1) + "\n").encode())
    write_bytes(args.out.with_suffix(".md"), text.encode())
    print(text)


if __name__ == "__main__":
    main()
