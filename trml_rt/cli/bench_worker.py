"""One contender of `trml-rt bench`: one engine set in one precision, in a process of its own.

python -m trml_rt.cli.bench_worker JSON, with the arguments of `engine_set_call`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple

import numpy as np

from trml_rt.backends.process import peak_memory
from trml_rt.cli.printing import printable_lines
from trml_rt.errors import TrmlError

__all__ = ["Told", "engine_set_call", "peak_mb", "serve"]

TEXT = "I did not expect much, but the people were kind and the food was good."


class Told(NamedTuple):
    """What a call gave, and the milliseconds of its parts."""

    answer: list[float]
    shares: dict[str, float]


def serve(load: Callable[[], Callable[[], list[float] | Told]]) -> None:
    """Speak the protocol of `bench.interleave`: `load` opens the contender and gives its call."""
    start = time.perf_counter()
    call = load()
    loaded = time.perf_counter()
    call()
    _say({"load_ms": _ms(loaded - start), "first_call_ms": _ms(time.perf_counter() - loaded)})
    for _ in sys.stdin:
        start = time.perf_counter()
        said = call()
        ms = (time.perf_counter() - start) * 1e3
        answer, shares = said if isinstance(said, Told) else (said, {})
        if shares:
            shares = {**shares, "rest": max(0.0, ms - sum(shares.values()))}
        _say({"ms": ms, "answer": answer, "shares": shares})
    _say({"peak_mb": peak_mb()})


def peak_mb() -> float | None:
    """Return the largest resident memory of this process so far, in MB; None if unknown."""
    peak = peak_memory()
    return None if peak is None else round(peak / 1e6, 1)


def engine_set_call(
    bundle: str,
    engine_set: str,
    backend: str,
    precision: str,
    threads: int | None = None,
    inputs: Mapping[str, Mapping[str, str]] | None = None,
    rows: int | None = None,
    callers: int | None = None,
    calls: int = 1,
) -> Callable[[], Told]:
    """Open a runtime and return a call of one engine set, which gives the scores.

    Args:
        bundle: folder of the bundle.
        engine_set: name of the set.
        backend: of the engines.
        precision: theirs, or "portable".
        threads: as in `trml_rt.load`.
        inputs: a `file` for text and video, or `words` for a text; None: one text, and frames.
        rows: of a call through `infer_batch`; None: one row through `infer`.
        callers: threads that call at once, on a runtime that is loaded for so many. What is timed
            is then a round, in which each makes `calls` calls of one row.
        calls: see `callers`.
    """
    import trml_rt

    runtime = trml_rt.load(
        bundle,
        backend=backend,
        precision=None if precision == "portable" else precision,  # type: ignore[arg-type]
        threads=threads,
        callers=callers or 1,
    )
    video = runtime.bundle.manifest.video
    shape = (video.frames, video.height, video.width, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    fixed: dict[str, Any] = {"text": TEXT, "video": frames}
    given = {
        name: each["words"] if "words" in each else Path(each["file"])
        for name, each in (inputs or {}).items()
    }
    taken: dict[str, Any] = {name: (given or fixed)[name] for name in engine_set.split("_")}

    def call() -> Told:
        answer = runtime.infer(**taken)
        return Told([answer.score], {k: ms for k, ms in answer.ms.items() if k != "total"})

    def batch(rows: int) -> Told:
        return Told([answer.score for answer in runtime.infer_batch([taken] * rows)], {})

    start = Barrier(callers or 1)

    def calls_of_one(_: int) -> list[float]:
        start.wait()
        return [runtime.infer(**taken).score for _ in range(calls)]

    if rows is not None:
        return partial(batch, rows)
    if callers is not None:
        pool = ThreadPoolExecutor(callers)
        lanes = range(callers)
        return lambda: Told([s for each in pool.map(calls_of_one, lanes) for s in each], {})
    return call


def _say(content: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(content) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # who asked was killed
        os._exit(1)


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    try:
        serve(lambda: engine_set_call(**arguments))
    except TrmlError as error:
        sys.exit(f"trml-rt: {printable_lines(str(error))}")
