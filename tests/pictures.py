"""Read what a picture says."""

from __future__ import annotations

from xml.etree import ElementTree


def words_of(svg: bytes) -> set[str]:
    """Return the texts of an SVG, a line each."""
    root = ElementTree.fromstring(svg)
    return {"".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")}
