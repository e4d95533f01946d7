"""What a first text costs from the start of a process: its time and its memory.

    python benchmarks/start.py --out benchmarks/results/start.json [--rounds 20] [--bundle DIR]

Each contender is a Python of its own that answers one text and ends. The time is that of the whole
process, its start and its end included. `python` does nothing and `onnxruntime` only imports ONNX
Runtime: they are the floor. `open_clip` encodes a text by ViT-B-32-quickgelu with random weights,
so it reads no file of weights; it runs where open_clip is installed. Contenders alternate, files
are in the system's cache, and the answers of each contender must be equal. Python keeps what it
has compiled, as pip leaves an installed package, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.cli.bench_worker import TEXT

WARM_UP = 2
ENVIRONMENT = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
PROGRAMS = {
    "python": "",
    "onnxruntime": "import onnxruntime",
    "library": """
import trml_rt
with trml_rt.load(bundle) as rt:
    print(rt.infer(text=text).score)
""",
    "command": """
sys.argv = ["trml-rt", "infer", "--bundle", bundle, "--text", text]
from trml_rt.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
""",
    "open_clip": """
import open_clip, torch
torch.manual_seed(0)
model = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).eval()
with torch.inference_mode():
    ids = open_clip.get_tokenizer("ViT-B-32-quickgelu")([text])
    print(float(model.encode_text(ids)[0, 0]))
""",
}
# Memory is read by the process itself: another's figure begins with what its parent held.
AROUND = """
import sys
_, bundle, text = sys.argv
{program}
held = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(held["VmHWM"].split()[0], held["VmRSS"].split()[0], file=sys.stderr)
"""


def run(program: str, bundle: Path) -> tuple[float, float, float, str]:
    """Return milliseconds, megabytes at the peak and at the end, and the answer of a process."""
    command = [sys.executable, "-c", AROUND.format(program=program), str(bundle), TEXT]
    start = time.perf_counter()
    process = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    elapsed = (time.perf_counter() - start) * 1e3
    words = process.stdout.splitlines()
    peak, end = (int(kib) * 1024 / 1e6 for kib in process.stderr.split()[-2:])
    return elapsed, peak, end, words[0] if words else ""


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    bundle = Bundle(arguments.bundle)
    programs = dict(PROGRAMS)
    packages = ["numpy", "onnxruntime", "pydantic", "tokenizers", "trml-rt"]
    if importlib.util.find_spec("open_clip") is None:
        del programs["open_clip"]
    else:
        packages += ["open_clip_torch", "torch"]
    seen: dict[str, list[tuple[float, float, float, str]]] = {name: [] for name in programs}
    for number in range(WARM_UP + arguments.rounds):
        for name, program in programs.items():
            found = run(program, bundle.folder)
            if number >= WARM_UP:
                seen[name].append(found)
    result: dict[str, Any] = {
        "what": "a process that answers one text: time from its start to its end, and memory",
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.sha256,
        "rounds": arguments.rounds,
        "load_average_at_end": Path("/proc/loadavg").read_text().split()[:3],
        "contenders": {name: summary(name, each) for name, each in seen.items()},
        "machine": describe(tuple(packages)),
    }
    report(result, arguments.out)


def summary(name: str, found: list[tuple[float, float, float, str]]) -> dict[str, float | str]:
    """Return percentiles of the time, the most memory and the one answer of a contender."""
    times, peaks, ends, answers = zip(*found, strict=True)
    if len(set(answers)) > 1:
        sys.exit(f"{name}: the answers differ: {json.dumps(sorted(set(answers)))}")
    return {
        **{f"p{q}_ms": round(float(np.percentile(times, q)), 1) for q in (10, 50, 90)},
        "peak_mb": round(max(peaks), 1),
        "end_mb": round(max(ends), 1),
        "answer": answers[0],
    }


if __name__ == "__main__":
    main()
