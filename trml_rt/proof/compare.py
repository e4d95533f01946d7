"""Hold the tensors of engines against those of a reference, and judge the differences.

The reference is the portable graphs in FP32, or the training framework (the golden files).
Compared are encoder outputs, virtual vectors (a generator can drift while the head hides it)
and predictions. The least cosine decides, because a mean would hide one bad row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.answer import label_of, read_prediction
from trml_rt.backends import Tensors
from trml_rt.bundle.manifest import EngineSet, Manifest, Task

__all__ = ["LIMITS", "Answers", "Case", "Limits", "Verdict", "compare", "rank_correlation"]


@dataclass(frozen=True)
class Limits:
    """What engines of a precision must keep, whatever the reference is.

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
# Scores that are clipped to an end of the range are equal, and a difference far below the limit
# unties them. A share s of them, untied, lowers the coefficient of engines that change nothing else
# to sqrt(1 - s^3). That is 0.9995 for a tenth, within the limits of FP16 and INT8, and 0.986 for
# three tenths.
_MOST_AT_THE_ENDS = 0.1
_EDGES = 10.0 ** (np.arange(-24, 9) / 4)  # of a histogram: 1e-6 to 100, four bins a decade


@dataclass(frozen=True)
class Case:
    """Inputs of one call by tensor name, any batch, and what is known to be right."""

    inputs: Tensors
    score: float | None = None
    label: str | None = None


Answers = list[dict[str, Tensors]]
"""For each case every tensor on the way, inputs included, by the engine set that was run."""


@dataclass(frozen=True)
class Verdict:
    """What the comparison of one engine set has shown.

    Attributes:
        problems: the limits that are missed, a sentence each; none of them: it passes.
        warnings: what is near a limit.
        measured: `rows`, and what was measured of every tensor; empty where nothing could be.
    """

    problems: list[str]
    warnings: list[str]
    measured: dict[str, Any]


def compare(
    manifest: Manifest,
    sets: Sequence[EngineSet],
    cases: Sequence[Case],
    expected: Answers,
    answers: Answers,
    limits: Limits,
) -> dict[str, Verdict]:
    """Hold the tensors of `answers` against those of `expected`, one entry a case each.

    Args:
        manifest: of the bundle.
        sets: the engine sets to compare.
        cases: the inputs.
        expected: the reference's tensors: FP32's, or the training framework's.
        answers: the tensors of the engines that are judged.
        limits: what must hold.

    Returns:
        The verdict on each engine set, by name. A set that no case ran is a problem. So is one
        with NaN, infinity or another shape than the reference's, of which nothing is measured.
    """
    verdicts: dict[str, Verdict] = {}
    for engine_set in sets:
        name = engine_set.name
        pairs = [
            (reference[name], answer[name], case)
            for reference, answer, case in zip(expected, answers, cases, strict=True)
            if name in reference and name in answer
        ]
        if not pairs:
            verdicts[name] = Verdict([f"{name}: no inputs to compare on"], [], {})
            continue
        engines = [manifest.engines[engine] for engine in engine_set.engines]
        outputs = {tensor.name for engine in engines for tensor in engine.outputs}
        if faults := _faults(sorted(outputs), pairs):
            verdicts[name] = Verdict([f"{name}/{text}" for text in faults], [], {})
            continue
        measured = _measure(sorted(outputs - {"prediction"}), pairs, manifest.task)
        judged = [(fails, f"{name}/{w}: {text}") for w, fails, text in _judge(measured, limits)]
        verdicts[name] = Verdict(
            [text for fails, text in judged if fails],
            [text for fails, text in judged if not fails],
            measured,
        )
    return verdicts


_Pairs = list[tuple[Tensors, Tensors, Case]]
"""For each case the reference's tensors, those of the engines, and the case."""


def _faults(names: list[str], pairs: _Pairs) -> list[str]:
    """Return a line for each way in which a tensor cannot be compared."""
    faults: dict[str, None] = {}  # each line once, in the order of the names
    for name in names:
        for reference, answer, _ in pairs:
            expected, given = reference[name], answer[name]
            if given.shape != expected.shape:
                faults[f"{name}: shape {given.shape}, not {expected.shape}"] = None
            if not np.isfinite(given).all():
                faults[f"{name}: NaN or infinity"] = None
            if not np.isfinite(expected).all():
                faults[f"{name}: NaN or infinity in the reference"] = None
    return list(faults)


