"""What it costs when threads of one engine spin while the next engine runs.

    python benchmarks/spinning.py --out benchmarks/results/spinning.json [--bundle DIR]

Each engine is a session of ONNX Runtime with threads of its own. By default these go on spinning
for a while after a run, on the cores that the next engine of the set needs. The runtime stops
them; `spinning` is the same runtime with ONNX Runtime's default. Both run each engine set in a
process of their own, ten calls in a row, interleaved with a pause, answers compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.cli.bench_worker import engine_set_call, serve
from trml_rt.proof.interleave import interleave

SETTING = "session.force_spinning_stop"
CONTENDERS = ("spinning", "stopped")
IN_A_ROW = 10
PAUSE = 0.3  # seconds; threads were seen to spin for more than 0.03


def contend(name: str, bundle: Path, engine_set: str) -> Callable[[], list[float]]:
    """Return the call of one contender."""
    if name == "spinning":
        import onnxruntime

        class Default(onnxruntime.SessionOptions):
            def add_session_config_entry(self, key: str, value: str) -> None:
                if key != SETTING:
                    super().add_session_config_entry(key, value)

        onnxruntime.SessionOptions = Default
    call = engine_set_call(str(bundle), engine_set, "onnxruntime", "portable")
    return lambda: [call() for _ in range(IN_A_ROW)][-1]


def main() -> None:
    """Measure, print and write the result; or serve as one contender."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--engine-set", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        serve(lambda: contend(arguments.contender, arguments.bundle, arguments.engine_set))
        return
    bundle = Bundle(arguments.bundle)
    result = {
        "what": f"time of {IN_A_ROW} calls in a row of each engine set, FP32, with threads that "
        "spin on after a run and with threads that stop; speed_up is the median over rounds",
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.sha256,
        "load_average_at_start": Path("/proc/loadavg").read_text().split()[:3],
        "engine_sets": {},
        "machine": describe(("onnxruntime", "trml-rt")),
    }
    for engine_set in bundle.manifest.engine_sets:
        commands = {
            name: [
                *(sys.executable, str(Path(__file__).resolve()), "--bundle", str(bundle.folder)),
                *("--contender", name, "--engine-set", engine_set.name),
            ]
            for name in CONTENDERS
        }
        found = interleave(commands, arguments.calls, pause=PAUSE)
        first, second = (measured.pop("answer") for measured in found.values())
        if first != second:
            sys.exit(f"{engine_set.name}: the answers differ: {first}, {second}")
        result["engine_sets"][engine_set.name] = found
    report(result, arguments.out)


if __name__ == "__main__":
    main()
