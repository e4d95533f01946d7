"""Time what the runtime adds around its engines: tokens or pixels, tensors, the answer.

    python benchmarks/overhead.py --out benchmarks/results/overhead.json

For each kind of input, many calls of `Runtime.infer` are timed as a whole; the times that the
answer states for its engines and for decoding are taken off. What is left is the runtime's
own work. The answers of all calls are compared with the first. Needs no training package.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import trml_rt
from trml_rt.bundle.folder import default_bundle

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

TEXT = "I did not expect much, but the people were kind and the food was good; we stayed for hours."


def measure(infer: Callable[[], trml_rt.Answer], calls: int, warm_up: int) -> dict[str, Any]:
    """Return percentiles, in milliseconds, of a call and of its part outside the engines."""
    total, outside = [], []
    first = infer()
    for number in range(warm_up + calls):
        start = time.perf_counter()
        answer = infer()
        wall = (time.perf_counter() - start) * 1e3
        if abs(answer.score - first.score) > 1e-5:
            raise SystemExit(f"the answer changed from {first.score} to {answer.score}")
        engines = sum(ms for name, ms in answer.ms.items() if name not in _OWN)
        if number >= warm_up:
            total.append(wall)
            outside.append(wall - engines - answer.ms["decode"])
    return {
        "calls": calls,
        "call_ms": percentiles(total),
        "outside_engines_ms": percentiles(outside),
    }


_OWN = ("decode", "preprocess", "total")


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p90 and p99."""
    return {f"p{q}": round(float(np.percentile(values, q)), 4) for q in (50, 90, 99)}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    frames = np.random.default_rng(0).integers(0, 256, (8, 360, 640, 3), dtype=np.uint8)
    with trml_rt.load(arguments.bundle) as rt:
        few = max(1, arguments.calls // 20)
        result = {
            "what": "time outside the engines, decoding apart",
            "bundle": rt.bundle.manifest.name,
            "bundle_sha256": rt.bundle.sha256,
            "machine": describe(("trml-rt", "onnxruntime", "tokenizers", "pillow", "numpy")),
            "text_tokens": rt.infer(text=TEXT).inputs["text"].tokens,
            "video_frames": "8 arrays of 360 x 640",
            "text": measure(lambda: rt.infer(text=TEXT), arguments.calls, few),
            "video": measure(lambda: rt.infer(video=frames), few, 2),
            "text_video": measure(lambda: rt.infer(text=TEXT, video=frames), few, 2),
        }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
