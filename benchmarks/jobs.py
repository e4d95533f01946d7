"""How many rows a second a job answers: with one worker, with two, and against plain calls.

    python benchmarks/jobs.py --out benchmarks/results/jobs.json [--clips 1000] [--rounds 3]

The rows are short clips of their own, some with a text. `one` is a job with one worker of one
thread, `two` has two such workers, `default` has what the command takes unasked. `calls` is one
process that calls `Runtime.infer` on row after row. `commands` is a script that types `trml-rt
infer` for row after row; it gets a part of the rows, because each takes as long as the last one.
Each contender runs in processes of its own, and its start counts. Rounds alternate between them.
The answers of all must be the same. A speed-up is the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

from trml_rt.bundle.folder import default_bundle

WORDS = "What a good day, and the people were kind."
COMMANDS = 20  # rows of the script that types commands
JOBS = {
    "one": ("--workers", "1", "--threads", "1"),
    "two": ("--workers", "2", "--threads", "1"),
    "default": (),
}


def make_clips(folder: Path, count: int) -> Path:
    """Write clips of two seconds, each with frames of its own; return the file of rows."""
    make, lines = np.random.default_rng(0), []
    for number in range(count):
        name = f"clip{number}.mp4"
        scene = make.integers(0, 256, (9, 16, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.height, stream.width, stream.pix_fmt = 180, 320, "yuv420p"
            for shift in range(50):
                frame = np.roll(scene, shift, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        row = {"id": str(number), "video": name}
        lines.append(json.dumps(row | ({"text": WORDS} if number % 2 else {})))
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def job(data: Path, bundle: Path, options: tuple[str, ...]) -> list[float]:
    """Run a job, and return the scores."""
    out = data.with_name("answers.jsonl")
    words = ("infer", "--data", str(data), "--out", str(out), "--bundle", str(bundle), "--force")
    command = [sys.executable, "-m", "trml_rt", *words, *options]
    subprocess.run(command, check=True, capture_output=True)
    return [json.loads(line)["score"] for line in out.read_text().splitlines()]


def calls(data: Path, bundle: Path) -> list[float]:
    """Call `Runtime.infer` on row after row, in a process of its own."""
    code = """
import json, pathlib, sys, trml_rt
data = pathlib.Path(sys.argv[1])
with trml_rt.load(sys.argv[2]) as rt:
    for row in map(json.loads, data.read_text().splitlines()):
        answer = rt.infer(row.get("text"), data.parent / row["video"])
        print(answer.to_dict()["score"])
"""
    command = [sys.executable, "-c", code, str(data), str(bundle)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.splitlines()]


def commands(data: Path, bundle: Path) -> list[float]:
    """Type `trml-rt infer` for row after row."""
    scores = []
    for line in data.read_text().splitlines()[:COMMANDS]:
        row = json.loads(line)
        words = ["infer", "--video", str(data.parent / row["video"]), "--bundle", str(bundle)]
        words += ["--text", row["text"]] if "text" in row else []
        command = [sys.executable, "-m", "trml_rt", *words, "--json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        scores.append(json.loads(done.stdout)["score"])
    return scores


def measure(data: Path, bundle: Path, rounds: int) -> dict[str, Any]:
    """Return the rows a second of each contender, by rounds, and the speed-ups."""
    contenders: dict[str, Callable[[], list[float]]] = {
        **{name: lambda o=options: job(data, bundle, o) for name, options in JOBS.items()},
        "calls": lambda: calls(data, bundle),
        "commands": lambda: commands(data, bundle),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    answers: list[float] = []
    for number in range(rounds):
        order = list(contenders)[:: -1 if number % 2 else 1]
        for name in order:
            start = time.perf_counter()
            scores = contenders[name]()
            rates[name].append(len(scores) / (time.perf_counter() - start))
            answers = answers or scores
            if scores != answers[: len(scores)]:
                sys.exit(f"the answers of {name} are other ones")

    def speed_up(fast: str, slow: str) -> float:
        pairs = zip(rates[fast], rates[slow], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 2)

    return {
        "rows_per_second": {name: [round(r, 1) for r in each] for name, each in rates.items()},
        "two_against_one": speed_up("two", "one"),
        "default_against_calls": speed_up("default", "calls"),
        "default_against_commands": speed_up("default", "commands"),
    }


def main() -> None:
    """Measure, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.clips < COMMANDS:
        parser.error(f"--clips: {COMMANDS} at least")
    with tempfile.TemporaryDirectory() as folder:
        data = make_clips(Path(folder), arguments.clips)
        found = measure(data, arguments.bundle, arguments.rounds)
    machine = describe(("av", "numpy", "onnxruntime", "pillow", "trml-rt"))
    load = Path("/proc/loadavg").read_text().split()[:3]
    named = {"bundle": arguments.bundle.name, "clips": arguments.clips, "rounds": arguments.rounds}
    report({**named, **found, "load_average_at_end": load, "machine": machine}, arguments.out)


if __name__ == "__main__":
    main()
