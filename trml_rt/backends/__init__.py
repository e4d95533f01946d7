"""The table of back ends, and how one is looked up.

A back end is one row of `TABLE` and one module. Everything else asks the row: which precisions it
builds, how, what its engines belong to, how the machine is checked. A package from outside adds a
row through the entry point group `trml_rt.backends` (docs/recipes/backend.md).
"""

from __future__ import annotations

import functools

from trml_rt.backends.contract import (
    Backend,
    BackendModule,
    Chain,
    CompileJob,
    CompileOptions,
    CompileReport,
    Engine,
    LinkingBackend,
    Recipe,
    Tensors,
)
from trml_rt.backends.entry_points import GROUP, Outside, find_outside
from trml_rt.backends.row import BackendRow
from trml_rt.bundle.engine_folder import Precision
from trml_rt.errors import EnvironmentUnfit, UsageError

__all__ = [
    "GROUP",
    "ONNXRUNTIME",
    "TABLE",
    "Backend",
    "BackendModule",
    "BackendRow",
    "Chain",
    "CompileJob",
    "CompileOptions",
    "CompileReport",
    "Engine",
    "LinkingBackend",
    "Outside",
    "Recipe",
    "Tensors",
    "outside",
    "row_of",
    "rows",
]

_FP32 = Recipe("fp32/1", "fp32")
_ON_TENSORRT: dict[Precision, Recipe] = {
    "fp32": Recipe("fp32-plain/1", "fp32", plain=True),
    "fp16": Recipe("fp16-computed/3", "fp16", convert_to_fp16=True, plain=True),
    "int8": Recipe(
        "int8-qdq-fp16/2", "int8", int8_form="portable", convert_to_fp16=True, plain=True
    ),
}
# FP16 is what a GPU is for. INT8 must show on the device that it is faster, so it is named.
_UNASKED: tuple[Precision, ...] = ("fp16", "fp32")
_COMPILER_OPTIONS = ("workspace_mib", "optimization_level", "memory_check")

ONNXRUNTIME = BackendRow(
    name="onnxruntime",
    module="trml_rt.backends.onnxruntime",
    suffix=".onnx",
    recipes={
        "fp32": _FP32,
        "fp16": Recipe("fp16-stored/1", "fp32", store_in_fp16=True),
        "int8": Recipe("int8-qdq/2", "int8", int8_form="cpu", store_in_fp16=True),
    },
)

TABLE: tuple[BackendRow, ...] = (
    ONNXRUNTIME,
    BackendRow(
        name="tensorrt",
        module="trml_rt.backends.tensorrt.plans",
        suffix=".plan",
        recipes=_ON_TENSORRT,
        unasked=_UNASKED,
        options=_COMPILER_OPTIONS,
        extra="tensorrt",
    ),
    BackendRow(
        name="tensorrt-rtx",
        module="trml_rt.backends.tensorrt.plans",
        suffix=".plan",
        recipes=_ON_TENSORRT,
        unasked=_UNASKED,
        options=(*_COMPILER_OPTIONS, "target"),
        extra="rtx",
    ),
    BackendRow(
        name="openvino",
        module="trml_rt.backends.openvino",
        suffix=".blob",
        recipes={
            "fp32": _FP32,
            "fp16": Recipe("fp16-half/1", "fp16", half=True),
            "int8": Recipe("int8-qdq-half/1", "int8", int8_form="portable"),
        },
        by_bench=True,
        extra="openvino",
    ),
)


@functools.cache
def outside() -> Outside:
    """Return the back ends of other packages, and why others of them are of no use.

    A package that is broken never raises here; whoever asks for its back end is told by `row_of`.
    """
    return find_outside([row.name for row in TABLE])


def rows() -> tuple[BackendRow, ...]:
    """Return every back end that can be used: those of `TABLE`, then others, by name."""
    return (*TABLE, *outside().rows)


def row_of(name: str) -> BackendRow:
    """Return the back end of that name.

    Raises:
        UsageError: there is none.
        EnvironmentUnfit: the package that brings it is broken.
    """
    if not isinstance(name, str):
        raise UsageError(f"no back end {type(name).__name__}; name one with a str")
    for row in TABLE:  # first: the search through the installed packages is slow
        if row.name == name:
            return row
    for row in outside().rows:
        if row.name == name:
            return row
    if name in outside().unusable:
        raise EnvironmentUnfit(outside().unusable[name])
    raise UsageError(f"no back end {name!r}; choose {', '.join(row.name for row in rows())}")