def _measure(names: list[str], pairs: _Pairs, task: Task) -> dict[str, Any]:
    """Compare the tensors `names`, which the engines of one set made, and the predictions."""
    tensors: dict[str, Any] = {}
    for name in names:
        cosines = np.concatenate([_cosines(r[name], answer[name]) for r, answer, _ in pairs])
        tensors[name] = {
            "least_cosine": float(cosines.min()),
            "first_percentile": float(np.percentile(cosines, 1)),
            "mean_cosine": float(cosines.mean()),
        }
    reference = [row for r, _, _ in pairs for row in _read(r["prediction"], task)]
    answers = [row for _, answer, _ in pairs for row in _read(answer["prediction"], task)]
    flips = [a[0] != b[0] for a, b in zip(reference, answers, strict=True)]
    before, after = (np.array([score for _, score in rows]) for rows in (reference, answers))
    measured: dict[str, Any] = {
        "rows": len(reference),
        "tensors": tensors,
        "largest_score_difference": float(np.abs(before - after).max()),
        "mean_score_difference": float(np.abs(before - after).mean()),
        "score_differences": _histogram(np.abs(before - after)),
        "flips": float(np.mean(flips)),
        "rank_correlation": rank_correlation(before, after),
        "at_the_ends": _at_the_ends(before, task),
    }
    labelled = [
        (truth, reference, answer)
        for reference, answer, case in pairs
        if (truth := _truth(case, task)) is not None and len(reference["prediction"]) == 1
    ]
    if labelled:
        right = [
            [next(_read(t["prediction"], task))[0] == truth for t in (reference, answer)]
            for truth, reference, answer in labelled
        ]
        fp32, engines = (100 * np.mean(right, axis=0)).tolist()
        measured["accuracy"] = {"rows": len(right), "fp32": fp32, "engines": engines}
    return measured


def _judge(measured: dict[str, Any], limits: Limits) -> Iterator[tuple[str, bool, str]]:
    """Yield where a limit is missed, whether that fails the engines, and what was measured."""
    for name, tensor in measured["tensors"].items():
        if not tensor["least_cosine"] >= limits.cosine:
            fails = not tensor["least_cosine"] >= limits.cosine_fails
            allowed = limits.cosine_fails if fails else limits.cosine
            yield name, fails, f"least cosine {tensor['least_cosine']:.4f}, {allowed:g} needed"
    difference = measured["largest_score_difference"]
    if not difference <= limits.score:
        yield "score", True, f"differs by {difference:.3g}, {limits.score:g} allowed"
    if measured["rows"] >= _LEAST_ROWS:
        if not measured["flips"] <= limits.flips:
            yield "label", True, f"{measured['flips']:.2%} flip, {limits.flips:.2%} allowed"
        correlation = measured["rank_correlation"]
        if measured["at_the_ends"] <= _MOST_AT_THE_ENDS and not correlation >= limits.rank:
            yield "score", True, f"rank correlation {correlation:.4f}, {limits.rank:g} needed"
    accuracy = measured.get("accuracy")
    if accuracy and accuracy["rows"] >= _LEAST_ROWS:
        lost = accuracy["fp32"] - accuracy["engines"]
        if not lost <= limits.points:
            yield "accuracy", True, f"{lost:.2f} points lost, {limits.points:g} allowed"


def _cosines(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the cosine of each row of two (rows, d); 1 where both rows are zero."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    cosines = (x * y).sum(-1) / np.maximum(lengths, 1e-30)
    return np.where(x.any(-1) | y.any(-1), cosines, 1.0)


def _histogram(differences: NDArray[np.float64]) -> dict[str, list[float]]:
    """Return `edges` and between them `counts` of rows, without empty bins at either end.

    The lowest bin holds smaller differences too, and the highest one larger ones.
    """
    counts, _ = np.histogram(np.clip(differences, _EDGES[0], _EDGES[-1]), _EDGES)
    first, last = np.flatnonzero(counts)[[0, -1]]
    edges = [float(f"{edge:.4g}") for edge in _EDGES[first : last + 2]]
    return {"edges": edges, "counts": counts[first : last + 1].tolist()}


def _read(prediction: NDArray[np.generic], task: Task) -> Iterator[tuple[str, float]]:
    """Yield label and score of each row, as an answer has them."""
    for row in prediction:
        label, score, _ = read_prediction(row, task)
        yield label, score


def _truth(case: Case, task: Task) -> str | None:
    """Return the label that is known to be right for a case, or None."""
    if task.kind == "classification":
        return case.label if case.label in task.labels else None
    return None if case.score is None else label_of(case.score, task)


def _at_the_ends(scores: NDArray[np.float64], task: Task) -> float:
    """Return the share of scores that lie at an end of the range, where they are clipped."""
    if task.range is None:
        return 0.0
    return float(np.isin(scores, task.range).mean())


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Spearman's coefficient; equal values share the mean of their ranks.

    1 where the scores of one side are all alike, for then they have no order.
    """
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 1.0
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(counts.cumsum() - (counts - 1) / 2)[place]
