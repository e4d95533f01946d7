"""Measure streams: a window with one new frame against one from scratch, memory, deadlines.

    python benchmarks/stream.py --out benchmarks/results/stream.json [--bundle DIR] \
        [--parts bits windows encoder soak deadlines]

First, streams of five window settings get 300 frames and three texts. Each answer is compared with
that of `infer` on the same frames and the same text, bit for bit.

Two streams get the same frames, of 640 x 360, and answer in turn: one keeps vectors, so a window
has one new frame. The other encodes whole windows. After them `infer` answers on the window from
scratch. The times are those of the clock and of all cores together. With --threads 1 the latter
hardly depend on what else the machine does. It also says whether the engine makes the same vector
of a frame alone and among others, and what the encoder takes for 1, 2, ... frames at once.

Then one stream answers on many frames, with a jump of time every 500 and a loss every 700. The
first tenth warms up. Memory may then grow by 2 % at most, and threads and open files not at all.
It ends with exit code 1 where that, or the sum of frames, does not hold.

Last, answers get a deadline: twice the median age that answers have here. Other processes then
take the cores, as many as there are, unless `--burners` says another number. Answers that met the
deadline are counted, those that were late, and those that left video out for it. Of the late ones
their number among the answers is told, and how late they were.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report
from soak import GROWTH, held

import trml_rt
from trml_rt.bundle.folder import default_bundle

TEXT = "so far, so good"
PARTS = ("bits", "windows", "encoder", "soak", "deadlines")


def noise(count: int) -> np.ndarray:
    """Return `count` frames of a camera, (count, 360, 640, 3)."""
    return np.random.default_rng(0).integers(0, 256, (count, 360, 640, 3), dtype=np.uint8)


def bits(rt: trml_rt.Runtime, count: int) -> dict[str, Any]:
    """Return how many answers of streams are not those of `infer`, by window setting."""
    most = rt.bundle.manifest.video.frames
    frames = noise(count)
    texts = {0: TEXT, count // 3: "what a bad day", 2 * count // 3: "so it is"}
    found = {}
    for window, every in ((1, 0.0), (2, 0.0), (most, 0.0), (most, 0.1), (3, 0.25)):
        taken: list[np.ndarray] = []
        wrong = 0
        with rt.stream(window=window, every=every, policy="every", hold=1e9) as stream:
            for number, frame in enumerate(frames):
                if number in texts:
                    stream.push_text(texts[number], t=number / 25)
                stream.push_frame(frame, t=number / 25)
                answer = stream.poll()
                if answer is not None:
                    taken.append(frame)
                    wrong += answer.plain() != rt.infer(answer.text, np.stack(taken[-window:]))
        found[f"window {window}, every {every}"] = {"answers": len(taken), "differ": wrong}
    return found


def windows(rt: trml_rt.Runtime, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of a window in three ways, with a text and without."""
    most = rt.bundle.manifest.video.frames
    frames = noise(most + rounds)
    found: dict[str, Any] = {"window": most, "windows": rounds}
    for kind in ("video", "text_video"):
        text = TEXT if kind == "text_video" else None
        kept, whole = (
            rt.stream(policy="every", buffer=1, hold=1e9, keep_vectors=keep)
            for keep in (True, False)
        )
        times: dict[str, list[tuple[float, float]]] = {}
        wrong = 0
        with kept, whole:
            for stream in (kept, whole):
                if text is not None:
                    stream.push_text(text, t=0.0)
            for number in range(most + rounds):
                window = frames[max(0, number + 1 - most) : number + 1]
                for stream in (kept, whole):
                    stream.push_frame(frames[number], t=number / 25)
                contenders: dict[str, Callable[[], trml_rt.Answer | None]] = {
                    "one_new_frame": kept.poll,
                    "all_encoded": whole.poll,
                    "from_scratch": partial(rt.infer, text, window),
                }
                scores = []
                for name, call in contenders.items():
                    clock, cores = time.perf_counter(), time.process_time()
                    answer = call()
                    spent = time.perf_counter() - clock, time.process_time() - cores
                    assert answer is not None
                    scores.append(answer.score)
                    if number >= most:
                        times.setdefault(name, []).append(spent)
                wrong += len(set(scores)) > 1
        ms = {
            name: [round(1e3 * statistics.median(each), 3) for each in zip(*spent, strict=True)]
            for name, spent in times.items()
        }
        new = ms["one_new_frame"]
        found[kind] = {
            **{f"{name}_ms": of_clock for name, (of_clock, _) in ms.items()},
            **{f"{name}_core_ms": of_cores for name, (_, of_cores) in ms.items()},
            "times_as_fast": round(ms["from_scratch"][0] / new[0], 2),
            "times_less_of_the_cores": round(ms["from_scratch"][1] / new[1], 2),
            "answers_that_differ_from_infer": wrong,
        }
    return found


