"""Collect activation ranges: a graph runs on real inputs, a calibrator of onnxruntime looks on.

The calibrators (largest value, entropy, percentile) are those of onnxruntime.quantization; what
is ours is the refusal of data that cannot tell a range.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import (
    CalibraterBase,
    CalibrationDataReader,
    EntropyCalibrater,
    MinMaxCalibrater,
    PercentileCalibrater,
)

from trml_calibration.graph import Feed
from trml_rt.errors import UsageError

__all__ = ["LEAST_SAMPLES", "METHODS", "Ranges", "check_feeds", "collect_ranges"]

Ranges = dict[str, tuple[float, float]]
"""The least and the greatest value of each tensor, as its quantisation should cover it."""

LEAST_SAMPLES = 32
"""The fewest distinct samples that a range may rest on; fewer miss the outliers that matter."""

METHODS = ("max", "entropy", "percentile")
_PERCENTILE = 99.99
_ENTROPY_BINS = 1024  # onnxruntime's default of 128 leaves the search no choice


def check_feeds(engine: str, feeds: Sequence[Feed]) -> None:
    """Refuse calibration data from which no range can be learnt.

    Raises:
        UsageError: too few distinct samples; says how many there are and how many are needed.
    """
    distinct = {
        b"".join(value.tobytes() for value in feed.values())
        for feed in feeds
        if all(value.min() < value.max() for value in feed.values())
    }
    if len(distinct) < LEAST_SAMPLES:
        raise UsageError(
            f"calibrating {engine!r} needs {LEAST_SAMPLES} samples that differ from each other and "
            f"are not constant; {len(feeds)} given, {len(distinct)} of that kind: give more with "
            "--data"
        )


def collect_ranges(
    graph: onnx.ModelProto, tensors: Iterable[str], feeds: Iterable[Feed], method: str
) -> Ranges:
    """Run `graph` on `feeds` and return the range of each of `tensors`.

    Args:
        graph: the FP32 graph; its nodes and tensors keep their names.
        tensors: names of float tensors in it.
        feeds: one sample after another; each runs alone.
        method: `max` covers every value; `percentile` all but 1 in 10,000; `entropy` cuts
            where the quantised histogram tells least from the real one.

    Raises:
        UsageError: a tensor shows no finite value.
    """
    names = set(tensors)
    if not names:  # a calibrator takes none for all
        return {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "graph.onnx"
        onnx.save(graph, source)
        calibrator = _calibrator(method, names)(source, Path(folder) / "augmented.onnx")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            calibrator.augment_graph()
            calibrator.create_inference_session()
            for feed in feeds:
                calibrator.collect_data(_Reader([feed]))
            data = calibrator.compute_data()
    ranges = {}
    for name in sorted(names):
        low, high = (float(np.min(bound)) for bound in data[name].range_value)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise UsageError(f"tensor {name!r} takes values that are not finite: {low}, {high}")
        ranges[name] = (low, high)
    return ranges


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def _calibrator(method: str, tensors: set[str]) -> Callable[[Path, Path], CalibraterBase]:
    """Return what makes the calibrator of `method` that looks at the `wanted` tensors only."""
    kinds: dict[str, tuple[type[CalibraterBase], dict[str, Any]]] = {
        "max": (MinMaxCalibrater, {}),
        "entropy": (EntropyCalibrater, {"num_bins": _ENTROPY_BINS}),
        "percentile": (PercentileCalibrater, {"percentile": _PERCENTILE}),
    }
    kind, settings = kinds[method]

    class Selecting(kind):  # type: ignore[misc, valid-type]
        def select_tensors_to_calibrate(self, model: onnx.ModelProto) -> Any:
            names, infos = super().select_tensors_to_calibrate(model)
            return {name for name in names if name in tensors}, infos

    def make(source: Path, augmented: Path) -> CalibraterBase:
        return Selecting(source, augmented_model_path=str(augmented), **settings)

    return make
