"""Hold the tensors of engines against those of FP32, and judge the differences.

Compared are encoder outputs, virtual vectors (a generator can drift while the head hides it)
and predictions; the least cosine and the first percentile count, never the mean alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.answer import read_prediction
from trml_rt.backends import Tensors
from trml_rt.bundle.manifest import EngineSet, Manifest, Task
from trml_rt.proof.cases import Case

__all__ = ["LIMITS", "Answers", "Limits", "compare"]


@dataclass(frozen=True)
class Limits:
    """What engines of a precision must keep, each against FP32.

    `cosine` passes, below it is a warning down to `cosine_fails`. `score` is the largest
    difference of a score, `rank` the least rank correlation, `flips` the largest share of labels
    that change, `points` what the accuracy may lose where labels are known.
    """

    cosine: float
    cosine_fails: float
    score: float
    rank: float
    flips: float
    points: float


LIMITS = {
    "fp32": Limits(0.9999, 0.999, 1e-3, 0.9999, 0.0, 0.0),
    "fp16": Limits(0.999, 0.99, 1e-2, 0.999, 0.002, 0.2),
    "int8": Limits(0.99, 0.98, 5e-2, 0.99, 0.01, 1.0),
}
_LEAST_ROWS = 100  # from which a share of flips, a rank or an accuracy says something


Answers = list[dict[str, Tensors]]
"""For each case every tensor on the way, inputs included, by the engine set that was run."""


def compare(
    manifest: Manifest,
    sets: Sequence[EngineSet],
    cases: Sequence[Case],
    expected: Answers,
    given: Answers,
    limits: Limits,
) -> dict[str, Any]:
    """Hold the tensors of `given` against those of `expected`, one entry a case each.

    Returns:
        `passed`, `problems`, `warnings`, `limits`, and for each engine set its `rows` and what
        was measured of every tensor. A set that no case ran is a problem.
    """
    problems: list[str] = []
    warnings: list[str] = []
    measured: dict[str, Any] = {}
    for engine_set in sets:
        seen = [
            (want[engine_set.name], have[engine_set.name], case)
            for want, have, case in zip(expected, given, cases, strict=True)
            if engine_set.name in have
        ]
        if not seen:
            problems.append(f"{engine_set.name}: no inputs to compare on")
            continue
        engines_of = [manifest.engines[name] for name in engine_set.engines]
        names = {tensor.name for engine in engines_of for tensor in engine.outputs}
        names.discard("prediction")
        found = _measure(sorted(names), seen, manifest.task)
        measured[engine_set.name] = found
        for where, fails, text in _judge(found, limits):
            (problems if fails else warnings).append(f"{engine_set.name}/{where}: {text}")
    return {
        "passed": not problems,
        "problems": problems,
        "warnings": warnings,
        "limits": asdict(limits),
        "engine_sets": measured,
    }


def _measure(
    names: list[str], seen: list[tuple[Tensors, Tensors, Case]], task: Task
) -> dict[str, Any]:
    """Compare the tensors `names`, which the engines of one set made, and the predictions."""
    tensors: dict[str, Any] = {}
    for name in names:
        cosine = np.concatenate([_cosines(want[name], have[name]) for want, have, _ in seen])
        tensors[name] = {
            "least_cosine": float(cosine.min()),
            "first_percentile": float(np.percentile(cosine, 1)),
            "mean_cosine": float(cosine.mean()),
        }
    want = [r for e, _, _ in seen for r in _read(e["prediction"], task)]
    have = [r for _, g, _ in seen for r in _read(g["prediction"], task)]
    scores = np.array([[a[1], b[1]] for a, b in zip(want, have, strict=True)])
    found: dict[str, Any] = {
        "rows": len(want),
        "tensors": tensors,
        "largest_score_difference": float(np.abs(scores[:, 0] - scores[:, 1]).max()),
        "mean_score_difference": float(np.abs(scores[:, 0] - scores[:, 1]).mean()),
        "flips": float(np.mean([a[0] != b[0] for a, b in zip(want, have, strict=True)])),
        "rank_correlation": _rank_correlation(scores[:, 0], scores[:, 1]),
    }
    labelled = [
        (truth, e, g)
        for e, g, case in seen
        if (truth := _truth(case, task)) is not None and len(e["prediction"]) == 1
    ]
    if labelled:
        right = [
            [next(_read(t["prediction"], task))[0] == truth for t in (e, g)]
            for truth, e, g in labelled
        ]
        before, after = (100 * np.mean(right, axis=0)).tolist()
        found["accuracy"] = {"rows": len(right), "fp32": before, "engines": after}
    return found


def _judge(found: dict[str, Any], limits: Limits) -> Iterator[tuple[str, bool, str]]:
    """Yield where a limit is missed, whether that fails the engines, and what was found."""
    for name, tensor in found["tensors"].items():
        if not tensor["least_cosine"] >= limits.cosine:
            fails = not tensor["least_cosine"] >= limits.cosine_fails
            allowed = limits.cosine_fails if fails else limits.cosine
            yield name, fails, f"least cosine {tensor['least_cosine']:.4f}, {allowed:g} needed"
    difference = found["largest_score_difference"]
    if not difference <= limits.score:
        yield "score", True, f"differs by {difference:.3g}, {limits.score:g} allowed"
    if found["rows"] >= _LEAST_ROWS:
        if not found["flips"] <= limits.flips:
            yield "label", True, f"{found['flips']:.2%} flip, {limits.flips:.2%} allowed"
        if not found["rank_correlation"] >= limits.rank:
            yield (
                "score",
                True,
                f"rank correlation {found['rank_correlation']:.4f}, {limits.rank:g} needed",
            )
    accuracy = found.get("accuracy")
    if accuracy and accuracy["rows"] >= _LEAST_ROWS:
        lost = accuracy["fp32"] - accuracy["engines"]
        if not lost <= limits.points:
            yield "accuracy", True, f"{lost:.2f} points lost, {limits.points:g} allowed"


def _cosines(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the cosine of each row of two (rows, d); -1 where a value is not finite."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    cosine = (x * y).sum(-1) / np.maximum(lengths, 1e-30)
    return np.where(np.isfinite(cosine), cosine, -1.0)


def _read(prediction: NDArray[np.generic], task: Task) -> Iterator[tuple[str, float]]:
    """Yield label and score of each row, as an answer has them; NaN or infinity is refused."""
    for row in prediction:
        label, score, _ = read_prediction(row, task)
        yield label, score


def _truth(case: Case, task: Task) -> str | None:
    """Return the label that is known to be right for a case, or None."""
    if task.kind == "classification":
        return case.label if case.label in task.labels else None
    if case.score is None or task.thresholds is None:
        return None
    score = case.score
    return task.labels[sum(bound <= score for bound in task.thresholds)]


def _rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Spearman's coefficient; 1 where the scores of one side are all alike."""
    x, y = (np.argsort(np.argsort(v, kind="stable"), kind="stable") for v in (a, b))
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 1.0
    return float(np.corrcoef(x, y)[0, 1])
