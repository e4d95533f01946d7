"""Keep an INT8 graph exact enough: rank its layers by harm, and leave the worst in FP32.

The measure is the least cosine, over samples that took no part in calibration, between the
rows of the INT8 graph's output and those of the FP32 graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from trml_calibration.int8 import layers, quantise
from trml_calibration.ranges import Feed, Ranges
from trml_rt.errors import VerificationFailed

__all__ = ["Guarded", "cosines", "guard", "outputs"]

_RANKING_SAMPLES = 8  # the ranking needs an order, not a figure

# It would give filters that were left in FP32 one scale for all channels, unasked.
_NOT_WANTED = ["WeightBiasQuantization"]


@dataclass(frozen=True)
class Guarded:
    """An INT8 graph that holds the gate, and how it came to."""

    model: onnx.ModelProto
    kept: list[str]
    least_cosine: float
    mean_cosine: float
    table: list[tuple[str, float]] = field(default_factory=list)


def guard(
    graph: onnx.ModelProto,
    ranges: Ranges,
    form: str,
    feeds: Sequence[Feed],
    least_cosine: float,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Guarded:
    """Return the INT8 `form` of `graph` with as few layers left in FP32 as the gate needs.

    Args:
        graph: what `int8.load_basic` gave.
        ranges: of its activations.
        form: `portable` or `cpu`.
        feeds: samples to measure with, which took no part in calibration.
        least_cosine: the gate, for the worst row of all samples.
        progress: called with a line for each step.

    Raises:
        VerificationFailed: the gate does not even hold with all layers in FP32.
    """
    reference = outputs(graph, feeds)

    def attempt(kept: list[str]) -> Guarded:
        names = [name for name in layers(graph) if name not in kept]
        model = quantise(graph, ranges, form, only=set(names))
        found = cosines(reference, outputs(model, feeds))
        return Guarded(model, kept, float(found.min()), float(found.mean()))

    best = attempt([])
    if best.least_cosine >= least_cosine:
        return best
    progress(f"cosine {best.least_cosine:.4f}, {least_cosine:g} needed: ranking the layers")
    table = _ranking(graph, ranges, form, feeds, reference)
    found = [
        made
        for words, order in _orders(graph, table).items()
        if (made := _shortest(order, attempt, least_cosine, words, progress)) is not None
    ]
    if not found:
        raise VerificationFailed(
            f"no {form} INT8 graph reaches a cosine of {least_cosine:g}; allow more with --max-drop"
        )
    best = min(found, key=lambda made: len(made.kept))
    return Guarded(best.model, best.kept, best.least_cosine, best.mean_cosine, table)


def _orders(graph: onnx.ModelProto, table: list[tuple[str, float]]) -> dict[str, list[str]]:
    """Return the orders in which layers may be moved back to FP32.

    Of convolutions also from the input on: a layer that is left in FP32 between two in INT8
    has its input and output rounded all the same.
    """
    orders = {"worst first": [name for name, _ in table]}
    names = layers(graph)
    if any(node.op_type == "Conv" and node.name in names for node in graph.graph.node):
        orders["from the input on"] = names
    return orders


def _shortest(
    order: list[str],
    attempt: Callable[[list[str]], Guarded],
    least_cosine: float,
    words: str,
    progress: Callable[[str], None],
) -> Guarded | None:
    """Return the attempt with the shortest head of `order` in FP32 that holds the gate.

    The head is doubled until the gate holds, then the last step is halved.
    """

    def head(count: int) -> Guarded:
        made = attempt(order[:count])
        progress(f"{words}: {count} of {len(order)} layers in FP32: cosine {made.least_cosine:.4f}")
        return made

    missed, count = 0, 1
    while (best := head(count)).least_cosine < least_cosine:
        if count == len(order):
            return None
        missed, count = count, min(2 * count, len(order))
    while count - missed > 1:
        middle = (missed + count) // 2
        if (made := head(middle)).least_cosine >= least_cosine:
            best, count = made, middle
        else:
            missed = middle
    return best


def _ranking(
    graph: onnx.ModelProto,
    ranges: Ranges,
    form: str,
    feeds: Sequence[Feed],
    reference: list[NDArray[np.floating]],
) -> list[tuple[str, float]]:
    """Return each layer with the error that it causes alone, 1 - mean cosine, worst first."""
    step = -(-len(feeds) // _RANKING_SAMPLES)
    few, answers = feeds[::step], reference[::step]
    found = []
    for name in layers(graph):
        alone = quantise(graph, ranges, form, only={name}, tables=False)
        found.append((name, float(1 - cosines(answers, outputs(alone, few)).mean())))
    return sorted(found, key=lambda item: -item[1])


def outputs(model: onnx.ModelProto, feeds: Sequence[Feed]) -> list[NDArray[np.floating]]:
    """Return the first output of `model` for each sample, (rows, d)."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=_NOT_WANTED,
    )
    return [session.run(None, feed)[0] for feed in feeds]


def cosines(
    reference: Sequence[NDArray[np.floating]], given: Sequence[NDArray[np.floating]]
) -> NDArray[np.float64]:
    """Return the cosine of every row with its reference; a row that is not finite has -1."""
    a, b = (np.concatenate(list(arrays)).astype(np.float64) for arrays in (reference, given))
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    found = (a * b).sum(-1) / np.maximum(lengths, 1e-30)
    return np.where(np.isfinite(found), found, -1.0)
