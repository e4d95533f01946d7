"""A row of the table of back ends: what the rest of the house may ask of one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from trml_rt.backends.contract import BackendModule, Recipe
from trml_rt.bundle.engine_folder import Precision
from trml_rt.errors import UsageError

__all__ = ["BackendRow"]


@dataclass(frozen=True)
class BackendRow:
    """One back end.

    Attributes:
        name: the word that commands and answers use.
        module: the module that offers the functions of `BackendModule`; imported on first need.
        suffix: the ending of a compiled file.
        recipes: how each precision is made; another precision is refused.
        unasked: the precisions that are taken when none is named, best first. Only a row that has
            some is taken by `auto`, and only if the engines are verified.
        options: the fields of `CompileOptions` that have a meaning here.
        extra: the extra of trml-rt that installs it; None: it is always there.
    """

    name: str
    module: str
    suffix: str
    recipes: Mapping[Precision, Recipe]
    unasked: Sequence[Precision] = ()
    options: Sequence[str] = ()
    extra: str | None = None

    def load(self) -> BackendModule:
        """Import the module; its own heavy imports wait until a function needs them."""
        return cast(BackendModule, importlib.import_module(self.module))

    def recipe(self, precision: str) -> Recipe:
        """Return how engines of `precision` are made.

        Raises:
            UsageError: this back end has no such precision.
        """
        for name, recipe in self.recipes.items():
            if name == precision:
                return recipe
        raise UsageError(
            f"no precision {precision!r} on {self.name}; choose {', '.join(self.recipes)}"
        )
