"""Make calls of all kinds from many threads at once, and compare each answer with that made alone.

    python benchmarks/soak_callers.py --out benchmarks/results/soak_callers.json \
        [--threads 8] [--calls 4000] [--bundle DIR]

The kinds are a text, frames, both, a batch of mixed rows, a trace, a clone that is closed again,
and calls that are refused. Each is made once alone. Then every thread makes them in an order of its
own, and an answer must be the one made alone: scores and tensors to the bit, errors to the word.
This is done on `load()`, on `load(callers=threads)`, and with two threads for each caller, whose
pool the callers share. It ends with exit code 1 where an answer differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

import trml_rt
from trml_rt.bundle.folder import default_bundle

TEXTS = ("what a good day", "a bad day, and the people were not kind", "good")


def kinds(frames: int) -> Mapping[str, Callable[[trml_rt.Runtime], Any]]:
    """Return what a caller does, by name; each gives what must be equal every time."""
    noise = np.random.default_rng(0).integers(0, 256, (frames, 90, 160, 3), dtype=np.uint8)
    clips = [noise, noise[: frames // 2 + 1], 255 - noise]
    rows = [TEXTS[0], (TEXTS[1], clips[0]), {"video": clips[1]}, "", TEXTS[2], (None, clips[2])]
    return {
        **{f"text {i}": lambda rt, t=t: said(rt.infer(t)) for i, t in enumerate(TEXTS)},
        **{f"frames {i}": lambda rt, c=c: said(rt.infer(video=c)) for i, c in enumerate(clips)},
        "both": lambda rt: said(rt.infer(TEXTS[0], clips[0])),
        "degraded": lambda rt: said(rt.infer("", clips[1], degrade=True)),
        "batch": lambda rt: [said(each) for each in rt.infer_batch(rows, on_error="return")],
        "trace": lambda rt: {
            name: {key: array.tobytes() for key, array in tensors.items()}
            for name, tensors in rt.trace(TEXTS[1], clips[2]).items()
        },
        "clone": in_a_clone,
        "empty text": lambda rt: refused(rt, text=" "),
        "no input": lambda rt: refused(rt),
        "no video": lambda rt: refused(rt, video=b"no video at all"),
    }


def said(answer: trml_rt.Answer | trml_rt.InputUnusable) -> Any:
    """Return an answer, which equals another to the bit, whatever its time; of an error words."""
    return (answer.reason, str(answer)) if isinstance(answer, trml_rt.InputUnusable) else answer


def in_a_clone(rt: trml_rt.Runtime) -> Any:
    """Answer in a clone of `rt` that lives for one call."""
    with rt.clone() as clone:
        return said(clone.infer(TEXTS[2]))


def refused(rt: trml_rt.Runtime, **inputs: Any) -> tuple[str, str]:
    """Return the error of a call that must fail, as type and words."""
    try:
        answer = rt.infer(**inputs)
    except trml_rt.TrmlError as error:
        return (type(error).__name__, str(error))
    sys.exit(f"{inputs} was answered: {answer}")


def soak(bundle: Path, threads: int, calls: int, options: dict[str, Any]) -> dict[str, Any]:
    """Return how many calls were made in which time, and the kinds of those that differed."""
    with trml_rt.load(bundle, **options) as rt:
        mixed = kinds(rt.bundle.manifest.video.frames)
        alone = {name: call(rt) for name, call in mixed.items()}

        def caller(number: int) -> list[str]:
            order = random.Random(number).choices([*mixed], k=calls // threads)
            return [name for name in order if mixed[name](rt) != alone[name]]

        start = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            wrong = [name for part in pool.map(caller, range(threads)) for name in part]
    return {
        "calls": calls // threads * threads,
        "seconds": round(time.perf_counter() - start, 1),
        "wrong": len(wrong),
        "kinds_of_wrong": sorted(set(wrong)),
    }


def main() -> None:
    """Run, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--calls", type=int, default=4000, help="of each way to load")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not 1 <= arguments.threads <= arguments.calls:
        parser.error("--threads: 1 at least, and a call for each")
    ways: dict[str, dict[str, Any]] = {
        "load()": {},
        "load(callers)": {"callers": arguments.threads},
        "load(callers, threads=2)": {"callers": arguments.threads, "threads": 2},
    }
    found = {
        name: soak(arguments.bundle, arguments.threads, arguments.calls, options)
        for name, options in ways.items()
    }
    report(
        {
            "bundle": arguments.bundle.name,
            "threads": arguments.threads,
            "ways": found,
            "machine": describe(("numpy", "onnxruntime", "pillow", "trml-rt")),
        },
        arguments.out,
    )
    sys.exit(1 if any(way["wrong"] for way in found.values()) else 0)


if __name__ == "__main__":
    main()
