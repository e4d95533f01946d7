"""Answer on videos thousands of times, and record memory, threads and open files on the way.

    python benchmarks/soak.py --out benchmarks/results/soak.json [--calls 5000] [--bundle DIR]

One process, Python's cycle collector off, so that nothing hides what is not freed at once. The
calls alternate between the sample clips, alone and with a text, and every answer is compared with
the first one of its kind. The first tenth warms up; memory may then grow by 2 % at most, and
threads and open files not at all. It ends with exit code 1 where one of these does not hold.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

import trml_rt
from trml_rt.bundle.folder import default_bundle

SAMPLES = Path(__file__).parents[1] / "samples"
CALLS = [
    {"video": SAMPLES / "smiling.mp4"},
    {"video": SAMPLES / "upset.mp4", "text": "what a day"},
]
GROWTH = 0.02  # of memory, after the warm-up


def held() -> dict[str, int]:
    """Return the memory in KiB, the threads and the open files of this process."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return {
        "memory_kib": int(fields["VmRSS"].split()[0]),
        "threads": int(fields["Threads"]),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


def soak(bundle: Path, calls: int) -> dict[str, Any]:
    """Return what was held at twenty moments, and what was wrong."""
    series: list[dict[str, int]] = []
    wrong = 0
    expected: dict[int, float] = {}
    start = time.perf_counter()
    with trml_rt.load(bundle) as rt:
        gc.disable()
        for number in range(calls):
            kind = number % len(CALLS)
            score = rt.infer(**CALLS[kind]).score
            wrong += score != expected.setdefault(kind, score)
            if (number + 1) % (calls // 20) == 0:
                series.append({"calls": number + 1, **held()})
        gc.enable()
    warm, rest = series[1], series[2:]
    growth = max(point["memory_kib"] for point in rest) / warm["memory_kib"] - 1
    constant = all(
        (point["threads"], point["files"]) == (warm["threads"], warm["files"]) for point in rest
    )
    return {
        "calls": calls,
        "seconds": round(time.perf_counter() - start, 1),
        "wrong_answers": wrong,
        "memory_growth": round(growth, 5),
        "threads_and_files_constant": constant,
        "passed": wrong == 0 and growth <= GROWTH and constant,
        "series": series,
    }


def main() -> None:
    """Run, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.calls < 40:
        parser.error("--calls: 40 at least, for twenty moments")
    found = soak(arguments.bundle, arguments.calls)
    packages = ("av", "numpy", "onnxruntime", "pillow", "trml-rt")
    report({"bundle": arguments.bundle.name, **found, "machine": describe(packages)}, arguments.out)
    sys.exit(0 if found["passed"] else 1)


if __name__ == "__main__":
    main()
