"""Keep an INT8 graph exact enough: refine it, rank its layers by harm, leave the worst in FP32.

A graph of which more than half would have to stay gains nothing, for every change between INT8 and
FP32 costs time, too; it is left in FP32 whole.

What is exact enough is for a judge to say, see `judge`; here is the search.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from onnx import ModelProto

from trml_calibration.int8 import layers, quantise
from trml_calibration.ranges import Ranges
from trml_calibration.refine import Channels
from trml_rt.progress import counted

__all__ = ["Guarded", "Harm", "Judge", "Judged", "Source", "guard"]

_log = logging.getLogger(__name__)

_MOST_KEPT = 0.5  # of the layers


@dataclass(frozen=True)
class Judged:
    """What an INT8 graph was seen to do."""

    passed: bool
    vectors: float
    """1 - mean cosine between its output and that of FP32."""

    scores: float
    """Mean difference of the scores that follow from it."""

    summary: str
    """The figures that the gate looks at, for a line of progress."""

    measured: dict[str, Any]
    """By engine set, as `trml_rt.proof.compare.compare` gives it."""


Judge = Callable[[ModelProto, bool], Judged]
"""Judges a graph; True looks at a few samples only, which does for an order."""


@dataclass(frozen=True)
class Source:
    """What an INT8 graph is made from."""

    graph: ModelProto
    ranges: Ranges
    channels: Mapping[str, Channels] | None = None


@dataclass(frozen=True)
class Harm:
    """What one layer in INT8, alone, does: see `Judged`."""

    layer: str
    vectors: float
    scores: float


@dataclass(frozen=True)
class Guarded:
    """An INT8 graph and how it was found, or None where none is worth it."""

    model: ModelProto | None
    """None where more than half of the layers would have to stay in FP32."""

    kept: list[str]
    """The layers that stayed in FP32."""

    refined: bool
    judged: Judged
    """Of `model`, or of the last one that was tried."""

    table: list[Harm]
    """Worst first; empty where all layers are in INT8."""


def guard(
    plain: Source,
    refine: Callable[[], Source],
    form: str,
    judge: Judge,
) -> Guarded:
    """Return the INT8 `form` of a graph with as few layers left in FP32 as the gate needs.

    The plain graph is tried first, then the refined one, then the better of the two with its
    worst layers in FP32.

    Args:
        plain: the FP32 graph and the ranges of its activations.
        refine: makes what `plain` is once it is smoothed, with channels to correct biases by.
        form: `portable` or `cpu`.
        judge: measures a graph against the gate, on samples that took no part in calibration.
    """

    def attempt(source: Source, in_fp32: list[str]) -> tuple[ModelProto, Judged]:
        names = {name for name in layers(source.graph) if name not in in_fp32}
        model = quantise(source.graph, source.ranges, form, only=names, channels=source.channels)
        return model, judge(model, False)

    model, first = attempt(plain, [])
    if first.passed:
        return Guarded(model, [], False, first, [])
    _log.info("%s: smoothing activations and correcting biases", first.summary)
    refined = refine()
    model, second = attempt(refined, [])
    if second.passed:
        return Guarded(model, [], True, second, [])
    source = refined if second.scores <= first.scores else plain
    _log.info("%s: ranking the layers", second.summary)
    table = _ranking(source, form, judge)
    order = [harm.layer for harm in table]

    def head(count: int) -> Guarded:
        model, judged = attempt(source, order[:count])
        _log.info("%d of %d layers in FP32: %s", count, len(order), judged.summary)
        return Guarded(model, order[:count], source is refined, judged, table)

    return _shortest(head, int(_MOST_KEPT * len(order)))


def _shortest(head: Callable[[int], Guarded], most: int) -> Guarded:
    """Return the attempt with the fewest layers in FP32, `most` of them, that holds the gate.

    Their number is doubled until the gate holds, then the last step is halved.
    """
    missed, count = 0, min(1, most)
    while not (best := head(count)).judged.passed:
        if count == most:
            return replace(best, model=None)
        missed, count = count, min(2 * count, most)
    while count - missed > 1:
        middle = (missed + count) // 2
        if (attempted := head(middle)).judged.passed:
            best, count = attempted, middle
        else:
            missed = middle
    return best


def _ranking(source: Source, form: str, judge: Judge) -> list[Harm]:
    """Return each layer with the harm that it does alone, worst first.

    Scores and vectors count alike, each as the layer's share in the harm of all.
    """
    table: list[Harm] = []
    names = layers(source.graph)
    for name in counted(names, len(names), "layers ranked", _log):
        alone = quantise(
            source.graph, source.ranges, form, only={name}, tables=False, channels=source.channels
        )
        judged = judge(alone, True)
        table.append(Harm(name, judged.vectors, judged.scores))
    vectors = sum(harm.vectors for harm in table) or 1.0
    scores = sum(harm.scores for harm in table) or 1.0
    return sorted(table, key=lambda harm: -(harm.vectors / vectors + harm.scores / scores))
