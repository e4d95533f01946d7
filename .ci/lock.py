"""Write the versions that pip has chosen as constraints: python .ci/lock.py REPORT > FILE.

REPORT is what `pip install --dry-run --report` writes. A version of a local build, as torch has for
CPUs, is written without its local part, which fits every build of that version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def constraints(report: dict[str, object]) -> list[str]:
    """Return a line for each package but the project itself."""
    chosen = [each["metadata"] for each in report["install"]]  # type: ignore[attr-defined]
    lines = [f"{each['name'].lower()}=={each['version'].split('+')[0]}" for each in chosen]
    return sorted(line for line in lines if not line.startswith("trml-rt=="))


if __name__ == "__main__":
    print("# By `make lock`, on Linux and x86_64; environments of the Makefile take these.")
    print("\n".join(constraints(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
