"""Measure streams: a window with one new frame against one from scratch, memory, deadlines.

    python benchmarks/stream.py --out benchmarks/results/stream.json [--bundle DIR] [--frames 20000]

Two streams get the same frames, of 640 x 360, and answer in turn: one keeps vectors, the other
encodes each window from scratch. Their answers are compared with those of `infer`, bit for bit. It
also says whether the engine makes the same vector of a frame alone and among others.

Then one stream answers on many frames, with a jump of time every 500 and a loss every 700. The
first tenth warms up. Memory may then grow by 2 % at most, and threads and open files not at all.
It ends with exit code 1 where that, or the sum of frames, does not hold.

Last, answers get a deadline: twice the median age that answers have here. Other processes then
take the cores, as many as there are, unless `--burners` says another number. Answers that met the
deadline are counted, those that were late, and those that left video out for it.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report
from soak import GROWTH, held

import trml_rt
from trml_rt.bundle.folder import default_bundle

TEXT = "so far, so good"


def noise(count: int) -> np.ndarray:
    """Return `count` frames of a camera, (count, 360, 640, 3)."""
    return np.random.default_rng(0).integers(0, 256, (count, 360, 640, 3), dtype=np.uint8)


def windows(rt: trml_rt.Runtime, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of both kinds of windows, with a text and without."""
    most = rt.bundle.manifest.video.frames
    frames = noise(most + rounds)
    found: dict[str, Any] = {"window": most, "windows": rounds}
    for kind in ("video", "text_video"):
        ms: dict[bool, list[float]] = {True: [], False: []}
        wrong = 0
        streams = {
            keep: rt.stream(policy="every", buffer=1, hold=1e9, keep_vectors=keep) for keep in ms
        }
        text = TEXT if kind == "text_video" else None
        for stream in streams.values():
            if text is not None:
                stream.push_text(text, t=0.0)
        for number, frame in enumerate(frames):
            scores = []
            for keep, stream in streams.items():
                stream.push_frame(frame, t=number / 25)
                start = time.perf_counter()
                answer = stream.poll()
                taken = (time.perf_counter() - start) * 1e3
                assert answer is not None
                scores.append(answer.score)
                if number >= most:
                    ms[keep].append(taken)
            offline = rt.infer(text, frames[max(0, number + 1 - most) : number + 1])
            wrong += any(score != offline.score for score in scores)
        for stream in streams.values():
            stream.close()
        kept, scratch = (statistics.median(ms[keep]) for keep in (True, False))
        found[kind] = {
            "one_new_frame_ms": round(kept, 3),
            "from_scratch_ms": round(scratch, 3),
            "times_as_fast": round(scratch / kept, 2),
            "answers_that_differ_from_infer": wrong,
        }
    return found


def same_bits(rt: trml_rt.Runtime) -> bool:
    """Say whether the vectors of frames do not depend on how many are encoded at once."""
    video = rt.bundle.manifest.video
    shape = (video.frames, video.height, video.width, 3)
    frames = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    together = rt.trace(video=frames)["video"]["frame_vectors"]
    alone = [rt.trace(video=frame)["video"]["frame_vectors"][0] for frame in frames]
    return bool(np.array_equal(together, np.stack(alone)))


def soak(rt: trml_rt.Runtime, count: int) -> dict[str, Any]:
    """Return what was held at ten moments, and what became of the frames."""
    frames = noise(8)
    series, t, answers = [], 0.0, 0
    now = [0.0]
    with rt.stream(hold=1e9, clock=lambda: now[0]) as stream:
        gc.disable()
        for number in range(count):
            t += 0.04
            now[0] += 0.04
            if number % 500 == 499:
                t = 0.0
            if number % 700 == 699:
                stream.push_state("retrying")
            if number % 50 == 0:
                stream.push_text(TEXT)
            stream.push_frame(frames[number % 8], t=t)
            while stream.poll() is not None:
                answers += 1
            if (number + 1) % (count // 10) == 0:
                series.append({"frames": number + 1, **held()})
        gc.enable()
    warm, rest = series[0], series[1:]
    growth = max(point["memory_kib"] for point in rest) / warm["memory_kib"] - 1
    constant = all(
        (point["threads"], point["files"]) == (warm["threads"], warm["files"]) for point in rest
    )
    totals = stream.totals
    closed = totals.answered + sum(totals.dropped.values()) == totals.seen == count
    return {
        "frames": count,
        "answers": answers,
        "totals": totals.to_dict(),
        "memory_growth": round(growth, 5),
        "threads_and_files_constant": constant,
        "passed": closed and growth <= GROWTH and constant,
        "series": series,
    }


def deadlines(rt: trml_rt.Runtime, calls: int, burners: int) -> dict[str, Any]:
    """Return how many answers met a deadline while other processes took the cores."""
    frames = noise(8)

    def run(count: int, deadline_ms: float | None) -> list[trml_rt.StreamAnswer]:
        with rt.stream(hold=1e9, deadline_ms=deadline_ms) as stream:
            stream.push_text(TEXT)
            answers = []
            for number in range(count):
                stream.push_frame(frames[number % 8], t=number / 25)
                answer = stream.poll()
                assert answer is not None
                answers.append(answer)
            return answers

    median = statistics.median(answer.age_ms for answer in run(max(20, calls // 10), None)[10:])
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(burners)]
    try:
        answers = run(calls, 2 * median)
    finally:
        for other in others:
            other.kill()
            other.wait()
    late = sum(answer.late for answer in answers)
    return {
        "calls": calls,
        "burners": burners,
        "deadline_ms": round(2 * median, 3),
        "met": round(1 - late / calls, 4),
        "late": late,
        "without_video": sum(answer.engine_set == "text" for answer in answers),
        "longest_ms": round(max(answer.age_ms for answer in answers), 3),
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--windows", type=int, default=200, help="of each kind")
    parser.add_argument("--frames", type=int, default=20000, help="of the soak")
    parser.add_argument("--calls", type=int, default=1000, help="with a deadline")
    parser.add_argument("--burners", type=int, default=os.cpu_count(), help="processes beside it")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    if arguments.frames < 100 or min(arguments.windows, arguments.calls) < 1:
        parser.error("--frames must be 100 at least, --windows and --calls 1")
    with trml_rt.load(arguments.bundle) as rt:
        rt.warm_up()
        result = {
            "what": "windows of streams, and memory",
            "bundle": rt.bundle.manifest.name,
            "bundle_sha256": rt.bundle.sha256,
            **rt.provenance,
            "same_vector_alone_and_among_others": same_bits(rt),
            **windows(rt, arguments.windows),
            "soak": soak(rt, arguments.frames),
            "deadlines": deadlines(rt, arguments.calls, arguments.burners),
            "machine": describe(("trml-rt", "onnxruntime", "pillow", "numpy")),
        }
    report(result, arguments.out)
    sys.exit(0 if result["soak"]["passed"] else 1)


if __name__ == "__main__":
    main()
