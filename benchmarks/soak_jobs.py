"""Kill a job at random moments again and again, and compare its end with that of a clean run.

    python benchmarks/soak_jobs.py --out benchmarks/results/soak_jobs.json \
        [--rows 10000] [--kills 100] [--bundle DIR]

The rows have texts, clips or both. Two in a hundred clips are broken, and three end the process
that decodes them, as a fault in a decoder does. One job runs to its end undisturbed. Another one is
killed, its workers or all of it, by SIGKILL, SIGTERM or SIGINT, and is started again each time.
Where it ends before the next kill, its file is compared, and a new job begins. The last one runs to
its end. A file must have every key once, and the bytes of the clean one, and nothing half written
may lie beside it. It ends with exit code 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

from trml_rt.backends.process import python_command
from trml_rt.bundle.folder import default_bundle
from trml_rt.inputs import prepare
from trml_rt.jobs import crew, run_job, worker
from trml_rt.jobs.folder import folder_of

WORDS = ("what", "a", "good", "bad", "day", "the", "people", "were", "kind", "not", "sad", "sun")
CLIPS = 200  # different ones; rows share them, and their files cost time to make
CRASHES = 3
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def make_archive(folder: Path, rows: int) -> Path:
    """Write the rows and their clips; return the file of rows."""
    make, chance = np.random.default_rng(0), random.Random(0)
    for number in range(CLIPS):
        pixels = make.integers(0, 256, (90, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"clip{number}.jpg")
    whole = (folder / "clip0.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 3][::-1])
    crashing = chance.sample(range(rows), CRASHES)
    lines = []
    for number in range(rows):
        row = {"id": f"r{number}"}
        if number % 3 != 1:
            row["text"] = " ".join(chance.choices(WORDS, k=chance.randint(1, 30)))
        if number % 3 or number in crashing:
            row["video"] = f"clip{chance.randrange(CLIPS)}.jpg"
        if number % 50 == 7:
            row["video"] = "broken.jpg"
        if number in crashing:
            row["video"] = f"crash{crashing.index(number)}.jpg"
            (folder / row["video"]).write_bytes(whole)
        lines.append(json.dumps(row))
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run_child(arguments: list[str]) -> None:
    """Run the job in this process; its workers are this script, too."""
    data, out, bundle = arguments
    crew.python_command = lambda _, options: python_command("soak_jobs", "--worker", options)
    run_job(data, out, bundle, resume=True)


def be_worker(options: str) -> None:
    """Be a worker whose decoder has a fault that some files meet."""
    decode = prepare.read_frames

    def crashing(path: Any, *arguments: Any, **more: Any) -> Any:
        if Path(path).name.startswith("crash"):
            signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)
        return decode(path, *arguments, **more)

    prepare.read_frames = crashing
    worker.serve(json.loads(options))


def start(data: Path, out: Path, bundle: Path) -> subprocess.Popen[bytes]:
    """Start the job in a process of its own."""
    words = [str(Path(__file__).resolve()), "--child", str(data), str(out), str(bundle)]
    with data.with_name("log.txt").open("ab") as log:
        return subprocess.Popen([sys.executable, *words], stderr=log)


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the processes that a job has started."""
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def soak(data: Path, bundle: Path, kills: int, seconds: float) -> dict[str, Any]:
    """Kill the job at random moments, let it end, and say how its file compares."""
    chance = random.Random(1)
    clean, killed = data.with_name("clean.jsonl"), data.with_name("killed.jsonl")
    begun = time.monotonic()
    if code := start(data, clean, bundle).wait():
        sys.exit(f"the clean run ended with code {code}")
    alone = time.monotonic() - begun
    done: Counter[str] = Counter()
    ended, left = 1, kills  # the last job ends in any case
    while left:
        job = start(data, killed, bundle)
        try:
            code = job.wait(timeout=chance.uniform(0, seconds))
            if code or killed.read_bytes() != clean.read_bytes():
                told = data.with_name("log.txt").read_text(errors="replace")[-2000:]
                sys.exit(f"the job ended by itself, with code {code}, after {dict(done)}: {told}")
            ended += 1
            killed.unlink()  # all rows are answered: the next job begins anew
            shutil.rmtree(folder_of(killed))
        except subprocess.TimeoutExpired:
            left -= 1
            found = workers_of(job)
            if found and chance.random() < 0.2:  # a worker alone: the job outlives it
                os.kill(chance.choice(found), signal.SIGKILL)
                done["a worker"] += 1
                time.sleep(0.5)
            how = chance.choice(SIGNALS)
            job.send_signal(how)
            done[how.name] += 1
            job.wait()
    code = start(data, killed, bundle).wait()
    records = [json.loads(line) for line in killed.read_text(encoding="utf-8").splitlines()]
    keys = Counter(record["key"] for record in records)
    rows = [json.loads(line)["id"] for line in data.read_text(encoding="utf-8").splitlines()]
    equal = killed.read_bytes() == clean.read_bytes()
    left = sorted(path.name for path in data.parent.glob(".partial-*"))
    once = list(keys) == rows and set(keys.values()) == {1}
    return {
        "rows": len(rows),
        "kills": dict(done),
        "jobs_that_ended": ended,
        "seconds_of_the_clean_run": round(alone, 1),
        "errors": dict(Counter(record["error"] for record in records if "error" in record)),
        "every_key_once": once,
        "bytes_of_the_clean_run": equal,
        "half_written_files_left": left,
        "sha256": hashlib.sha256(killed.read_bytes()).hexdigest(),
        "passed": code == 0 and once and equal and not left,
    }


def main() -> None:
    """Run, print and write the record; or be one of its processes."""
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2:])
        return
    if sys.argv[1:2] == ["--worker"]:
        be_worker(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8, help="the most between start and kill")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = make_archive(Path(folder), arguments.rows)
        found = soak(data, arguments.bundle, arguments.kills, arguments.seconds)
    packages = ("av", "numpy", "onnxruntime", "pillow", "trml-rt")
    report({"bundle": arguments.bundle.name, **found, "machine": describe(packages)}, arguments.out)
    sys.exit(0 if found["passed"] else 1)


if __name__ == "__main__":
    main()
