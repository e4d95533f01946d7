"""What the dispatcher asks of a back end: load an engine, run it by names, close it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trml_rt.bundle.manifest import EngineSpec

__all__ = ["Backend", "Chain", "Engine", "LinkingBackend", "Tensors"]

Tensors = dict[str, NDArray[np.generic]]


class Engine(Protocol):
    """One loaded network."""

    def run(self, inputs: Tensors) -> Tensors:
        """Return all outputs by name; the arrays belong to the caller."""

    def close(self) -> None:
        """Free what the engine holds; closing twice is fine."""


class Chain(Protocol):
    """Several loaded engines that run one after the other without leaving the device."""

    def run(self, tensors: Tensors) -> tuple[Tensors, dict[str, float]]:
        """Return what the engines make, by name, and the milliseconds that each took."""

    def close(self) -> None:
        """Free what the chain holds, not its engines; closing twice is fine."""


class Backend(Protocol):
    """Loads engines; `name` is the word that answers and commands use for it."""

    name: str

    def load(self, engine: EngineSpec, path: Path) -> Engine:
        """Load the graph at `path`, whose tensors are those of `engine` (R13)."""


@runtime_checkable
class LinkingBackend(Protocol):
    """A back end that also runs several engines as one chain."""

    def link(self, engines: Mapping[str, Any]) -> Chain:
        """Make a chain of engines that this back end loaded, by name, in running order."""
