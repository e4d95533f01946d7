"""Time contenders: each in a process of its own, calls interleaved between them.

A contender is a command that speaks lines of JSON. It loads, makes one call, and writes
`{"load_ms", "first_call_ms"}`; for each line that it reads it makes a call and writes
`{"ms", "answer"}`, the answer a list of numbers, and may add `"shares"`, the milliseconds of the
parts of the call by name; when its input ends it writes `{"peak_mb"}`.
Because calls alternate, a machine that slows down slows every contender alike.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trml_rt.errors import EnvironmentUnfit

__all__ = ["interleave"]

_WARM_UP = 2


@dataclass
class _Contender:
    process: subprocess.Popen[str]
    started: dict[str, float]
    ms: list[float] = field(default_factory=list)
    shares: list[dict[str, float]] = field(default_factory=list)
    joules: list[float | None] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)


def interleave(
    commands: Mapping[str, Sequence[str]],
    calls: int,
    *,
    warm_up: int = _WARM_UP,
    pause: float = 0.0,
    joules: Callable[[], float | None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Run the contenders of `commands` side by side and return what each took.

    Args:
        commands: what starts each contender, the reference first.
        calls: timed calls of each.
        warm_up: calls of each before those.
        pause: seconds before each call. Where a contender's threads spin on after a call, as those
            of ONNX Runtime and OpenMP do by default, it keeps them from the next one's cores.
        joules: tells the energy that the board has drawn so far; None where nothing does.

    Returns:
        For each by name: `load_ms`, `first_call_ms`, `p25_ms`, `p50_ms`, `p75_ms`, `p90_ms`,
        `p99_ms`, `calls`, `peak_mb` (of the whole process), `answer` (of the last call) and
        `speed_up`, the median over rounds of the first contender's time by this one's; `shares_ms`
        if it tells them, the median of each part of a call. With `joules` also `joules_a_call`, the
        mean of what the board drew during a call.

    Raises:
        EnvironmentUnfit: a contender ended early.
    """
    contenders: dict[str, _Contender] = {}
    try:
        for name, command in commands.items():
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for us; it ends when its input does
            )
            contenders[name] = _Contender(process, {})
            contenders[name].started = _line(name, process)
        for number in range(warm_up + calls):
            for name, contender in contenders.items():
                assert contender.process.stdin is not None
                time.sleep(pause)
                before = joules() if joules else None
                with contextlib.suppress(BrokenPipeError):  # it died; the next line says so
                    contender.process.stdin.write("\n")
                    contender.process.stdin.flush()
                said = _line(name, contender.process)
                after = joules() if joules else None
                contender.answer = said["answer"]
                if number >= warm_up:
                    contender.ms.append(said["ms"])
                    contender.shares.append(said.get("shares", {}))
                    drawn = None if before is None or after is None else after - before
                    contender.joules.append(drawn)
        first = np.array(next(iter(contenders.values())).ms)
        measured = {}
        for name, contender in contenders.items():
            assert contender.process.stdin is not None
            contender.process.stdin.close()
            ended = _line(name, contender.process)
            measured[name] = {
                **contender.started,
                **{
                    f"p{q}_ms": round(float(np.percentile(contender.ms, q)), 3)
                    for q in (25, 50, 75, 90, 99)
                },
                "calls": calls,
                **ended,
                **_medians(contender.shares),
                **({"joules_a_call": _mean(contender.joules)} if joules else {}),
                "speed_up": round(float(np.median(first / np.array(contender.ms))), 3),
                "answer": contender.answer,
            }
        return measured
    finally:
        for contender in contenders.values():
            if contender.process.poll() is None:
                contender.process.kill()
            contender.process.wait()
            for pipe in (contender.process.stdin, contender.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):  # what it was not told any more
                        pipe.close()


def _medians(shares: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the median of each part of the calls, where a contender tells them."""
    if not any(shares):
        return {}
    return {
        "shares_ms": {
            name: round(float(np.median([each[name] for each in shares])), 3) for name in shares[0]
        }
    }


def _mean(joules: Sequence[float | None]) -> float | None:
    """Return the joules of a call; None unless all of them are known."""
    known = [each for each in joules if each is not None]
    return round(float(np.mean(known)), 6) if len(known) == len(joules) else None


def _line(name: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise EnvironmentUnfit(
            f"the process that times {name!r} ended early; see its message above"
        )
    content: dict[str, Any] = json.loads(line)
    return content
