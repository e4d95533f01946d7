"""Put a measured bundle into the package, with a model card that holds its numbers.

    python ship.py --bundle BUNDLE --results RESULTS --protocol RESULTS.md

Copies BUNDLE to trml_rt/default_bundle, graphs untouched, adds MODEL_CARD.md made from CARD.md
and the results, and copies the results to benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from trml_rt.bundle.atomic import staged_folder, write_bytes
from trml_rt.bundle.files import describe_files
from trml_rt.bundle.folder import Bundle

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main() -> None:
    """Write the card, the bundle and the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle that was measured")
    parser.add_argument("--results", type=Path, required=True, help="of evaluate.py, no ending")
    parser.add_argument("--protocol", type=Path, required=True, help="of make protocol-pairs")
    parser.add_argument("--out", type=Path, default=ROOT / "trml_rt" / "default_bundle")
    args = parser.parse_args()
    Bundle(args.bundle).verify_files()
    results = args.results.with_suffix(".md").read_text(encoding="utf-8")
    protocol = args.protocol.read_text(encoding="utf-8").split("\n\n")[0] + "\n"
    card = (HERE / "CARD.md").read_text(encoding="utf-8")
    card = card.replace("@@RESULTS@@", results).replace("@@PROTOCOL@@", protocol)
    with staged_folder(args.out, replace=True) as staging:
        shutil.copytree(
            args.bundle, staging, dirs_exist_ok=True, ignore=shutil.ignore_patterns("engines")
        )
        write_bytes(staging / "MODEL_CARD.md", card.encode())
        manifest = json.loads((staging / "model.json").read_text(encoding="utf-8"))
        manifest["files"] |= {
            name: entry.model_dump()
            for name, entry in describe_files(staging, ["MODEL_CARD.md"]).items()
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        write_bytes(staging / "model.json", text.encode())
    shutil.copyfile(
        args.results.with_suffix(".json"), ROOT / "benchmarks" / "results" / "default_bundle.json"
    )
    Bundle(args.out).verify_files()


if __name__ == "__main__":
    main()
