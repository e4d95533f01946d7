"""What the runtime answers, and how it says which input was real, which virtual, and why."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trml_rt.bundle.manifest import Task
from trml_rt.errors import VerificationFailed

__all__ = ["Answer", "InputReport", "Reason", "label_of", "read_prediction"]


class Reason(str, enum.Enum):
    """Why an input took no part, so that a virtual one stands in for it."""

    NOT_GIVEN = "not_given"
    EMPTY_TEXT = "empty_text"
    UNKNOWN_TEXT = "unknown_text"
    TOO_SHORT = "too_short"
    UNDECODABLE = "undecodable"


@dataclass(frozen=True)
class InputReport:
    """What became of one input.

    `tokens` counts the special tokens too. `truncated` text was longer than the model's
    context. `unknown` is the share of its own tokens, 0 to 1, that the tokenizer does not know.
    An `incomplete` clip broke off before its stated end.
    """

    state: Literal["real", "virtual"]
    reason: Reason | None = None
    tokens: int | None = None
    truncated: bool = False
    unknown: float = 0.0
    frames: int | None = None
    incomplete: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that say something, for JSON."""
        record: dict[str, Any] = {"state": self.state}
        if self.reason is not None:
            record["reason"] = self.reason.value
        if self.tokens is not None:
            record |= {"tokens": self.tokens, "truncated": self.truncated}
            record["unknown"] = round(self.unknown, 4)
        if self.frames is not None:
            record |= {"frames": self.frames, "incomplete": self.incomplete}
        return record


@dataclass(frozen=True)
class Answer:
    """A label with its score, and where it came from.

    `score` lies in the model's range (regression) or is the probability of `label`
    (classification; then `probabilities` holds one for each label). `ms` has the
    milliseconds of decoding, preprocessing and each engine, and their total.
    """

    label: str
    score: float
    inputs: dict[str, InputReport]
    engine_set: str
    backend: str
    engines: str
    verified: bool
    probabilities: dict[str, float] | None = None
    ms: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the label with its score, or with its probability and those of the others."""
        if self.probabilities is None:
            return f"{self.label}  {self.score:+.3f}"
        by_rank = sorted(self.probabilities.items(), key=lambda named: -named[1])
        others = ", ".join(_percent(name, p) for name, p in by_rank if name != self.label)
        return _percent(f"{self.label} ", self.score) + (f"  ({others})" if others else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain values; scores to 6 decimals, times to 3."""
        record: dict[str, Any] = {"label": self.label, "score": round(self.score, 6)}
        if self.probabilities is not None:
            record["probabilities"] = {
                name: round(value, 6) for name, value in self.probabilities.items()
            }
        return record | {
            "inputs": {name: report.to_dict() for name, report in self.inputs.items()},
            "engine_set": self.engine_set,
            "backend": self.backend,
            "engines": self.engines,
            "verified": self.verified,
            "ms": {name: round(value, 3) for name, value in self.ms.items()},
        }


def _percent(name: str, probability: float) -> str:
    return f"{name} {100 * probability:.1f} %"


def read_prediction(
    prediction: NDArray[np.generic], task: Task
) -> tuple[str, float, dict[str, float] | None]:
    """Turn one row of `prediction`, (k,), into label, score and probabilities.

    Raises:
        VerificationFailed: the row holds NaN or infinity.
    """
    # Plain floats: on a handful of numbers numpy costs more than it saves.
    values: list[float] = prediction.tolist()
    if not all(map(math.isfinite, values)):
        raise VerificationFailed(
            "the engines gave NaN or infinity; build them again: trml-rt build"
        )
    if task.kind == "regression":
        assert task.range is not None  # R11
        score = min(max(values[0], task.range[0]), task.range[1])
        return label_of(score, task), score, None
    powers = [math.exp(value - max(values)) for value in values]
    named = {name: p / sum(powers) for name, p in zip(task.labels, powers, strict=True)}
    best = max(named, key=named.__getitem__)
    return best, named[best], named


def label_of(score: float, task: Task) -> str:
    """Return the label of a score: the number of thresholds at or below it is its place."""
    assert task.thresholds is not None  # R11
    return task.labels[sum(bound <= score for bound in task.thresholds)]
