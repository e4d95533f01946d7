"""Back ends of other packages: found through their entry points, checked, never in the way.

A package that is broken costs its own back end and no command that did not ask for it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import NamedTuple

from trml_rt.backends.guard import one_sentence, refuse_package
from trml_rt.backends.row import BackendRow, row_problems
from trml_rt.errors import EnvironmentUnfit

__all__ = ["GROUP", "Outside", "find_outside"]

GROUP = "trml_rt.backends"
"""The entry point group in which another package names its `BackendRow`."""


_Point = tuple[str, EntryPoint]  # what messages call it, and the thing itself


class Outside(NamedTuple):
    """The back ends of other packages.

    Attributes:
        rows: those that can be used, by name.
        unusable: by the name of the entry point a sentence that says why another cannot.
    """

    rows: tuple[BackendRow, ...]
    unusable: dict[str, str]


def find_outside(taken: Collection[str]) -> Outside:
    """Look through the installed packages for back ends; that takes long.

    Args:
        taken: the names that no other package may use.
    """
    unusable: dict[str, str] = {}
    points: dict[str, dict[str, _Point]] = {}
    for package, shown, point in _points(unusable):
        # Of one package that is there twice, the first is the one that is imported.
        known = points.setdefault(point.name, {})
        known.setdefault(package, (f"entry point {point.name} = {point.value} of {shown}", point))
    rows = []
    for name in sorted(points):
        try:
            rows.append(_row(name, [*points[name].values()], taken))
        except EnvironmentUnfit as error:
            unusable[name] = str(error)
    return Outside(tuple(rows), unusable)


def _row(name: str, points: list[_Point], taken: Collection[str]) -> BackendRow:
    """Return the row that an entry point names.

    Raises:
        EnvironmentUnfit: it is of no use.
    """
    who = f"back end {name} ({', '.join(origin for origin, _ in points)})"
    if len(points) > 1:
        refuse_package(who, f"{len(points)} packages bring a back end of this name")
    if name in taken:
        refuse_package(who, "this name is taken")
    with one_sentence(who, "cannot be imported", on_purpose=False):
        row: BackendRow = points[0][1].load()
    with one_sentence(who, "its row cannot be read"):
        if problems := row_problems(row):
            refuse_package(who, "; ".join(problems))
        if row.name != name:
            refuse_package(who, f"its row has the name {row.name!r}, which must be the same")
        return replace(row, outside=who)


def _points(unusable: dict[str, str]) -> Iterator[tuple[str, str, EntryPoint]]:
    """Yield the name of a package, the same with its version, and an entry point of ours in it.

    A package whose entry points cannot be read is put among the `unusable`.
    """
    for distribution in importlib.metadata.distributions():
        package = shown = "a package without a name"
        try:
            text = distribution.read_text("entry_points.txt") or ""
            if GROUP not in text:
                continue
            package = str(distribution.metadata["Name"])
            shown = f"{package} {distribution.version}"
            found = [point for point in distribution.entry_points if point.group == GROUP]
        except Exception as error:  # noqa: BLE001 - whatever is damaged is of that package alone
            unusable[package] = f"{shown}: its metadata cannot be read ({error}); reinstall it"
            continue
        yield from ((package, shown, point) for point in found)
