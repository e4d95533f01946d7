"""Time engine sets: each contender in a process of its own, calls interleaved between them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from trml_rt.backends import ONNXRUNTIME
from trml_rt.backends.cpu import describe_device
from trml_rt.bundle.arguments import check_threads, check_whole, path_of, wholes_of
from trml_rt.bundle.engine_folder import PRECISIONS
from trml_rt.bundle.folder import Bundle, BundleLike, open_bundle
from trml_rt.engines.choose import build_command
from trml_rt.errors import UsageError
from trml_rt.inputs.prepare import Inputs, Sample, TextLike
from trml_rt.proof.bench_compare import SCHEMA, Earlier
from trml_rt.proof.board import Board
from trml_rt.proof.contenders import PORTABLE, Rivals, commands_of, rivals_of
from trml_rt.proof.interleave import interleave

__all__ = ["BenchReport", "bench", "recommend"]

_log = logging.getLogger(__name__)

_NOT_SLOWER = 0.97  # less is within what two runs of one graph differ by
_GAIN = 1.05

CALLS_IN_A_ROUND = 4
"""Calls of each thread in a round of callers at once."""

Contended = dict[str, dict[str, Any]]
"""What was measured of each contender, by its name."""


@dataclass(frozen=True)
class BenchReport:
    """How fast each engine set is in each precision, on this device.

    Attributes:
        schema: 1; another number means other fields.
        engine_sets: for each engine set and contender what `interleave` gives, with the
            difference of its score to that of the portable graphs instead of the answer. Times
            are milliseconds, `peak_mb` is megabytes. `shares_ms` has the medians of `Answer.ms`,
            and the `rest` of a call outside of them. `joules_a_call` is what the board drew during
            a call; None where nothing here tells that.
        batches: for each engine set, number of rows (a str, as JSON has it) and contender the same
            of calls of so many rows through `infer_batch`, with `rows_a_second` and `joules_a_row`;
            no shares.
        callers: for each engine set, number of threads and contender the same of rounds, in which
            so many threads make `CALLS_IN_A_ROUND` calls each, and `calls_a_second`; no shares.
        inputs: the text and the video that were given, as words.
        engines: for each contender but the portable graphs the name of its engine folder.
        widened: for each contender whose manifest says so, the engines that compute in FP32 there
            instead of half precision, and why.
        recommended: the contender that this device should run, or "portable".
        because: what was measured for that.
        device: the CPU, how many there are, their features, and the GPU of a back end that has one.
        board: what tells the energy, and clocks, throttling and temperatures meanwhile; see
            `Board.report`.
        comparison: with an earlier report, as `Earlier.compare` gives it; None without one.
    """

    schema: int
    bundle: str
    bundle_sha256: str
    backend: str
    device: dict[str, Any]
    threads: int | None
    engine_sets: dict[str, Contended]
    batches: dict[str, dict[str, Contended]]
    callers: dict[str, dict[str, Contended]]
    engines: dict[str, str]
    recommended: str
    because: str
    inputs: dict[str, str]
    widened: dict[str, dict[str, str]]
    board: dict[str, Any]
    comparison: dict[str, Any] | None

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
    batches: Sequence[int] = (),
    callers: Sequence[int] = (),
    compare: str | os.PathLike[str] | None = None,
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
        batches: numbers of rows, to time calls of so many rows through `infer_batch`, too.
        callers: numbers of threads, to time so many that call at once, too. Each makes `calls`
            calls of one row, on a runtime that was loaded with `callers`.
        compare: JSON of an earlier report of the same bundle, device and options, to compare with.

    Raises:
        InputUnusable: `text` or `video` cannot be used.
        UsageError: an argument makes no sense, such as a back end that is not known.
        ArtefactMismatch: a named precision is not built, or none for a back end other than ONNX
            Runtime; or `compare` is no report, or one of something else.
        EnvironmentUnfit: the back end or its device is not here, or a contender ended early.
    """
    check_whole("calls", calls)
    if threads is not None:
        check_whole("threads", threads)
    batches, callers = wholes_of("batches", batches), wholes_of("callers", callers)
    for each in callers:
        check_threads(threads, each)
    earlier = None if compare is None else Earlier(path_of("compare", compare))
    opened = open_bundle(bundle)
    rivals = rivals_of(opened, backend, precisions)
    given = {name: value for name, value in (("text", text), ("video", video)) if value is not None}
    served = _served(opened, given)
    head: dict[str, Any] = {
        **{"schema": SCHEMA, "bundle": opened.manifest.name, "bundle_sha256": opened.sha256},
        **{"backend": backend, "threads": threads, "device": _device(rivals)},
        "inputs": {name: str(value) for name, value in given.items()},
    }
    if earlier is not None:
        earlier.refuse_other(head)

    def timed(engine_set: str, rounds: int = calls, **more: Any) -> Contended:
        fixed = {"engine_set": engine_set, "threads": threads, "inputs": _as_words(given)}
        commands = commands_of(opened, rivals, **fixed, **more)
        return _compared(interleave(commands, rounds, joules=board.joules))

    sets, by_rows, by_callers = {}, {}, {}
    with Board() as board:
        for name in served:
            _log.info("%s: %d calls of each", name, calls)
            sets[name] = timed(name)
            if batches:
                by_rows[name] = _by_rows(partial(timed, name), batches)
            if callers:
                by_callers[name] = _by_callers(partial(timed, name), callers, calls)
    seen = board.report()
    for warning in seen["warnings"]:
        _log.warning("%s", warning)
    recommended, because = _advice(opened, rivals, sets)
    tables: dict[str, Any] = {"engine_sets": sets, "batches": by_rows, "callers": by_callers}
    return BenchReport(
        **head,
        **tables,
        engines={name: engines.folder.name for name, (_, engines) in rivals.items()},
        recommended=recommended,
        because=because,
        widened={
            name: engines.manifest.widened
            for name, (_, engines) in rivals.items()
            if engines.manifest.widened
        },
        board=seen,
        comparison=None if earlier is None else earlier.compare(tables),
    )


