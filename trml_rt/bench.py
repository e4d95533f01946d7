"""Time engine sets: each contender in a process of its own, calls interleaved between them."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trml_rt.backends import ONNXRUNTIME, BackendRow, row_of
from trml_rt.backends.cpu import cpu_features
from trml_rt.backends.process import python_command
from trml_rt.bundle.arguments import check_whole, names_of
from trml_rt.bundle.engine_folder import PRECISIONS, EngineFolder
from trml_rt.bundle.folder import Bundle, BundleLike, open_bundle
from trml_rt.engines.choose import (
    build_command,
    find_engines,
    fitting_precisions,
    verified_engines,
)
from trml_rt.errors import ArtefactMismatch, UsageError
from trml_rt.inputs.prepare import Inputs, Sample, TextLike
from trml_rt.proof.interleave import interleave

__all__ = ["PORTABLE", "BenchReport", "bench", "recommend"]

_log = logging.getLogger(__name__)

AUTO = "auto"
"""The name of all back ends together."""

PORTABLE = "portable"
"""The name of the bundle's own graphs among the contenders."""

_NOT_SLOWER = 0.97  # less is within what two runs of one graph differ by
_GAIN = 1.05


@dataclass(frozen=True)
class BenchReport:
    """How fast each engine set is in each precision, on this device.

    Attributes:
        engine_sets: for each engine set and contender what `interleave` gives, with the
            difference of its score to that of the portable graphs instead of the answer. Times
            are milliseconds, `peak_mb` is megabytes. `shares_ms` has the medians of `Answer.ms`,
            and the `rest` of a call outside of them.
        inputs: the text and the video that were given, as words.
        engines: for each contender but the portable graphs the name of its engine folder.
        recommended: the contender that this device should run, or "portable".
        because: what was measured for that.
        device: CPUs, their features, and the GPU of a back end that has one.
    """

    bundle: str
    bundle_sha256: str
    backend: str
    device: dict[str, Any]
    threads: int | None
    engine_sets: dict[str, dict[str, dict[str, Any]]]
    engines: dict[str, str]
    recommended: str
    because: str
    inputs: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, as `trml-rt bench --json` prints it."""
        return asdict(self)


def bench(
    bundle: BundleLike = None,
    precisions: Sequence[str] | str | None = None,
    *,
    backend: str = "onnxruntime",
    calls: int = 50,
    threads: int | None = None,
    text: TextLike | None = None,
    video: str | os.PathLike[str] | None = None,
) -> BenchReport:
    """Time every engine set of a bundle in each precision, the portable graphs first.

    The portable graphs run on ONNX Runtime, whatever the back end of the others.

    Args:
        bundle: the bundle, as in `build`; its engines must be built.
        precisions: those to time beside the portable graphs, or one; None takes all that are built.
        backend: what the engines were built for; "auto" times the verified engines of every back
            end side by side.
        calls: timed calls of each.
        threads: CPU threads an engine may use.
        text: to time calls from this text, or from the file that a Path names, to the answer.
        video: to time calls from this file to the answer. Only those engine sets are timed that
            `text` and `video` serve. Without both, all of them answer on one text and on frames.

    Raises:
        InputUnusable: `text` or `video` cannot be used.
        UsageError: an argument makes no sense, such as a back end that is not known.
        ArtefactMismatch: a named precision is not built, or none for a back end other than ONNX
            Runtime.
        EnvironmentUnfit: the back end or its device is not here, or a contender ended early.
    """
    check_whole("calls", calls)
    if threads is not None:
        check_whole("threads", threads)
    opened = open_bundle(bundle)
    rivals = _rivals(opened, backend, precisions)
    given = {name: value for name, value in (("text", text), ("video", video)) if value is not None}
    served = {engine_set.name for engine_set in opened.manifest.engine_sets}
    if given:
        inputs = Inputs(opened)
        for name, value in given.items():  # each alone, as some engine set gets it
            inputs.prepare(Sample(**{name: value}), degrade=False)
        served = {name for name in served if given.keys() >= set(name.split("_"))}
        if not served:
            raise UsageError(f"this bundle does not serve {' and '.join(given)}; leave it out")
    contenders = {PORTABLE: (ONNXRUNTIME.name, PORTABLE)} | {
        name: (row.name, engines.manifest.precision) for name, (row, engines) in rivals.items()
    }
    device = {"cpus": os.cpu_count(), "cpu_features": cpu_features()}
    for row, _ in rivals.values():  # before the timing, which an error would lose
        device |= row.load().device(row.name)
    sets: dict[str, Any] = {}
    for engine_set in opened.manifest.engine_sets:
        if engine_set.name not in served:
            continue
        _log.info("%s: %d calls of each", engine_set.name, calls)
        commands = {
            name: python_command(
                "trml_rt.cli.bench_worker",
                json.dumps(
                    {
                        **{"bundle": str(opened.folder), "engine_set": engine_set.name},
                        **{"backend": runs[0], "precision": runs[1], "threads": threads},
                        **{"inputs": _as_words(given)},
                    }
                ),
            )
            for name, runs in contenders.items()
        }
        contended = interleave(commands, calls)
        reference = np.array(contended[PORTABLE]["answer"])
        for measured in contended.values():
            difference = np.abs(np.array(measured.pop("answer")) - reference).max()
            measured["score_difference"] = float(difference)
        sets[engine_set.name] = contended
    command = build_command(opened, PRECISIONS[0], ONNXRUNTIME)
    recommended, because = PORTABLE, f"nothing else that fits is built; build one: {command}"
    if rivals:
        recommended, because = recommend(sets)
    return BenchReport(
        bundle=opened.manifest.name,
        bundle_sha256=opened.sha256,
        backend=backend,
        device=device,
        threads=threads,
        engine_sets=sets,
        engines={name: engines.folder.name for name, (_, engines) in rivals.items()},
        recommended=recommended,
        because=because,
        inputs={name: str(value) for name, value in given.items()},
    )


def _rivals(
    bundle: Bundle, backend: str, precisions: Sequence[str] | str | None
) -> dict[str, tuple[BackendRow, EngineFolder]]:
    """Return what is timed beside the portable graphs: by precision, or by back end and precision.

    See `bench` for the arguments and errors.
    """
    wanted = None if precisions is None else names_of("precisions", precisions)
    if backend == AUTO:
        pairs = verified_engines(bundle)
        built = {engines.manifest.precision for _, engines in pairs}
        for name in set(wanted or ()) - built:
            raise ArtefactMismatch(
                f"{bundle.folder}: no {name} engines that fit and are verified; `trml-rt inspect` "
                "says why"
            )
        rivals = {
            f"{row.name} {engines.manifest.precision}": (row, engines)
            for row, engines in pairs
            if wanted is None or engines.manifest.precision in wanted
        }
        several = len({row.name for row, _ in rivals.values()}) > 1
        return rivals if several else {name.split()[1]: pair for name, pair in rivals.items()}
    row = row_of(backend)
    if wanted is None:
        wanted = fitting_precisions(bundle, row)
        if not wanted and row is not ONNXRUNTIME:
            command = build_command(bundle, next(iter(row.unasked or row.recipes)), row)
            raise ArtefactMismatch(
                f"{bundle.folder}: no {backend} engines that fit; build them: {command}"
            )
    return {name: (row, find_engines(bundle, name, row)) for name in wanted}


def _as_words(given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return inputs for a worker: a file by its whole path, a text as it is."""
    return {
        name: {"words": value}
        if name == "text" and isinstance(value, str)
        else {"file": os.path.abspath(value)}  # noqa: PTH100 - links stay as they are
        for name, value in given.items()
    }


def recommend(engine_sets: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """Return which contender this device should run by the engine sets of a report, and why.

    What counts is the geometric mean of the gains over the engine sets. From the portable graphs
    over FP32 and FP16 to INT8, a contender takes the place of the one before if it gains 5 % on
    it and makes no engine set slower than the portable graphs.
    """
    names = [name for name in next(iter(engine_sets.values())) if name != PORTABLE]
    gains = {
        name: {s: measured[name]["speed_up"] for s, measured in engine_sets.items()}
        for name in sorted(names, key=lambda name: PRECISIONS.index(name.split()[-1]))
    }
    best, best_mean = PORTABLE, 1.0
    for name, by_set in gains.items():
        mean = math.prod(by_set.values()) ** (1 / len(by_set))
        if min(by_set.values()) >= _NOT_SLOWER and mean >= _GAIN * best_mean:
            best, best_mean = name, mean
    shown = "; ".join(
        f"{name} " + ", ".join(f"{s} {gain:.2f}x" for s, gain in by_set.items())
        for name, by_set in gains.items()
    )
    if best == PORTABLE:
        return best, f"no precision is faster without an engine set that is slower: {shown}"
    return best, f"against the portable graphs, measured here: {shown}"
