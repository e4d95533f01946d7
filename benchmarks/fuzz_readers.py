"""Change the bytes of good files at random, and see that every reader takes or refuses them.

    python benchmarks/fuzz_readers.py --inputs 20000 [--out FILE] [--reader NAME] [--seed N]

Every reader of files but those of pictures and videos gets `--inputs` inputs. An input is a finding
where a reader raises another error than one of ours, or takes more than ten seconds; it is kept in
the folder `--findings`. After two minutes with one input the process says where it stands and ends.
The same seed gives the same inputs. It ends with exit code 1 where there is a finding.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import io
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

from trml_rt.bundle.calibration import CALIBRATION_SCHEMA, Calibration
from trml_rt.bundle.engine_folder import (
    ENGINE_SCHEMA,
    VERIFICATION_SCHEMA,
    EngineManifest,
    VerificationRecord,
)
from trml_rt.bundle.folder import default_bundle
from trml_rt.bundle.graph import check_graph
from trml_rt.bundle.manifest import read_manifest
from trml_rt.bundle.records import parse_json, validate
from trml_rt.engines.fastest import FASTEST_SCHEMA, Fastest
from trml_rt.errors import TrmlError
from trml_rt.inputs.rows import scan_rows
from trml_rt.inputs.subtitles import read_cues
from trml_rt.inputs.text import read_stream
from trml_rt.inputs.tokenizer import Tokenizer
from trml_rt.proof.golden import load_golden

ROOT = Path(__file__).parents[1]
TINY, CONFORMANCE = ROOT / "tests/bundles/schema1", ROOT / "tests/conformance"
TEXT = "It\u2019s a good day, \U0001f602 &amp; [SEP] <b>na\u00efve</b>! " + "ho " * 30
SLOW = 10.0  # seconds

HASH = "0" * 64
CHECKED = {
    **{"rows": 3, "least_cosine": 0.99, "largest_score_difference": 0.1, "flips": 0.0},
    **{"mean_score_difference": 0.01, "points_lost": None},
}
FOUND = {
    **{"refined": True, "checked": {"text": CHECKED}},
    "sensitivity": [{"layer": "a", "vectors": 0.1, "scores": 0.2}],
}
CALIBRATION = {
    **{"schema": CALIBRATION_SCHEMA, "created_by": "fuzz", "versions": {"onnx": "1"}},
    "data": {"sha256": HASH, "split": "train"},
    "max_drop": {"cosine": 0.02, "points": 1.0},
    "engines": {
        "text": {
            **{"source": HASH, "method": "max", "samples": 3, "ranges": {"a": [0.0, 1.0]}},
            "forms": {
                "cpu": {
                    **FOUND,
                    **{"file": "a.onnx", "sha256": HASH, "bytes": 3, "layers": {"a": "int8"}},
                }
            },
            "left_out": {"portable": FOUND},
        }
    },
}
FASTEST = {
    **{"schema": FASTEST_SCHEMA, "device": {"CPU": "x"}, "engines": "portable"},
    "compared": {"a": {"text": 1.5}},
}
ROWS = "".join(
    json.dumps({"id": str(n), "split": "train", "text": "a day", "score": n / 3}) + "\n"
    for n in range(4)
)
TABLE = "id,split,text,score\n1,train,a day,0.5\n2,valid,\"two,\n'lines'\",-1\n"
SUBTITLES = (
    "1\n00:00:01,000 --> 00:00:02,500\n<i>Good</i> day\n\n2\n00:01:00,000 --> 00:01:02,000\nx\n"
)
VTT = "WEBVTT\n\nNOTE a\n\n00:01.000 --> 00:02.000 align:start\nGood &amp; day\n"

WORDS = [
    *(b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"9" * 30, b'""', b"[]", b"{}", b"[" * 600),
    *(b"}", b",", b"\\ud800", b"\xff", b"\xf0\x9f", b"\0", b"\r", b"\n\n", b"\xef\xbb\xbf", b'"'),
    *(b"(a+)+$", b"\\\\", b'"Regex"', b"\x08", b"\x12\xff\xff\xff\xff\x0f", b"PK\x01\x02", b"-->"),
]
VALUES: list[Any] = [
    *(None, True, False, -1, 0, 1, 1.5, 2**31, 2**63 - 1, 1e308, "", "x", "..", "\u202e\x1b[31m"),
    *([], {}, [None], {"x": 1}, "a" * 3000, [[[[0]]]], "\0", "../../etc/passwd"),
]


def record(model: Any, schema: int) -> Callable[[bytes], Any]:
    """Return a reader of records."""
    return lambda data: validate(model, parse_json(data, "it"), "it", schema)


def in_file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """Return a reader of bytes that writes them to a file first."""
    folder = Path(tempfile.mkdtemp())

    def reads(data: bytes) -> Any:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return reads


def as_bytes(content: Any) -> bytes:
    """Return JSON as it lies in a file."""
    return json.dumps(content).encode()


def readers() -> dict[str, tuple[list[bytes], Callable[[bytes], Any]]]:
    """Return for each reader good files, and what reads one."""
    bundles = (TINY, default_bundle())
    tokenizers = [TINY / "tokenizer.json", CONFORMANCE / "byte_pair.json"]
    engines = CONFORMANCE / "engine_folder"
    return {
        "manifest": ([(b / "model.json").read_bytes() for b in bundles], read_manifest),
        "engines": (
            [(engines / "manifest.json").read_bytes()],
            record(EngineManifest, ENGINE_SCHEMA),
        ),
        "verification": (
            [(engines / "verify.json").read_bytes()],
            record(VerificationRecord, VERIFICATION_SCHEMA),
        ),
        "calibration": ([as_bytes(CALIBRATION)], record(Calibration, CALIBRATION_SCHEMA)),
        "fastest": ([as_bytes(FASTEST)], record(Fastest, FASTEST_SCHEMA)),
        "graph": (
            [path.read_bytes() for path in sorted(TINY.glob("onnx/*"))],
            lambda data: check_graph(data, "it"),
        ),
        "golden": (
            [path.read_bytes() for path in sorted(TINY.glob("golden/*"))],
            in_file("it.npz", load_golden),
        ),
        "tokenizer": (
            [path.read_bytes() for path in tokenizers],
            lambda data: Tokenizer.from_bytes(data).encode(TEXT),
        ),
        "rows": ([ROWS.encode()], in_file("it.jsonl", scan_rows)),
        "table": ([TABLE.encode()], in_file("it.csv", scan_rows)),
        "subtitles": ([SUBTITLES.encode()], in_file("it.srt", read_cues)),
        "web subtitles": ([VTT.encode()], in_file("it.vtt", read_cues)),
        "text": ([TEXT.encode()], lambda data: read_stream(io.BytesIO(data), "it")),
    }


def changed(seed: bytes, chance: random.Random) -> bytes:
    """Return good bytes with some of them changed, or with other values at places of their JSON."""
    if seed[:1] == b"{" and chance.random() < 0.5 and len(seed) < 1 << 20:
        try:
            return _with_other_values(json.loads(seed), chance)
        except ValueError:
            pass
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randint(0, len(data)), chance.choice([1, 1, 4, 60])
        match chance.randrange(5):
            case 0:
                del data[at : at + length]
            case 1:
                data[at:at] = chance.choice(WORDS)
            case 2:
                data[at : at + length] = chance.randbytes(length)
            case 3:
                start = chance.randint(0, len(data))
                data[at:at] = data[start : start + length]
            case _:
                data[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(data)


def _with_other_values(content: Any, chance: random.Random) -> bytes:
    content = copy.deepcopy(content)
    for _ in range(chance.randint(1, 3)):
        place: Any = content
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = chance.choice(keys)
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or chance.random() < 0.2:
                if isinstance(place, dict) and chance.random() < 0.2:
                    del place[key]
                else:
                    place[key] = chance.choice(VALUES)
                break
            place = inner
    return as_bytes(content)


def fuzz(name: str, inputs: int, seed: int, findings: Path) -> dict[str, Any]:
    """Return how many inputs a reader took and refused, and what was found."""
    seeds, read = readers()[name]
    chance = random.Random(f"{name} {seed}")
    counts = {"inputs": inputs, "taken": 0, "refused": 0}
    found: list[str] = []
    slowest = 0.0
    for number in range(inputs):
        data = changed(chance.choice(seeds), chance)
        faulthandler.dump_traceback_later(120, exit=True)
        start, fault = time.perf_counter(), ""
        try:
            read(data)
            counts["taken"] += 1
        except TrmlError:
            counts["refused"] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            fault = f"{type(error).__name__}: {error}"[:200]
        took = time.perf_counter() - start
        slowest = max(slowest, took)
        if took > SLOW:
            fault = fault or f"took {took:.0f} s"
        if fault:
            findings.mkdir(parents=True, exist_ok=True)
            (findings / f"{name}-{seed}-{number}").write_bytes(data)
            found.append(f"input {number}: {fault}")
    faulthandler.cancel_dump_traceback_later()
    return {**counts, "findings": found, "slowest_seconds": round(slowest, 1)}


def main() -> None:
    """Run, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", choices=readers(), action="append")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("RUST_BACKTRACE", "0")
    found = {
        name: fuzz(name, arguments.inputs, arguments.seed, arguments.findings)
        for name in arguments.reader or readers()
    }
    packages = ("numpy", "pydantic", "tokenizers", "trml-rt")
    report({"seed": arguments.seed, "readers": found, "machine": describe(packages)}, arguments.out)
    sys.exit(any(each["findings"] for each in found.values()))


if __name__ == "__main__":
    main()