def _device(rivals: Rivals) -> dict[str, Any]:
    """Return what a report says of the device."""
    here = describe_device()
    device = {"cpu": here["CPU"], "cpus": os.cpu_count(), "cpu_features": here["CPU features"]}
    for row, _ in rivals.values():
        device |= row.load().device(row.name)
    return device


def _served(bundle: Bundle, given: Mapping[str, Any]) -> list[str]:
    """Return the engine sets that inputs serve, all of them without any; see `bench` for errors."""
    names = [each.name for each in bundle.manifest.engine_sets]
    if not given:
        return names
    inputs = Inputs(bundle)
    for name, value in given.items():  # each alone, as some engine set gets it
        inputs.prepare(Sample(**{name: value}), degrade=False)
    served = [name for name in names if given.keys() >= set(name.split("_"))]
    if not served:
        raise UsageError(f"this bundle does not serve {' and '.join(given)}; leave it out")
    return served


def _by_rows(timed: Callable[..., Contended], batches: Sequence[int]) -> dict[str, Contended]:
    """Time calls of each number of rows, one number after the other."""
    measured = {}
    for rows in batches:
        _log.info("calls of %d rows", rows)
        measured[str(rows)] = timed(rows=rows)
        for each in measured[str(rows)].values():
            each["rows_a_second"] = _a_second(rows, each["p50_ms"])
            each["joules_a_row"] = _shared(each.pop("joules_a_call"), rows)
    return measured


def _by_callers(
    timed: Callable[..., Contended], callers: Sequence[int], calls: int
) -> dict[str, Contended]:
    """Time rounds of each number of callers at once, one number after the other."""
    measured = {}
    for number in callers:
        _log.info("%d callers at once", number)
        rounds = math.ceil(calls / CALLS_IN_A_ROUND)
        measured[str(number)] = timed(rounds, callers=number, calls=CALLS_IN_A_ROUND)
        for each in measured[str(number)].values():
            each["rounds"] = each.pop("calls")
            made = number * CALLS_IN_A_ROUND
            each["calls_a_second"] = _a_second(made, each["p50_ms"])
            each["joules_a_call"] = _shared(each["joules_a_call"], made)
    return measured


def _a_second(number: int, ms: float) -> float:
    return round(number / ms * 1e3, 1)


def _shared(joules: float | None, number: int) -> float | None:
    return None if joules is None else round(joules / number, 6)


def _compared(contended: Contended) -> Contended:
    """Put in the place of each answer its difference to that of the portable graphs."""
    reference = np.array(contended[PORTABLE]["answer"])
    for measured in contended.values():
        difference = np.abs(np.array(measured.pop("answer")) - reference).max()
        measured["score_difference"] = float(difference)
    return contended


def _advice(
    bundle: Bundle, rivals: Rivals, engine_sets: Mapping[str, Contended]
) -> tuple[str, str]:
    """Return what this device should run, and why, also where nothing is built."""
    if rivals:
        return recommend(engine_sets)
    command = build_command(bundle, PRECISIONS[0], ONNXRUNTIME)
    return PORTABLE, f"nothing else that fits is built; build one: {command}"


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