def encoder_costs(rt: trml_rt.Runtime, rounds: int) -> dict[str, Any]:
    """Return what the image encoder takes of the cores for 1, 2, ... frames at once.

    The line through the first and the last of these says what a call costs whatever its frames, and
    what each frame adds: a window with one new frame pays the first in full.
    """
    video = rt.bundle.manifest.video
    dispatcher = rt._dispatcher
    encoder = dispatcher.encoder("frames")
    assert encoder is not None
    shape = (video.frames, video.height, video.width, 3)
    frames = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    counts = [n for n in (1, 2, 4, 8, 16) if n <= video.frames]
    spent: dict[int, list[float]] = {n: [] for n in counts}
    for _ in range(rounds):
        for n in counts:
            start = time.process_time()
            dispatcher.encode(encoder, {"frames": frames[:n]})
            spent[n].append((time.process_time() - start) * 1e3)
    ms = {n: round(statistics.median(each), 2) for n, each in spent.items()}
    a_frame = (ms[counts[-1]] - ms[1]) / (counts[-1] - 1)
    return {
        "core_ms": ms,
        "a_frame_ms": round(a_frame, 2),
        "a_call_ms": round(ms[1] - a_frame, 2),
        "frames_of_one_call_to_one_alone": round(ms[counts[-1]] / ms[1], 2),
    }


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
    late = [answer for answer in answers if answer.late]
    return {
        "calls": calls,
        "burners": burners,
        "deadline_ms": round(2 * median, 3),
        "met": round(1 - len(late) / calls, 4),
        "late": len(late),
        "late_at": {answer.seq: round(answer.age_ms, 1) for answer in late[:50]},
        "without_video": sum(answer.engine_set == "text" for answer in answers),
        "longest_ms": round(max(answer.age_ms for answer in answers), 3),
    }


def measured(rt: trml_rt.Runtime, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what each part found that was asked for."""
    found: dict[str, Any] = {}
    if "bits" in arguments.parts:
        found["bits"] = bits(rt, arguments.compared)
    if "windows" in arguments.parts:
        found |= windows(rt, arguments.windows)
    if "encoder" in arguments.parts:
        found["encoder"] = encoder_costs(rt, arguments.windows)
    if "soak" in arguments.parts:
        found["soak"] = soak(rt, arguments.frames)
    if "deadlines" in arguments.parts:
        found["deadlines"] = deadlines(rt, arguments.calls, arguments.burners)
    return found


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--compared", type=int, default=300, help="frames, bit for bit")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--precision")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--windows", type=int, default=200, help="of each kind")
    parser.add_argument("--frames", type=int, default=20000, help="of the soak")
    parser.add_argument("--calls", type=int, default=1000, help="with a deadline")
    parser.add_argument("--burners", type=int, default=os.cpu_count(), help="processes beside it")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    if arguments.frames < 100 or min(arguments.windows, arguments.calls) < 1:
        parser.error("--frames must be 100 at least, --windows and --calls 1")
    engines = {name: getattr(arguments, name) for name in ("backend", "precision", "threads")}
    with trml_rt.load(arguments.bundle, **engines) as rt:
        rt.warm_up()
        result = {
            "what": "windows of streams, and memory",
            "bundle": rt.bundle.manifest.name,
            "bundle_sha256": rt.bundle.sha256,
            **rt.provenance,
            "threads": arguments.threads,
            "same_vector_alone_and_among_others": same_bits(rt),
            **measured(rt, arguments),
            "load_average": round(os.getloadavg()[0], 1),
            "machine": describe(("trml-rt", "onnxruntime", "pillow", "numpy")),
        }
    report(result, arguments.out)
    differ = sum(each["differ"] for each in result.get("bits", {}).values())
    passed = not differ and result.get("soak", {"passed": True})["passed"]
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
