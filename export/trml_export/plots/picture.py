"""Draw one figure as PNG and SVG: sizes for a page, colours for all eyes, the same bytes again."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trml_rt.errors import lacks_package

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "DASHES", "MARKERS", "WIDTH", "check_drawing", "draw", "write_pictures"]

# Okabe and Ito's colours, without their yellow, which is faint on paper.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    *("#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#882255"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "h")
DASHES = (
    "-",
    "--",
    "-.",
    ":",
    (0, (5, 1)),
    (0, (3, 1, 1, 1)),
    (0, (1, 1)),
    (0, (7, 3)),
    (0, (2, 1)),
)
WIDTH = 7.2
"""Inches; the text of a page of A4 or Letter is hardly narrower."""

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # it comes with matplotlib, so sizes are the same anywhere
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "figure.titlesize": 9.0,
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.fonttype": "none",  # words stay words, which can be searched and read aloud
    "svg.hashsalt": "trml-rt",
}

# Neither the date nor the version gets in, so the same numbers give the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
_DPI = 160
_SHADES = 128


def check_drawing() -> None:
    """Refuse to draw without matplotlib; call it before any long work.

    Raises:
        EnvironmentUnfit: matplotlib is not installed, or cannot be loaded.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise lacks_package("drawing", error, "train") from None


def draw(
    paint: Callable[[Figure], None], title: str, height: float, width: float = WIDTH
) -> dict[str, bytes]:
    """Return one figure by the ending of its file, "png" and "svg".

    Args:
        paint: draws on the empty figure.
        title: lines above everything.
        height: inches.
        width: inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    pictures = {}
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left")
        paint(figure)
        for ending, metadata in _METADATA.items():
            file = io.BytesIO()
            figure.savefig(file, format=ending, dpi=_DPI, metadata=metadata)
            pictures[ending] = file.getvalue()
    return pictures | {"png": _small(pictures["png"])}


def _small(png: bytes) -> bytes:
    """Return a PNG with a palette, which takes half the bytes of three full channels."""
    from PIL import Image

    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        few = image.convert("RGB").quantize(_SHADES, dither=Image.Dither.NONE)
    few.save(file, format="png", optimize=True, dpi=(_DPI, _DPI))
    return file.getvalue()


def write_pictures(folder: Path, pictures: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write the pictures that `draw` gave, by name; OSError where that cannot be done."""
    for name, endings in pictures.items():
        for ending, content in endings.items():
            (folder / f"{name}.{ending}").write_bytes(content)
