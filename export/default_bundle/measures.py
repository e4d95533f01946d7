"""Metrics with intervals, and markdown tables, for evaluate.py."""

from __future__ import annotations

import numpy as np

BAND = 0.125  # VADER's neutral band, |rating| <= 0.5
BOOTSTRAP = 1000


def recall(truth: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean recall over the classes in `truth` (balanced accuracy)."""
    return float(np.mean([(chosen[truth == c] == c).mean() for c in np.unique(truth)]))


def interval(metric, truth: np.ndarray, chosen: np.ndarray) -> list[float]:
    """Return the 95 % bootstrap interval of `metric`, rows drawn within each true class."""
    draw = np.random.default_rng(7)
    groups = [np.flatnonzero(truth == c) for c in np.unique(truth)]
    values = []
    for _ in range(BOOTSTRAP):
        rows = np.concatenate([draw.choice(group, len(group)) for group in groups])
        values.append(metric(truth[rows], chosen[rows]))
    return [float(v) for v in np.percentile(values, [2.5, 97.5])]


def classes(score: np.ndarray, limits: tuple[float, float] = (-BAND, BAND)) -> np.ndarray:
    """Return -1, 0 or 1 by two limits."""
    return (score > limits[1]).astype(int) - (score < limits[0]).astype(int)


def limits(truth: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Return the two limits with the best balanced accuracy, searched over quantiles."""
    grid = np.unique(np.quantile(score, np.linspace(0.02, 0.98, 60)))
    pairs = [(a, b) for a in grid for b in grid if a <= b]
    return max(pairs, key=lambda pair: recall(truth, classes(score, pair)))


def agreement(truth: np.ndarray, score: np.ndarray) -> dict:
    """Compare graded scores; the sign is asked only of clear rows."""
    clear = np.abs(truth) > BAND
    right = (truth > 0) == (score > 0)
    pearson = float(np.corrcoef(truth, score)[0, 1]) if score.std() > 1e-9 else None
    return {
        "rows": len(truth),
        "clear_rows": int(clear.sum()),
        "sign_accuracy": float(right[clear].mean()),
        "sign_balanced": recall((truth > 0)[clear], (score > 0)[clear]),
        "majority_sign": float(max((truth > 0)[clear].mean(), (truth <= 0)[clear].mean())),
        "mae": float(np.abs(truth - score).mean()),
        "mae_of_mean": float(np.abs(truth - truth.mean()).mean()),
        "pearson": pearson,
    }


def table(header: list[str], lines: list[list]) -> str:
    """Return a markdown table; floats get three places."""
    show = [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in line] for line in lines]
    body = [header, ["---"] * len(header), *show]
    return "\n".join("| " + " | ".join(line) + " |" for line in body) + "\n"


def _span(values: list[float]) -> str:
    return f"{values[0]:.3f} to {values[1]:.3f}"


def markdown(results: dict) -> str:
    """Return the tables for people."""
    text = table(
        ["text alone", "clear rows", "sign accuracy", "95 %", "majority", "MAE", "Pearson"],
        [
            [
                name,
                r["clear_rows"],
                r["sign_accuracy"],
                _span(r["sign_interval"]),
                r["majority_sign"],
                r["mae"],
                r["pearson"],
            ]
            for name, r in results["text"].items()
        ],
    )
    faces = table(
        ["video alone", "rows", "happy or not, balanced", "95 %", "three classes", "95 %"],
        [
            [
                name,
                r["rows"],
                r["happy_balanced_accuracy"],
                _span(r["happy_interval"]),
                r["three_class_recall"],
                _span(r["three_class_interval"]),
            ]
            for name, r in results["faces"].items()
        ],
    )
    both = table(
        ["constructed pairs", "accuracy, three classes", "MAE"],
        [[name, r["accuracy"], r["mae"]] for name, r in results["pairs"].items()],
    )
    parts = [f"Split: {results['split']}.\n", text, faces, both]
    if "clip" in results:
        c = results["clip"]
        parts.append(
            f"Pexels clip, video alone: first third {c['first_third']:.3f}, last third "
            f"{c['last_third']:.3f}; windows {c['windows']}\n"
        )
    return "\n".join(parts)
