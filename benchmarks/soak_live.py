"""Stream from a live source whose reader is killed or stopped again and again.

    python benchmarks/soak_live.py --out benchmarks/results/soak_live.json \
        [--frames 90000] [--every 500] [--source "test:?rate=500&size=320x240"] [--bundle DIR]

A camera of 25 frames a second gives 90,000 frames in an hour, and 500 in 20 seconds. The source
gives them 20 times as fast. After every 500 the process that decodes is killed (SIGKILL), or
stopped for good (SIGSTOP). The stream must come back each time, in another epoch. Before each
fault memory, threads and open files of this process are noted. It ends with exit code 1 where an
answer is out of order, frames are not accounted for, a fault is not followed by a return, or
memory, threads or files have grown.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

import trml_rt
from trml_rt.bundle.folder import default_bundle

GROWTH = 0.02  # of memory, from the first quarter of the faults to the last
FAULTS = (signal.SIGKILL, signal.SIGSTOP)


def readers() -> list[int]:
    """Return the processes that this one has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found.append(int(folder.name))
    return found


def held() -> dict[str, int]:
    """Return the resident memory of this process in kB, its threads and its open files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return {
        "kb": int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "files": files,
    }


def soak(bundle: Path, source: str, frames: int, every: int) -> dict[str, Any]:
    """Return what became of the answers, of the frames and of this process."""
    states: list[str] = []
    noted: list[dict[str, int]] = []
    wrong: list[str] = []
    answers, last = 0, (0, 0.0)
    begin = time.monotonic()
    fault_at, real_since = every, 0
    with (
        trml_rt.load(bundle) as rt,
        rt.stream(
            source,
            [(0.0, 1e6, "what a good day")],
            stall_after=1.0,
            restart_after=2.0,
            on_event=lambda e: states.append(e.state) if e.input == "video" else None,
        ) as stream,
    ):
        for answer in stream:
            if answer.seq != answers:
                wrong.append(f"answer {answer.seq} came as number {answers}")
            answers += 1
            if answer.inputs["video"].state == "real":
                real_since += 1
                if (answer.epoch, answer.t1) < last:
                    wrong.append(f"{(answer.epoch, answer.t1)} came after {last}")
                last = (answer.epoch, answer.t1)
            seen = stream.totals.seen
            if seen >= frames and real_since:
                break
            if seen >= fault_at and real_since:
                noted.append(held())
                for pid in readers():
                    os.kill(pid, FAULTS[len(noted) % len(FAULTS)])
                fault_at, real_since = seen + every, 0
        stream.close()
        totals = stream.totals
    quarter = max(1, len(noted) // 4)
    first, final = (
        {name: max(each[name] for each in part) for name in ("kb", "threads", "files")}
        for part in (noted[:quarter], noted[-quarter:])
    )
    if final["kb"] > first["kb"] * (1 + GROWTH):
        wrong.append("memory has grown")
    wrong += [f"{name} have grown" for name in ("threads", "files") if final[name] > first[name]]
    if states.count("retrying") != len(noted) or last[0] < len(noted):
        wrong.append(f"{len(noted)} faults, but {states.count('retrying')} times retrying")
    if totals.seen != totals.answered + totals.waiting + sum(totals.dropped.values()):
        wrong.append("frames are not accounted for")
    return {
        "source": source,
        "seconds": round(time.monotonic() - begin, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "faults": len(noted),
        "answers": answers,
        "epochs": last[0] + 1,
        "frames": {"seen": totals.seen, "answered": totals.answered, "dropped": totals.dropped},
        "first_quarter": first,
        "last_quarter": final,
        "wrong": wrong[:20],
    }


def main() -> None:
    """Run, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--source", default="test:?rate=500&size=320x240")
    parser.add_argument("--frames", type=int, default=90_000)
    parser.add_argument("--every", type=int, default=500, help="frames between two faults")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not 0 < 2 * arguments.every < arguments.frames:
        parser.error("--every: so many frames that there is room for two faults")
    found = soak(arguments.bundle, arguments.source, arguments.frames, arguments.every)
    found["machine"] = describe(("numpy", "onnxruntime", "av", "trml-rt"))
    report(found, arguments.out)
    sys.exit(1 if found["wrong"] else 0)


if __name__ == "__main__":
    main()
