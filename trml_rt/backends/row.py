"""A row of the table of back ends: what the rest of the house may ask of one."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast, get_args

from trml_rt.backends.contract import BackendModule, CompileOptions, Recipe
from trml_rt.backends.guard import GuardedModule
from trml_rt.bundle.calibration import FormName
from trml_rt.bundle.engine_folder import PRECISIONS, Precision
from trml_rt.errors import UsageError

__all__ = ["BackendRow", "row_problems"]

_OPTIONS = [option.name for option in fields(CompileOptions)]


@dataclass(frozen=True)
class BackendRow:
    """One back end.

    Attributes:
        name: the word that commands and answers use: lower-case letters, digits and hyphens.
        module: the module that offers the functions of `BackendModule`; imported on first need.
        suffix: the ending of a compiled file.
        recipes: how each precision is made; another precision is refused. `store_in_fp16` works
            on ONNX graphs alone, so it needs the suffix ".onnx".
        unasked: the precisions that are taken when none is named, best first. Only a row that has
            some is taken by `auto`, and only if the engines are verified.
        options: the fields of `CompileOptions` that have a meaning here.
        by_bench: `auto` takes its engines only where a build found them fastest, so the command
            measures at the end of each build.
        extra: the extra of trml-rt that installs it; None: it is always there.
        outside: who brings it, for messages; filled in for a row from another package.
    """

    name: str
    module: str
    suffix: str
    recipes: Mapping[Precision, Recipe]
    unasked: Sequence[Precision] = ()
    options: Sequence[str] = ()
    by_bench: bool = False
    extra: str | None = None
    outside: str = ""

    def load(self) -> BackendModule:
        """Import the module; its own heavy imports wait until a function needs them.

        Raises:
            EnvironmentUnfit: the module is of another package, and cannot be imported.
        """
        if self.outside:
            return GuardedModule(self.outside, self.module)
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


def row_problems(row: Any) -> list[str]:
    """List what is wrong with a row that another package wrote."""
    if not isinstance(row, BackendRow):
        return [f"a BackendRow expected, {type(row).__name__} found"]
    if not isinstance(row.recipes, Mapping) or not row.recipes:
        return ["recipes must have a Recipe for one precision at least"]
    recipes = row.recipes.items()
    rules = {
        "name must be of lower-case letters, digits and hyphens, and not auto": (
            _is_word(row.name, r"[a-z0-9-]+") and row.name != "auto"
        ),
        "module must be the name of a module": _is_word(row.module, r"\w+(\.\w+)*"),
        "suffix must be an ending such as '.onnx'": _is_word(row.suffix, r"(\.[A-Za-z0-9_-]+)+"),
        f"recipes must have a Recipe for each of {', '.join(PRECISIONS)}, or for some": all(
            precision in PRECISIONS and _is_recipe(recipe) for precision, recipe in recipes
        ),
        "unasked must be a list of precisions that have a recipe": (
            isinstance(row.unasked, (list, tuple)) and all(p in row.recipes for p in row.unasked)
        ),
        f"options must be a list of {', '.join(_OPTIONS)}, or of some": (
            isinstance(row.options, (list, tuple)) and all(o in _OPTIONS for o in row.options)
        ),
        "a recipe with store_in_fp16 needs the suffix '.onnx'": (
            row.suffix == ".onnx"
            or not any(getattr(recipe, "store_in_fp16", False) for _, recipe in recipes)
        ),
    }
    return [rule for rule, kept in rules.items() if not kept]


def _is_word(value: object, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_recipe(recipe: object) -> bool:
    return (
        isinstance(recipe, Recipe)
        and _is_word(recipe.name, r"\S+")
        and recipe.compute in PRECISIONS
        and recipe.int8_form in (None, *get_args(FormName))
    )
