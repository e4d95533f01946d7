"""Draw the committed results again from their JSON; nothing is trained (`make plots`).

    python benchmarks/redraw.py --out build/plots

Every picture goes to OUT, in a folder for each result. Those PNGs that lie committed beside a
`results.json`, because a page shows them, are replaced there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from trml_export.evaluation import Evaluation
from trml_export.evaluation.plots import evaluation_pictures
from trml_export.plots.picture import write_pictures

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Draw every result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    for path in sorted(RESULTS.glob("*/results.json")):
        pictures = evaluation_pictures(Evaluation.from_json(path.read_text(encoding="utf-8")))
        folder = args.out / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        write_pictures(folder, pictures)
        for name, endings in pictures.items():
            if (shown := path.with_name(f"{name}.png")).exists():
                shown.write_bytes(endings["png"])


if __name__ == "__main__":
    main()
