"""What the runtime answers, and how it says which input was real, which virtual, and why."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trml_rt.bundle.manifest import Task
from trml_rt.errors import VerificationFailed

__all__ = ["Answer", "InputReport", "Reason", "certainty", "label_of", "read_prediction"]


class Reason(str, enum.Enum):
    """Why an input took no part, so that a virtual one stands in for it."""

    NOT_GIVEN = "not_given"
    EMPTY_TEXT = "empty_text"
    UNKNOWN_TEXT = "unknown_text"
    TOO_SHORT = "too_short"
    UNDECODABLE = "undecodable"
    # Those of streams (docs/streaming.md).
    CONNECTING = "connecting"
    STALLED = "stalled"
    LOST = "lost"
    FROZEN = "frozen"
    BLACK = "black"
    ENDED = "ended"
    STALE = "stale"
    DEADLINE = "deadline"
    # That of calls which take a video only if it is needed (docs/embedding-python.md).
    NOT_NEEDED = "not_needed"
    # That of timelines (docs/timeline.md).
    NO_SPEECH = "no_speech"

    def __str__(self) -> str:  # without it, Python 3.11 and later would give the member's name
        return self.value


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

    def __str__(self) -> str:
        """Return the fields that say something, for people."""
        words: list[str] = [self.state]
        words += [self.reason.value.replace("_", " ")] if self.reason is not None else []
        for count, unit in ((self.tokens, "token"), (self.frames, "frame")):
            words += [f"{count} {unit}{'' if count == 1 else 's'}"] if count is not None else []
        words += [word for word in ("truncated", "incomplete") if getattr(self, word)]
        return ", ".join(words)

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
    (classification; then `probabilities` holds one for each label). `ms` has milliseconds:
    `decode` for reading frames from a file and resizing them, which go side by side, `preprocess`
    for tokens and given frames, each engine by its name, and their `total`. Two answers are equal
    if they say the same, whatever time they took.
    """

    label: str
    score: float
    inputs: dict[str, InputReport] = field(hash=False)
    engine_set: str
    backend: str
    engines: str
    verified: bool
    probabilities: dict[str, float] | None = field(default=None, hash=False)
    range: tuple[float, float] | None = None
    """What `score` lies in, for regression."""
    ms: dict[str, float] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        """Return the label with its score, or with its probability and those of the others."""
        if self.probabilities is None:
            return f"{self.label}  {self.score:+.3f}"
        by_rank = sorted(self.probabilities.items(), key=lambda named: -named[1])
        others = ", ".join(f"{name} {_percent(p)}" for name, p in by_rank if name != self.label)
        return f"{self.label}  {_percent(self.score)}" + (f"  ({others})" if others else "")

    def __repr__(self) -> str:
        states = ", ".join(f"{name} {report.state}" for name, report in self.inputs.items())
        return f"<Answer {self.label!r} {self.score:.3f}: {states}>"

    def _repr_html_(self) -> str:
        """Return bars of the classes, or of the score in its range, and what was virtual."""
        named = self.probabilities or {self.label: self.score}
        low, high = self.range or (0.0, 1.0)
        shown = _percent if self.probabilities else "{:+.3f}".format
        rows = [(name, _bar(p, low, high), shown(p)) for name, p in named.items()]
        rows += [(name, escape(str(report)), "") for name, report in self.inputs.items()]
        engines = f"{self.engine_set} on {self.backend}, {self.engines} engines"
        rows += [("", escape(engines + ("" if self.verified else " (unverified)")), "")]
        cells = (
            f"<tr><td>{escape(name)}</td><td>{what}</td><td>{value}</td></tr>"
            for name, what, value in rows
        )
        return f"<p><b>{escape(str(self))}</b></p><table>{''.join(cells)}</table>"

    def to_json(self) -> str:
        """Return `to_dict` as JSON on one line."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

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


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"


def _bar(value: float, low: float, high: float) -> str:
    """Return a bar from zero, or from the end of the range nearest to it, to `value`, as HTML."""
    zero = min(max(0.0, low), high)
    start, end = (100 * (x - low) / (high - low or 1.0) for x in sorted((zero, value)))
    return (
        '<div style="width:12em;background:rgba(128,128,128,.25)"><div style="height:1em;'
        f'background:#4878d0;margin-left:{start:.1f}%;width:{end - start:.1f}%"></div></div>'
    )


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
    total = 0.0
    for power in powers:  # as every reader adds them: sum() of Python 3.12 rounds in another way
        total += power
    named = {name: power / total for name, power in zip(task.labels, powers, strict=True)}
    best = max(named, key=named.__getitem__)
    return best, named[best], named


def certainty(score: float, task: Task) -> float:
    """Return how sure an answer is of its label, by its score; 0 or more.

    For classification it is the probability of the label. For regression it is how far the score
    may move before the label is another one.
    """
    if task.kind == "classification":
        return score
    assert task.thresholds is not None  # R11
    return min((abs(score - bound) for bound in task.thresholds), default=math.inf)


def label_of(score: float, task: Task) -> str:
    """Return the label of a score: the number of thresholds at or below it is its place."""
    assert task.thresholds is not None  # R11
    return task.labels[sum(bound <= score for bound in task.thresholds)]
