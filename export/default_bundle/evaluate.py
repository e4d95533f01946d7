"""Measure a bundle on the test rows of datasets.py and on the Pexels clip.

    python evaluate.py --bundle BUNDLE --rows OUT/data.jsonl --clip CLIP.mp4 --out RESULTS

Writes RESULTS.json and RESULTS.md. Thresholds between classes come from the valid rows; the
constructed pairs are no MOSI, MOSEI or MELD result and none may be named one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
from measures import BAND, agreement, classes, interval, limits, markdown, recall
from PIL import Image

_log = logging.getLogger(__name__)

Score = Callable[[list[dict]], np.ndarray]  # rows with text, video or both -> scores (n,)
WINDOW = 30  # frames of the clip in a window; eight of them are looked at


def _of(rows: list[dict], kind: str, split: str) -> list[dict]:
    return [r for r in rows if r["id"].split("/")[0] == kind and r["split"] == split]


def _truth(rows: list[dict]) -> np.ndarray:
    return np.array([row["score"] for row in rows])


def text_alone(rows: list[dict], score: Score, split: str) -> dict:
    """Measure VADER by domain, and GoEmotions."""
    results = {}
    groups: dict[str, list[dict]] = {"goemotions": _of(rows, "goemotions", split)}
    for row in _of(rows, "vader", split):
        groups.setdefault(row["id"].split("/")[1], []).append(row)
    for name, group in sorted(groups.items()):
        group = [{"text": row["text"], "score": row["score"]} for row in group]
        truth, scores = _truth(group), score(group)
        results[name] = agreement(truth, scores)
        clear = np.abs(truth) > BAND
        results[name]["sign_interval"] = interval(
            lambda a, b: float((a == b).mean()), (truth > 0)[clear], (scores > 0)[clear]
        )
    return results


def faces_alone(rows: list[dict], score: Score, split: str) -> dict:
    """Measure tight faces and camera-like frames: happy or not, and three classes."""
    results = {}
    for kind in ("face", "frame", "clip"):
        fit, test = _of(rows, kind, "valid"), _of(rows, kind, split)
        fit_scores, scores = score(fit), score(test)
        fit_happy, happy = _truth(fit) > BAND, _truth(test) > BAND
        grid = np.quantile(fit_scores, np.linspace(0.02, 0.98, 97))
        limit = max(grid, key=lambda v: recall(fit_happy, fit_scores > v))
        plain = np.array(["/surprise/" not in row["id"] for row in test])
        fit_plain = np.array(["/surprise/" not in row["id"] for row in fit])
        pair = limits(classes(_truth(fit))[fit_plain], fit_scores[fit_plain])
        truth = classes(_truth(test))[plain]
        three = classes(scores[plain], pair)
        results[kind] = {
            "rows": len(test),
            "happy_balanced_accuracy": recall(happy, scores > limit),
            "happy_interval": interval(recall, happy, scores > limit),
            "happy_at_zero_point_two": recall(happy, scores > 0.2),
            "limit": float(limit),
            "three_class_recall": recall(truth, three),
            "three_class_interval": interval(recall, truth, three),
            "recall_by_class": {str(c): float((three[truth == c] == c).mean()) for c in (-1, 0, 1)},
            "count_by_class": {str(c): int((truth == c).sum()) for c in (-1, 0, 1)},
        }
    return results


def pairs(rows: list[dict], score: Score, split: str) -> dict:
    """Measure text, video and both on the pairs, with the floors and a mismatched pairing.

    `mismatched` keeps the text and its class, and shows the face of another class.
    """
    results: dict = {}
    fit, test = _of(rows, "pair", "valid"), _of(rows, "pair", split)
    truth, fit_truth = _truth(test), _truth(fit)
    kinds, fit_kinds = classes(truth), classes(fit_truth)
    views = {"text": ("text",), "video": ("video",), "text+video": ("text", "video")}
    for name, keys in views.items():
        some = [[{k: row[k] for k in keys} for row in part] for part in (fit, test)]
        fit_scores, scores = score(some[0]), score(some[1])
        chosen = classes(scores, limits(fit_kinds, fit_scores))
        results[name] = {
            "accuracy": float((chosen == kinds).mean()),
            "accuracy_interval": interval(recall, kinds, chosen),
            **{k: v for k, v in agreement(truth, scores).items() if k != "mae_of_mean"},
        }
    # Classes stand in order and alike many: a shift by a third gives every row a wrong face.
    order = np.argsort(kinds, kind="stable")
    other = np.empty(len(test), int)
    other[order] = np.roll(order, len(test) // 3)
    wrong = [{"text": r["text"], "video": test[other[i]]["video"]} for i, r in enumerate(test)]
    fit_scores = score([{"text": row["text"], "video": row["video"]} for row in fit])
    scores = score(wrong)
    chosen = classes(scores, limits(fit_kinds, fit_scores))
    results["mismatched"] = {
        "accuracy": float((chosen == kinds).mean()),
        "mae": float(np.abs(truth - scores).mean()),
    }
    values, counts = np.unique(kinds, return_counts=True)
    results["floor"] = {
        "accuracy": float(counts.max() / counts.sum()),
        "class": int(values[counts.argmax()]),
        "mae": float(np.abs(truth - np.median(fit_truth)).mean()),
    }
    return results


def clip(path: Path, score: Score) -> dict:
    """Score consecutive windows of the clip, eight frames of each."""
    import av

    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    starts = range(0, len(frames) - WINDOW + 1, WINDOW)
    pick = np.linspace(0, WINDOW - 1, 8).round().astype(int)
    windows = [{"video": np.stack([frames[s + k] for k in pick])} for s in starts]
    scores = score(windows)
    third = len(scores) // 3
    return {
        "windows": [round(float(v), 3) for v in scores],
        "first_third": float(scores[:third].mean()),
        "last_third": float(scores[-third:].mean()),
        "rise": float(scores[-third:].mean() - scores[:third].mean()),
    }


def runtime_score(runtime, folder: Path, batch: int = 32) -> Score:
    """Return a Score that asks a loaded trml_rt runtime; relative videos lie in `folder`."""
    import trml_rt

    def video(value):
        if value is None or isinstance(value, np.ndarray):
            return value
        path = folder / value
        if not path.is_dir():
            return path
        pictures = sorted(path.iterdir(), key=lambda p: int(p.stem))
        return np.stack([np.asarray(Image.open(p).convert("RGB")) for p in pictures])

    def score(rows: list[dict]) -> np.ndarray:
        scores = []
        for start in range(0, len(rows), batch):
            samples = [
                trml_rt.Sample(text=row.get("text"), video=video(row.get("video")))
                for row in rows[start : start + batch]
            ]
            scores.extend(answer.score for answer in runtime.infer_batch(samples))
        return np.array(scores, float)

    return score


def measure(rows: list[dict], score: Score, clip_path: Path | None, split: str) -> dict:
    """Run every part, and log how long each took."""
    results: dict = {"split": split}
    for name, part in (("text", text_alone), ("faces", faces_alone), ("pairs", pairs)):
        start_time = time.time()
        results[name] = part(rows, score, split)
        _log.info("%s: %.0f s", name, time.time() - start_time)
    if clip_path is not None:
        results["clip"] = clip(clip_path, score)
    return results


def main() -> None:
    """Measure a bundle and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, help="folder (default: the one in the package)")
    parser.add_argument("--rows", type=Path, required=True, help="data.jsonl of datasets.py")
    parser.add_argument("--clip", type=Path, help="the Pexels clip")
    parser.add_argument("--out", type=Path, required=True, help="results, without an ending")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    import trml_rt

    with args.rows.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    with trml_rt.load(args.bundle) as runtime:
        score = runtime_score(runtime, args.rows.parent)
        manifest = runtime.bundle.manifest
        results = {
            "what": "a bundle on held-out rows; pairs are constructed, no MOSI, MOSEI or MELD",
            # Which graphs the numbers belong to, whatever happens to the folder around them.
            "graphs": {n: manifest.files[e.file].sha256 for n, e in manifest.engines.items()},
            "rows_sha256": hashlib.sha256(args.rows.read_bytes()).hexdigest(),
            "versions": {n: metadata.version(n) for n in ("trml-rt", "onnxruntime", "pillow")},
            **measure(rows, score, args.clip, args.split),
        }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for ending, text in (
        (".json", json.dumps(results, indent=2) + "\n"),
        (".md", markdown(results)),
    ):
        args.out.with_name(args.out.name + ending).write_text(text, encoding="utf-8")
    print(markdown(results))


if __name__ == "__main__":
    main()
