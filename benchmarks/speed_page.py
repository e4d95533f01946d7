"""Draw the pictures of docs/performance.md and fill the table of README from committed results.

    python benchmarks/speed_page.py

Nothing is measured. Each JSON of `benchmarks/results/` that has a picture here becomes an SVG in
`docs/speed/`, and rows of the table. A result that is not there yet is named and left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trml_export.plots.picture import COLOURS, MARKERS, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "speed"
README = ROOT / "README.md"
MARKS = ("<!-- speed: benchmarks/speed_page.py -->\n", "<!-- /speed -->\n")
HEAD = "| ViT-B/32 | eager open_clip | this runtime, its fastest | gain |\n|---|---|---|---|\n"

FILES = {
    "text": "text",
    "3 s clip": "video of 3 s, one group of pictures",
    "20 s clip": "video of 20 s, a keyframe every 3 s",
}
WORDS = {
    "open_clip": "eager open_clip,",
    "bare": "FP32 graphs,",
    "trml_rt": "this runtime,",
    "plain": "eager open_clip, decord",
}
LAST = {"-": "portable"}
PEERS = ("open_clip", "torch.compile", "bare", "plain", "product")
CALLERS = {
    "one": "one",
    "alone": "one, told of several",
    "unsaid": "several",
    "callers": "several, told so",
}
OF_BATCH = 32  # rows of a call, of which the table tells

Result = Mapping[str, Any]
Contended = Mapping[str, Mapping[str, Any]]


def words_of(name: str) -> str:
    """Return the name of a contender as a reader wants it."""
    words = (LAST.get(word, WORDS.get(word, word)) for word in name.split())
    return " ".join(words).rstrip(",")


def bars(axes: Axes, contenders: Contended, value: str) -> None:
    """Draw a bar for each contender, the first on top, and those of others in grey."""
    for row, (name, measured) in enumerate(contenders.items()):
        axes.barh(
            row, measured[value], color=COLOURS[7 if name.startswith(PEERS) else 0], height=0.7
        )
        shown = f"{measured[value]:.3g}" if measured[value] < 100 else f"{measured[value]:.0f}"
        axes.annotate(f" {shown}", (measured[value], row), va="center", fontsize=7)
    axes.set_yticks(range(len(contenders)), [words_of(name) for name in contenders])
    axes.set_ylim(len(contenders) - 0.5, -0.5)
    axes.margins(x=0.2)


def files_picture(result: Result) -> dict[str, bytes]:
    """Draw the time of a call from a file to the answer."""

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(FILES), sharey=True)
        for axes, (title, row) in zip(panels, FILES.items(), strict=True):
            bars(axes, result["rows"][row], "p50_ms")
            axes.set_title(title, loc="left")
            axes.set_xlabel("milliseconds, median")

    return draw(paint, f"From the file to the answer, {cpu_of(result)}", 2.6)


def callers_picture(result: Result) -> dict[str, bytes]:
    """Draw the calls a second of one caller and of several at once."""

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(result["kinds"]), sharey=True, squeeze=False)[0]
        for axes, (title, kind) in zip(panels, result["kinds"].items(), strict=True):
            contenders = {words: kind[name] for name, words in CALLERS.items()}
            bars(axes, contenders, "calls_a_second")
            axes.set_title(title, loc="left")
            axes.set_xlabel("calls a second")

    return draw(paint, f"{result['callers']} callers at once, {cpu_of(result)}", 1.9)


def archive_picture(result: Result) -> dict[str, bytes]:
    """Draw the clips a second of an archive."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        bars(axes, result["contenders"], "clips_a_second")
        axes.set_xlabel("clips a second")

    title = f"An archive of {result['clips']:,} clips, {result['clip']}, {cpu_of(result)}"
    return draw(paint, title, 0.9 + 0.2 * len(result["contenders"]))


