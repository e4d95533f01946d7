"""Search for inputs that reach new lines of the Python readers, with atheris, and keep them.

    python benchmarks/fuzz_coverage.py --seconds 600 --corpora DIR [--reader NAME] [--out FILE]

The readers, and the good files that it begins with, are those of `fuzz_readers.py`. So is what
counts as a finding: another error than one of ours, a crash, or an input that takes ten seconds.
Each reader has a process of its own, whose code is watched line by line, and a folder below
`--corpora`, from which a later run goes on. It ends with exit code 1 where there is a finding; that
lies below `--findings`.

It needs the package atheris, of the extra `fuzz`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

MOST_BYTES = 1 << 17  # of an input
WATCHED = ["trml_rt.bundle", "trml_rt.inputs", "trml_rt.proof.golden", "trml_rt.engines.fastest"]


def be_reader(name: str, arguments: list[str]) -> None:
    """Fuzz a reader in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=WATCHED):
        from fuzz_readers import readers

        from trml_rt.errors import TrmlError
    _, read = readers()[name]

    def one(data: bytes) -> None:
        try:
            read(data)
        except TrmlError:
            return

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def run_reader(name: str, *arguments: str) -> tuple[int, str]:
    """Run a reader in a process of its own; return its exit code and what it says."""
    command = [sys.executable, __file__, "--child", name, f"-max_len={MOST_BYTES}", *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    return done.returncode, done.stderr


def fuzz(name: str, seeds: list[bytes], seconds: int, corpora: Path, findings: Path) -> Any:
    """Fuzz a reader from its corpus and its good files on; return what was tried and found."""
    corpus, found = corpora / name.replace(" ", "_"), findings / name.replace(" ", "_")
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        if len(seed) <= MOST_BYTES:
            (corpus / f"good-{number}").write_bytes(seed)
    limits = (f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=4096")
    code, told = run_reader(
        name, *limits, "-print_final_stats=1", f"-artifact_prefix={found}/", str(corpus)
    )
    tried = re.search(r"stat::number_of_executed_units:\s*(\d+)", told)
    reached = re.findall(r"cov: (\d+)", told)
    if code and not any(found.iterdir()):
        sys.exit(f"{name}: atheris ended with code {code}: {told[-2000:]}")
    return {
        "inputs": int(tried[1]) if tried else None,  # it does not say so after a finding
        "places_reached": [int(reached[0]), int(reached[-1])] if reached else None,
        "corpus": len(list(corpus.iterdir())),
        "findings": sorted(path.name for path in found.iterdir()),
    }


def main() -> None:
    """Run, print and write the record; or be one of its processes."""
    if sys.argv[1:2] == ["--child"]:
        be_reader(sys.argv[2], sys.argv[3:])
        return
    from fuzz_readers import readers
    from machine import describe, report

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="for each reader")
    parser.add_argument("--reader", choices=readers(), action="append")
    parser.add_argument("--corpora", type=Path, default=Path("build/corpora"))
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz_coverage"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = {}
    for name in arguments.reader or readers():
        seeds, _ = readers()[name]
        found[name] = fuzz(name, seeds, arguments.seconds, arguments.corpora, arguments.findings)
        print(f"{name}: {found[name]}", file=sys.stderr)
    packages = ("atheris", "numpy", "pydantic", "tokenizers", "trml-rt")
    head = {"seconds_of_each": arguments.seconds, "readers": found}
    report({**head, "machine": describe(packages)}, arguments.out)
    sys.exit(any(each["findings"] for each in found.values()))


if __name__ == "__main__":
    main()
