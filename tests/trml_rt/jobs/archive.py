"""A small archive for the tests of jobs, and a worker whose decoder can be crashed.

python -m tests.trml_rt.jobs.archive JSON is a worker as in `trml_rt.jobs.worker`. A file ends it
that has "crash" in its name, or "kill"; one with "once" does so the first time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from trml_rt.inputs import prepare
from trml_rt.jobs import worker

WORDS = ("good", "bad", "day", "a", "what", "not")


def make_archive(folder: Path, rows: int, *, crashing: int = 0) -> Path:
    """Write rows of mixed presence, every tenth with a broken clip; return their file."""
    make = np.random.default_rng(0)
    lines = []
    for number in range(rows):
        row: dict[str, object] = {"id": f"r{number}"}
        if number % 3 != 1:
            row["text"] = " ".join(make.choice(WORDS, 1 + number % 7))
        if number % 3:
            row["video"] = f"{'crash' if number < 2 * crashing else 'clip'}{number}.png"
            if number % 10 == 7:
                (folder / str(row["video"])).write_bytes(b"no picture")
            else:
                pixels = make.integers(0, 256, (9, 9, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / str(row["video"]))
        if number % 4 == 0:
            row["score"] = round(float(make.uniform(-1, 1)), 3)
        lines.append(json.dumps(row))
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path) -> list[dict[str, object]]:
    """Return the records of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def crash_on_name() -> None:
    """Let the decoder of this process end it at files that are named so."""
    decode = prepare.read_frames

    def crashing(path, *arguments, **options):
        name = Path(path).name
        if "kill" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        mark = Path(f"{path}.seen")
        if "crash" in name or ("once" in name and not mark.exists()):
            mark.touch()
            signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)  # of this thread, so now
        return decode(path, *arguments, **options)

    prepare.read_frames = crashing


if __name__ == "__main__":
    crash_on_name()
    worker.serve(json.loads(sys.argv[1]))
