"""What the dispatcher asks of a back end: load an engine, run it by names, close it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trml_rt.manifest import EngineSpec

__all__ = ["Backend", "Engine", "Tensors"]

Tensors = dict[str, NDArray[np.generic]]


class Engine(Protocol):
    """One loaded network."""

    def run(self, inputs: Tensors) -> Tensors:
        """Return all outputs by name; the arrays belong to the caller."""

    def close(self) -> None:
        """Free what the engine holds; closing twice is fine."""


class Backend(Protocol):
    """Loads engines; `name` is the word that answers and commands use for it."""

    name: str

    def load(self, engine: EngineSpec, path: Path) -> Engine:
        """Load the graph at `path`, whose tensors are those of `engine` (R13)."""