def batches_picture(result: Result) -> dict[str, bytes]:
    """Draw the rows a second by the rows of a call."""

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, len(result["kinds"]), squeeze=False)[0]
        for axes, (title, by_rows) in zip(panels, result["kinds"].items(), strict=True):
            rows = [int(number) for number in by_rows]
            for place, name in enumerate(next(iter(by_rows.values()))):
                speeds = [contenders[name]["rows_a_second"] for contenders in by_rows.values()]
                style = {"color": COLOURS[place], "marker": MARKERS[place], "markersize": 4}
                axes.plot(rows, speeds, label=words_of(name), **style)
            axes.set_xscale("log", base=2)
            axes.set_xticks(rows, [str(each) for each in rows])
            axes.set_ylim(bottom=0)
            axes.set_title(title, loc="left")
            axes.set_xlabel("rows of a call")
        panels[0].set_ylabel("rows a second")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)

    return draw(paint, f"Rows a second by the rows of a call, {cpu_of(result)}", 2.8)


def product_picture(result: Result) -> dict[str, bytes]:
    """Draw the operations a second of matrix products and of the image engine."""
    named = {
        name + (f" ({m['share_of_product']:.0%})" if "share_of_product" in m else ""): m
        for name, m in result["contenders"].items()
    }

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        bars(axes, named, "gigaops_a_second")
        axes.set_xlabel("billions of operations a second; in brackets: share of the best product")

    title = f"The image engine against products of matrices, {cpu_of(result)}"
    return draw(paint, title, 0.9 + 0.2 * len(named))


DRAWN: Mapping[str, Callable[[Result], dict[str, bytes]]] = {
    "file_to_answer": files_picture,
    "callers": callers_picture,
    "archive": archive_picture,
    "batches": batches_picture,
    "product": product_picture,
}


def cpu_of(result: Result) -> str:
    """Return the machine of a result in words."""
    return f"{result['machine']['cpus']} cores of {result['machine']['cpu']}"


def fastest(contenders: Contended) -> Mapping[str, Any]:
    """Return what was measured of this runtime's fastest contender."""
    ours = [each for name, each in contenders.items() if not name.startswith(PEERS)]
    return max(ours, key=lambda measured: measured["speed_up"])


def row_of(words: str, contenders: Contended, value: str, unit: str) -> str:
    """Return a row of the table; the peer is the first contender."""
    peer, ours = next(iter(contenders.values())), fastest(contenders)
    theirs, our = (
        f"{m[value]:.0f}" if m[value] >= 100 else f"{m[value]:.3g}" for m in (peer, ours)
    )
    return f"| {words} | {theirs} {unit} | **{our} {unit}** | {ours['speed_up']:.1f}x |\n"


def table_of(results: Mapping[str, Result]) -> str:
    """Return the table of README, with the rows whose results are there."""
    rows = []
    if "file_to_answer" in results:
        by_row = results["file_to_answer"]["rows"]
        rows += [row_of(words, by_row[row], "p50_ms", "ms") for words, row in FILES.items()]
    if "archive" in results:
        archive = results["archive"]
        words = f"archive of {archive['clips']:,} short clips"
        rows.append(row_of(words, archive["contenders"], "clips_a_second", "clips/s"))
    for kind, words in (("text", "texts"), ("video", "clips of 8 frames")):
        contenders = results.get("batches", {}).get("kinds", {}).get(kind, {}).get(str(OF_BATCH))
        if contenders:
            rows.append(row_of(f"{OF_BATCH} {words} in a call", contenders, "rows_a_second", "/s"))
    return HEAD + "".join(rows)


def read_results() -> dict[str, Result]:
    """Return the committed results that have a picture."""
    paths = {name: RESULTS / f"{name}.json" for name in DRAWN}
    return {name: json.loads(p.read_text("utf-8")) for name, p in paths.items() if p.exists()}


def filled(readme: str, table: str) -> str:
    """Return the text of README with the table between its marks."""
    before, rest = readme.split(MARKS[0])
    return before + MARKS[0] + table + MARKS[1] + rest.split(MARKS[1])[1]


def main() -> None:
    """Draw every picture, and fill the table."""
    results = read_results()
    PICTURES.mkdir(exist_ok=True)
    for name, picture in DRAWN.items():
        if name in results:
            (PICTURES / f"{name}.svg").write_bytes(picture(results[name])["svg"])
        else:
            print(f"without {name}.json, which is not measured yet", file=sys.stderr)
    README.write_text(filled(README.read_text("utf-8"), table_of(results)), encoding="utf-8")


if __name__ == "__main__":
    main()
