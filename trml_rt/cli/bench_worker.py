"""One contender of `trml-rt bench`: one engine set in one precision, in a process of its own.

python -m trml_rt.cli.bench_worker BUNDLE ENGINE_SET BACKEND PRECISION THREADS
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from trml_rt.backends.process import peak_memory
from trml_rt.cli.printing import printable_lines
from trml_rt.errors import TrmlError

__all__ = ["engine_set_call", "peak_mb", "serve"]

TEXT = "I did not expect much, but the people were kind and the food was good."


def serve(load: Callable[[], Callable[[], list[float]]]) -> None:
    """Speak the protocol of `bench.interleave`: `load` opens the contender and gives its call."""
    start = time.perf_counter()
    call = load()
    loaded = time.perf_counter()
    call()
    _say({"load_ms": _ms(loaded - start), "first_call_ms": _ms(time.perf_counter() - loaded)})
    for _ in sys.stdin:
        start = time.perf_counter()
        answer = call()
        _say({"ms": (time.perf_counter() - start) * 1e3, "answer": answer})
    _say({"peak_mb": peak_mb()})


def peak_mb() -> float | None:
    """Return the largest resident memory of this process so far, in MB; None if unknown."""
    peak = peak_memory()
    return None if peak is None else round(peak / 1e6, 1)


def engine_set_call(
    bundle: str, engine_set: str, backend: str, precision: str, threads: int
) -> Callable[[], list[float]]:
    """Open a runtime and return a call of one engine set on fixed inputs, which gives the score."""
    import trml_rt

    runtime = trml_rt.load(
        bundle,
        backend=backend,
        precision=None if precision == "portable" else precision,  # type: ignore[arg-type]
        threads=threads or None,
    )
    video = runtime.bundle.manifest.video
    shape = (video.frames, video.height, video.width, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    inputs: dict[str, Any] = {}
    if "text" in engine_set.split("_"):
        inputs["text"] = TEXT
    if "video" in engine_set.split("_"):
        inputs["video"] = frames
    return lambda: [runtime.infer(**inputs).score]


def _say(content: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(content) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # who asked was killed
        os._exit(1)


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


if __name__ == "__main__":
    _, folder, name, runs_on, kind, count = sys.argv
    try:
        serve(lambda: engine_set_call(folder, name, runs_on, kind, int(count)))
    except TrmlError as error:
        sys.exit(f"trml-rt: {printable_lines(str(error))}")
