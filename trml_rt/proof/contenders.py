"""Who is timed beside whom: the portable graphs, and the engines that are built."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trml_rt.backends import ONNXRUNTIME, BackendRow, row_of
from trml_rt.backends.process import python_command
from trml_rt.bundle.arguments import names_of
from trml_rt.bundle.engine_folder import EngineFolder
from trml_rt.bundle.folder import Bundle
from trml_rt.engines.choose import (
    build_command,
    find_engines,
    fitting_precisions,
    verified_engines,
)
from trml_rt.errors import ArtefactMismatch

__all__ = ["AUTO", "PORTABLE", "Rivals", "commands_of", "rivals_of"]

AUTO = "auto"
"""The name of all back ends together."""

PORTABLE = "portable"
"""The name of the bundle's own graphs among the contenders."""

Rivals = Mapping[str, tuple[BackendRow, EngineFolder]]
"""Engines by the name of the contender that they are."""


def rivals_of(bundle: Bundle, backend: str, precisions: Sequence[str] | str | None) -> Rivals:
    """Return what is timed beside the portable graphs, by precision.

    For "auto" the name has the back end before it. See `trml_rt.bench` for arguments and errors.
    """
    wanted = None if precisions is None else names_of("precisions", precisions)
    if backend == AUTO:
        pairs = verified_engines(bundle)
        built = {engines.manifest.precision for _, engines in pairs}
        for name in set(wanted or ()) - built:
            raise ArtefactMismatch(
                f"{bundle.folder}: no {name} engines that fit and are verified; `trml-rt inspect` "
                "says why"
            )
        return {
            f"{row.name} {engines.manifest.precision}": (row, engines)
            for row, engines in pairs
            if wanted is None or engines.manifest.precision in wanted
        }
    row = row_of(backend)
    if wanted is None:
        wanted = fitting_precisions(bundle, row)
        if not wanted and row is not ONNXRUNTIME:
            command = build_command(bundle, next(iter(row.unasked or row.recipes)), row)
            raise ArtefactMismatch(
                f"{bundle.folder}: no {backend} engines that fit; build them: {command}"
            )
    return {name: (row, find_engines(bundle, name, row)) for name in wanted}


def commands_of(bundle: Bundle, rivals: Rivals, **arguments: Any) -> dict[str, list[str]]:
    """Return what starts each contender for `interleave`, the portable graphs first.

    Args:
        bundle: its folder is read by each.
        rivals: as `rivals_of` gives them.
        arguments: further ones of `trml_rt.cli.bench_worker.contend`.
    """
    runs = {PORTABLE: (ONNXRUNTIME.name, PORTABLE)} | {
        name: (row.name, engines.manifest.precision) for name, (row, engines) in rivals.items()
    }
    return {
        name: python_command(
            "trml_rt.cli.bench_worker",
            json.dumps(
                {"bundle": str(bundle.folder), "backend": backend, "precision": precision}
                | arguments
            ),
        )
        for name, (backend, precision) in runs.items()
    }
