"""What FP16 and INT8 cost and bring on this device: calibrate, build, verify and bench a bundle.

    python benchmarks/precisions.py --data rows.jsonl --out FILE [--bundle DIR]

Runs the commands that a user would, on a copy of the bundle (the shipped one, or `--bundle`):
ranges and the check on the split `train`, verification of the build on `valid`, then `verify` on
every row of `test`, the task metric with it. Speed is against the portable FP32 graphs, contenders
interleaved, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

from trml_rt.bundle.folder import Bundle, default_bundle

PRECISIONS = ("fp32", "fp16", "int8")
EVERY = 1_000_000  # rows


def trml_rt(*words: object) -> dict[str, Any]:
    """Run one command of trml-rt with --json and return what it prints."""
    command = [Path(sys.executable).with_name("trml-rt"), *map(str, words), "--json"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode and not (words[0] == "verify" and ran.returncode == 4):  # a result too
        sys.exit(ran.returncode)
    return json.loads(ran.stdout)


def calibrated(bundle: Path, data: Path, extra: list[str]) -> dict[str, Any]:
    """Calibrate, and return of each graph how many layers are in INT8 and what the check saw."""
    record = trml_rt("calibrate", bundle, "--data", data, *extra)
    return {
        name: {
            **{
                form: {
                    "int8_layers": list(graph["layers"].values()).count("int8"),
                    "layers": len(graph["layers"]),
                    "refined": graph["refined"],
                    "checked": graph["checked"],
                }
                for form, graph in engine["forms"].items()
            },
            "left_in_fp32_whole": list(engine["left_out"]),
        }
        for name, engine in record["engines"].items()
    }


def verified(bundle: Path, precision: str, data: Path) -> dict[str, Any]:
    """Verify on the test split and return the record without the limits, which the code has."""
    words = ("--precision", precision, "--data", data, "--split", "test", "--rows", EVERY)
    record = trml_rt("verify", "--bundle", bundle, *words)
    return {name: record[name] for name in ("passed", "problems", "engine_sets")}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--data", type=Path, required=True, help="rows with train, valid and test")
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--calibrate", nargs="*", default=[], help="more words for that command")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        shutil.copytree(
            arguments.bundle, bundle, ignore=shutil.ignore_patterns("engines", "calibration")
        )
        calibration = calibrated(bundle, arguments.data, arguments.calibrate)
        portable = Bundle(bundle).manifest
        sizes = {"portable": {n: portable.files[e.file].bytes for n, e in portable.engines.items()}}
        for precision in PRECISIONS:
            words = ("--precision", precision, "--data", arguments.data, "--no-bench")
            manifest = trml_rt("build", "--bundle", bundle, *words)
            sizes[precision] = {name: file["bytes"] for name, file in manifest["files"].items()}
        result = {
            "what": "precisions of one bundle on one device; verified on every row of the test "
            "split; speed_up is the median over rounds against the portable FP32 graphs",
            "bundle": portable.name,
            "bundle_sha256": Bundle(bundle).sha256,
            "calibration": calibration,
            "bytes": sizes,
            "verified": {p: verified(bundle, p, arguments.data) for p in PRECISIONS},
            "load_average_at_start": Path("/proc/loadavg").read_text().split()[:3],
            "bench": trml_rt("bench", "--bundle", bundle, "--calls", arguments.calls),
            "machine": describe(("onnxruntime", "onnx", "trml-rt")),
        }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
