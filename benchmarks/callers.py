"""What callers at once get out of the cores: two of them, with `load(callers=2)` and without it.

    python benchmarks/callers.py --out benchmarks/results/callers.json [--callers 2] [--bundle DIR]
        [--backend openvino]

A round is a number of calls of one kind, a text or eight frames of 640 x 360. `one` makes them one
after the other on `load()`. `callers` makes them from threads on `load(callers=n)`, each its share,
and `unsaid` does so on `load()`. `alone` is one caller on `load(callers=n)`. Each contender runs in
a process of its own, and rounds alternate between them. Every answer of a contender must be its
first one to the bit, and the contenders' answers must agree to float32 rounding. `speed_up` is the
median over rounds of the time of `one` by that of the contender: the gain in calls a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

import trml_rt
from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.cli.bench_worker import TEXT, serve
from trml_rt.proof.interleave import interleave

CONTENDERS = ("one", "alone", "unsaid", "callers")
CALLS = {"text": 64, "frames": 16}  # of a round, all callers together
PAUSE = 0.1  # seconds; threads of a contender may spin on for a while after a round
ROUNDING = 1e-5


def contend(
    name: str, bundle: Path, backend: str, kind: str, callers: int
) -> Callable[[], list[float]]:
    """Return a round of one contender, which gives the one answer of all its calls."""
    said = callers if name in ("alone", "callers") else 1
    rt = trml_rt.load(bundle, backend=backend, callers=said)
    frames = np.random.default_rng(0).integers(0, 256, (8, 360, 640, 3), dtype=np.uint8)
    inputs: dict[str, Any] = {"text": TEXT} if kind == "text" else {"video": frames}
    lanes = 1 if name in ("one", "alone") else callers
    pool = ThreadPoolExecutor(lanes)

    def share(_: int) -> list[float]:
        return [rt.infer(**inputs).score for _ in range(CALLS[kind] // lanes)]

    def once() -> list[float]:
        scores = {score for part in pool.map(share, range(lanes)) for score in part}
        if len(scores) > 1:
            sys.exit(f"{name}, {kind}: the answers of equal calls differ: {sorted(scores)}")
        return list(scores)

    return once


def main() -> None:
    """Measure, print and write the result; or serve as one contender."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--backend", default="onnxruntime", choices=("onnxruntime", "openvino"))
    parser.add_argument("--callers", type=int, default=2, choices=(2, 4, 8), metavar="2|4|8")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=CALLS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        serve(
            lambda: contend(
                *(arguments.contender, arguments.bundle, arguments.backend),
                *(arguments.kind, arguments.callers),
            )
        )
        return
    bundle = Bundle(arguments.bundle)
    packages = ("numpy", arguments.backend, "pillow", "trml-rt")
    result: dict[str, Any] = {
        "what": f"rounds of calls by one caller, and by {arguments.callers} at once",
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.sha256,
        "backend": arguments.backend,
        "callers": arguments.callers,
        "load_average_at_start": Path("/proc/loadavg").read_text().split()[:3],
        "kinds": {},
        "machine": describe(packages),
    }
    for kind, calls in CALLS.items():
        commands = {
            name: [
                *(sys.executable, str(Path(__file__).resolve()), "--bundle", str(bundle.folder)),
                *("--contender", name, "--kind", kind, "--callers", str(arguments.callers)),
                *("--backend", arguments.backend),
            ]
            for name in CONTENDERS
        }
        measured = interleave(commands, arguments.rounds, pause=PAUSE)
        answers = [each.pop("answer")[0] for each in measured.values()]
        if max(answers) - min(answers) > ROUNDING:
            sys.exit(f"{kind}: the answers of the contenders differ: {answers}")
        for each in measured.values():
            each["calls_a_second"] = round(calls / each["p50_ms"] * 1e3, 1)
        result["kinds"][kind] = {"calls_in_a_round": calls, **measured}
    report(result, arguments.out)


if __name__ == "__main__":
    main()
