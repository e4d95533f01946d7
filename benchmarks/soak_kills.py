"""Kill commands that install something, at random moments and at every change of the disk.

    python benchmarks/soak_kills.py --out benchmarks/results/soak_kills.json [--kills 40] [--verb V]

The verbs are build, deploy, a job, calibrate, train and export. Each replaces its artefact. A
process that has imported the program forks a child for each try, which runs the command and is
killed by SIGKILL: `--kills` times at a random moment, and by strace once at each system call of
its first thread that changes names, rights or lengths of files, or waits for the disk.

After each kill the artefact must be the old one or the new one, whole. Then the command runs
undisturbed: it must end with code 0, its artefact must be as that of a clean run, and nothing else
may lie beside it. It ends with exit code 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1]))
from machine import describe, report

import trml_rt
from tests import tiny
from trml_rt.bundle.calibration import open_calibration
from trml_rt.bundle.engine_folder import engine_folders, open_engine_folder
from trml_rt.cli import trml_rt as program
from trml_rt.errors import TrmlError

TINY = Path(__file__).parents[1] / "tests" / "bundles" / "schema1"
# What changes names, contents or rights on a disk, or waits for it.
CALLS = (
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,"
    "ftruncate,chmod,fchmod,fchmodat,fsync,fdatasync,flock"
)


@dataclass(frozen=True)
class Verb:
    """A command, the folder that it works in, and what its artefact must be.

    `check` raises unless the artefact is whole, and returns what a clean run gives as well.
    """

    name: str
    words: tuple[str, ...]
    check: Callable[[Path], str]
    fresh: Callable[[Path], None] = lambda _: None
    """Undoes a run that has ended, where the next one would otherwise do nothing."""


def digest(path: Path) -> str:
    """Return the hash of a file, or of all files of a folder and their names."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    whole = hashlib.sha256()
    for file in files:
        whole.update(str(file.relative_to(path)).encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()[:16]


def engines(world: Path) -> str:
    """Check the engines of the bundle; what they are made from is the same each time."""
    [folder] = engine_folders(trml_rt.Bundle(world / "bundle"))
    opened = open_engine_folder(folder)
    opened.verify_files()
    if not opened.passed_sets():
        raise ValueError("the engines are not verified")
    return json.dumps(opened.hashes, sort_keys=True)


def calibration(world: Path) -> str:
    """Check the calibration, and return the hashes of its graphs."""
    opened = open_calibration(trml_rt.Bundle(world / "bundle"))
    opened.verify_files()
    forms = [form for e in opened.record.engines.values() for form in e.forms.values()]
    return " ".join(sorted(form.sha256 for form in forms))


def checkpoint(world: Path) -> str:
    """Check the checkpoint, and return the hash of its weights."""
    from trml_export.training.checkpoint import load_checkpoint

    load_checkpoint(world / "checkpoint")
    return digest(world / "checkpoint" / "model.safetensors")


def exported(world: Path) -> str:
    """Check the bundle, and return its hash."""
    bundle = trml_rt.Bundle(world / "exported")
    bundle.verify_files()
    return digest(bundle.folder / "onnx")


def linked(world: Path) -> str:
    """Check the bundle in service, which is one of two."""
    bundle = trml_rt.Bundle(world / "current")
    bundle.verify_files()
    return ""


def other_bundle(world: Path) -> None:
    """Let the first of the two be in service again, by an undisturbed run."""
    trml_rt.deploy(world / "bundle", world / "current")


def answers(world: Path) -> str:
    """Check the file of answers, which is there when the job has ended."""
    path = world / "answers.jsonl"
    return digest(path) if path.exists() else ""


def no_answers(world: Path) -> None:
    """Remove what a job has left."""
    (world / "answers.jsonl").unlink(missing_ok=True)
    shutil.rmtree(world / "answers.jsonl.job", ignore_errors=True)


VERBS = {
    verb.name: verb
    for verb in (
        Verb("build", ("build", "--bundle", "bundle", "--precision", "fp16", "--force"), engines),
        Verb("deploy", ("deploy", "second", "--current", "current"), linked, other_bundle),
        Verb(
            "job",
            (
                *("infer", "--bundle", "bundle", "--data", "many.jsonl", "--out", "answers.jsonl"),
                *("--workers", "1"),
            ),
            answers,
            no_answers,
        ),
        Verb(
            "calibrate",
            (
                *("calibrate", "--bundle", "bundle", "--data", "rows.jsonl", "--samples", "16"),
                *("--max-drop", "0.02", "--force"),
            ),
            calibration,
        ),
        Verb(
            "train",
            (
                *("train", "--data", "set", "--backbone", "clip", "--set", "epochs=3"),
                *("--out", "checkpoint", "--force"),
            ),
            checkpoint,
        ),
        Verb("export", ("export", "checkpoint", "--out", "exported", "--force"), exported),
    )
}


def make_world(world: Path, verbs: Sequence[str]) -> None:
    """Write what the commands read: bundles, a backbone, data sets."""
    shutil.copytree(TINY, world / "bundle")
    shutil.copytree(TINY, world / "second")
    if {"train", "export"} & set(verbs):
        tiny.clip_backbone(world / "clip")
        tiny.dataset(world / "set")
    chance = random.Random(0)
    words = ("good", "bad", "day", "a", "what")
    for name, rows in (("rows.jsonl", 64), ("many.jsonl", 400)):
        lines = []
        for number in range(rows):
            split = ("train", "valid")[number % 2]
            row = {"id": str(number), "text": " ".join(chance.choices(words, k=5)), "split": split}
            lines.append(json.dumps({**row, "score": chance.uniform(-1, 1)}))
        (world / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def fork(verb: Verb, world: Path) -> tuple[int, int]:
    """Fork a child that runs the command once it may; return its id, and what tells it to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(reading)
        return child, writing
    os.close(writing)
    os.read(reading, 1)
    code = 1
    try:
        os.chdir(world)
        log = os.open(world.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        program.main(list(verb.words), prog_name="trml-rt")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


def run(verb: Verb, world: Path) -> float:
    """Run the command undisturbed; return the seconds that it took."""
    child, go = fork(verb, world)
    begun = time.monotonic()
    os.close(go)
    if status := os.waitpid(child, 0)[1]:
        told = world.with_suffix(".log").read_text(errors="replace")[-2000:]
        raise ValueError(f"the undisturbed run ended with status {status}: {told}")
    return time.monotonic() - begun


def kill_after(verb: Verb, world: Path, seconds: float) -> bool:
    """Kill the command after so many seconds; False if it has ended by then."""
    child, go = fork(verb, world)
    os.close(go)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def calls_of(verb: Verb, world: Path) -> list[tuple[str, int]]:
    """Run the command, and return its system calls: the name, and which one of that name it is."""
    trace = world.with_suffix(".trace")
    if code := traced(verb, world, trace):
        raise ValueError(f"the traced run ended with code {code}")
    seen: Counter[str] = Counter()
    calls = []
    for line in trace.read_text(errors="replace").splitlines():
        if found := re.match(r"(\w+)\(", line):
            seen[found[1]] += 1
            calls.append((found[1], seen[found[1]]))
    trace.unlink()
    return calls


def kill_at(verb: Verb, world: Path, call: str, number: int) -> bool:
    """Kill the command at a system call; False if it does not come to it this time."""
    inject = f"inject={call}:signal=KILL:when={number}"
    return traced(verb, world, Path(os.devnull), "-e", inject) == -signal.SIGKILL


def traced(verb: Verb, world: Path, trace: Path, *more: str) -> int:
    """Run the command under strace, and return its exit code."""
    child, go = fork(verb, world)
    command = ["strace", "-qq", "-o", str(trace), "-e", f"trace={CALLS}", *more]
    with subprocess.Popen([*command, "-p", str(child)], stderr=subprocess.PIPE) as tracer:
        status = Path(f"/proc/{child}/status")
        while "TracerPid:\t0\n" in status.read_text():
            if tracer.poll() is not None:
                raise ValueError(f"strace: {tracer.stderr.read().decode()}")
            time.sleep(0.002)
        os.close(go)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def foreign(world: Path, known: set[str]) -> list[str]:
    """Return what lies in the world beside what was there after a clean run."""
    names = {str(path.relative_to(world)) for path in world.rglob("*")}
    names |= {f"../{path.name}" for path in world.parent.iterdir()}
    names -= {f"../{world.name}.log"}
    return sorted(n for n in names - known if not n.startswith("current.d/"))  # one a deploy


def soak(verb: Verb, world: Path, kills: int, every: int, chance: random.Random) -> dict[str, Any]:
    """Kill the command at random moments, and at each of its system calls, or each `every`-th."""
    took = run(verb, world)
    expected = verb.check(world)
    known = set(foreign(world, set()))
    counts: Counter[str] = Counter()
    faults: list[str] = []

    def after(kind: str, killed: bool) -> None:
        counts[kind] += killed
        try:
            verb.check(world)  # the old one or the new one
            run(verb, world)
            if verb.check(world) != expected:
                raise ValueError("the next run gave something else")
            if left := foreign(world, known):
                raise ValueError(f"left: {left[:5]}")
        except (OSError, ValueError, TrmlError) as error:
            faults.append(f"{kind} {counts[kind]}: {type(error).__name__}: {error}"[:500])

    while counts["random"] < kills and len(faults) < 10:
        verb.fresh(world)
        after("random", kill_after(verb, world, chance.uniform(0, took)))
    verb.fresh(world)
    calls = calls_of(verb, world)
    for call, number in calls[::every]:
        if len(faults) < 10:
            verb.fresh(world)
            after("system_calls", kill_at(verb, world, call, number))
    print(f"{verb.name}: {dict(counts)}, {len(faults)} faults", file=sys.stderr)
    return {
        "seconds_of_a_run": round(took, 2),
        "killed_at_random_moments": counts["random"],
        "system_calls": len(calls),
        "killed_at_system_calls": counts["system_calls"],
        "faults": faults,
    }


@contextlib.contextmanager
def tiny_world(verbs: Sequence[str]) -> Iterator[Path]:
    """Yield a folder with what the commands read, alone in another one."""
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder, "house", "world")
        world.mkdir(parents=True)
        os.environ["TRML_RT_CACHE"] = str(world / "cache")
        make_world(world, verbs)
        yield world


def record(found: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the record of the verbs that are done."""
    kinds = ("killed_at_random_moments", "killed_at_system_calls")
    return {
        "kills": sum(each[kind] for each in found.values() for kind in kinds),
        "passed": not any(each["faults"] for each in found.values()),
        "minutes": round(seconds / 60, 1),
        "verbs": found,
        "machine": describe(("numpy", "onnx", "onnxruntime", "torch", "trml-rt")),
    }


def main() -> None:
    """Run, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="at random moments, of each verb")
    parser.add_argument("--every", type=int, default=1, help="of so many system calls, one")
    parser.add_argument("--verb", choices=VERBS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if shutil.which("strace") is None:
        parser.error("strace is not installed")
    chance = random.Random(arguments.seed)
    begun = time.monotonic()
    names = arguments.verb or [*VERBS]
    with tiny_world(names) as world:
        verbs = [VERBS[name] for name in names]
        if VERBS["export"] in verbs and VERBS["train"] not in verbs:
            run(VERBS["train"], world)
        if VERBS["deploy"] in verbs:
            trml_rt.deploy(world / "bundle", world / "current")
        found = {}
        for verb in verbs:  # each is written when it is done
            found[verb.name] = soak(verb, world, arguments.kills, arguments.every, chance)
            report(record(found, time.monotonic() - begun), arguments.out)
    sys.exit(any(each["faults"] for each in found.values()))


if __name__ == "__main__":
    main()
