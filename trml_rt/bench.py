"""Time engine sets: each contender in a process of its own, calls interleaved between them.

A contender is a command that speaks lines of JSON. It loads, makes one call, and writes
`{"load_ms", "first_call_ms"}`; for each line that it reads it makes a call and writes
`{"ms", "answer"}`, the answer a list of numbers; when its input ends it writes `{"peak_mb"}`.
Because calls alternate, a machine that slows down slows every contender alike.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trml_rt.backends.tensorrt.cuda import current_gpu
from trml_rt.bundle.engine_folder import PRECISIONS, cpu_features, find_compiled, rebuild_command
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit

__all__ = ["bench", "interleave", "recommend"]

_WARM_UP = 2
_NOT_SLOWER = 0.97  # less is within what two runs of one graph differ by
_GAIN = 1.05


@dataclass
class _Contender:
    process: subprocess.Popen[str]
    started: dict[str, float]
    ms: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)


def interleave(
    commands: Mapping[str, Sequence[str]],
    calls: int,
    *,
    warm_up: int = _WARM_UP,
    pause: float = 0.0,
) -> dict[str, dict[str, Any]]:
    """Run the contenders of `commands` side by side and return what each took.

    Args:
        commands: what starts each contender, the reference first.
        calls: timed calls of each.
        warm_up: calls of each before those.
        pause: seconds before each call. Where a contender's threads spin on after a call, as those
            of ONNX Runtime and OpenMP do by default, it keeps them from the next one's cores.

    Returns:
        For each by name: `load_ms`, `first_call_ms`, `p50_ms`, `p90_ms`, `p99_ms`, `calls`,
        `peak_mb` (of the whole process), `answer` (of the last call) and `speed_up`, the median
        over rounds of the first contender's time by this one's.

    Raises:
        EnvironmentUnfit: a contender ended early.
    """
    contenders: dict[str, _Contender] = {}
    try:
        for name, command in commands.items():
            process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            contenders[name] = _Contender(process, {})
            contenders[name].started = _line(name, process)
        for number in range(warm_up + calls):
            for name, contender in contenders.items():
                assert contender.process.stdin is not None
                time.sleep(pause)
                contender.process.stdin.write("\n")
                contender.process.stdin.flush()
                said = _line(name, contender.process)
                contender.answer = said["answer"]
                if number >= warm_up:
                    contender.ms.append(said["ms"])
        first = np.array(next(iter(contenders.values())).ms)
        found = {}
        for name, contender in contenders.items():
            assert contender.process.stdin is not None
            contender.process.stdin.close()
            ended = _line(name, contender.process)
            found[name] = {
                **contender.started,
                **{
                    f"p{q}_ms": round(float(np.percentile(contender.ms, q)), 3)
                    for q in (50, 90, 99)
                },
                "calls": calls,
                **ended,
                "speed_up": round(float(np.median(first / np.array(contender.ms))), 3),
                "answer": contender.answer,
            }
        return found
    finally:
        for contender in contenders.values():
            if contender.process.poll() is None:
                contender.process.kill()
            contender.process.wait()
            for pipe in (contender.process.stdin, contender.process.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()


def bench(
    bundle: Bundle,
    precisions: Sequence[str] | None = None,
    *,
    backend: str = "onnxruntime",
    calls: int = 50,
    threads: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Time every engine set of `bundle` in each precision, the portable graphs first.

    The portable graphs run on ONNX Runtime, whatever the back end of the others.

    Args:
        bundle: the bundle; its engines must be built.
        precisions: those to time beside the portable graphs; None takes all that are built.
        backend: what the engines were built for, one of `compiled.BACKENDS`.
        calls: timed calls of each.
        threads: CPU threads an engine may use.
        progress: called with a line for each engine set.

    Returns:
        `backend`, `device`, and for each engine set and precision what `interleave` gives, with the
        difference of its score to that of the portable graphs instead of the answer.

    Raises:
        ArtefactMismatch: a named precision is not built, or none for a back end with a GPU.
        EnvironmentUnfit: the back end or its device is not here, or a contender ended early.
    """
    if precisions is None:
        precisions = [name for name in PRECISIONS if _is_built(bundle, name, backend)]
        if not precisions and backend != "onnxruntime":
            raise ArtefactMismatch(
                f"{bundle.folder}: no {backend} engines that fit; build them: "
                f"{rebuild_command(bundle, 'fp16', backend)}"
            )
    else:
        for name in precisions:
            find_compiled(bundle, name, backend)
    contenders = {"portable": "onnxruntime"} | dict.fromkeys(precisions, backend)
    device: dict[str, Any] = {"cpus": os.cpu_count(), "cpu_features": cpu_features()}
    if backend != "onnxruntime":
        device["gpu"] = current_gpu().name
    sets: dict[str, Any] = {}
    for engine_set in bundle.manifest.engine_sets:
        progress(f"{engine_set.name}: {calls} calls of each")
        commands = {
            name: [
                *(sys.executable, "-m", "trml_rt.bench_worker", str(bundle.folder)),
                *(engine_set.name, runs_on, name, str(threads or 0)),
            ]
            for name, runs_on in contenders.items()
        }
        found = interleave(commands, calls)
        reference = np.array(found["portable"]["answer"])
        for measured in found.values():
            difference = np.abs(np.array(measured.pop("answer")) - reference).max()
            measured["score_difference"] = float(difference)
        sets[engine_set.name] = found
    return {
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.sha256,
        "backend": backend,
        "device": device,
        "threads": threads,
        "engine_sets": sets,
    }


def recommend(report: dict[str, Any]) -> tuple[str, str]:
    """Return which precision this device should run by a report of `bench`, and why.

    What counts is the geometric mean of the gains over the engine sets. From the portable graphs
    over FP32 and FP16 to INT8, a precision takes the place of the one before if it gains 5 % on
    it and makes no engine set slower than the portable graphs.
    """
    sets = report["engine_sets"]
    gains = {
        name: {s: found[name]["speed_up"] for s, found in sets.items()}
        for name in PRECISIONS
        if name in next(iter(sets.values()))
    }
    best, best_mean = "portable", 1.0
    for name, by_set in gains.items():
        mean = math.prod(by_set.values()) ** (1 / len(by_set))
        if min(by_set.values()) >= _NOT_SLOWER and mean >= _GAIN * best_mean:
            best, best_mean = name, mean
    shown = "; ".join(
        f"{name} " + ", ".join(f"{s} {gain:.2f}x" for s, gain in by_set.items())
        for name, by_set in gains.items()
    )
    if best == "portable":
        return best, f"no precision is faster without an engine set that is slower: {shown}"
    return best, f"against the portable graphs, measured here: {shown}"


def _is_built(bundle: Bundle, precision: str, backend: str) -> bool:
    try:
        find_compiled(bundle, precision, backend)
    except ArtefactMismatch:
        return False
    return True


def _line(name: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise EnvironmentUnfit(
            f"the process that times {name!r} ended early; see its message above"
        )
    content: dict[str, Any] = json.loads(line)
    return content
