"""The table of back ends, and what each must offer.

A back end is one row of `TABLE` and one module. Everything else asks the row: which precisions it
builds, how, what its engines belong to, how the machine is checked. A package from outside adds a
row through the entry point group `trml_rt.backends` (docs/recipes/backend.md).
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends.check import Check
from trml_rt.bundle.calibration import FormName
from trml_rt.bundle.engine_folder import Precision
from trml_rt.bundle.manifest import Axes, EngineSpec
from trml_rt.errors import UsageError

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
    "Recipe",
    "Tensors",
    "row_of",
    "rows",
]

Tensors = dict[str, NDArray[np.generic]]

GROUP = "trml_rt.backends"
"""The entry point group in which another package names its `BackendRow`."""


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


@dataclass(frozen=True)
class Recipe:
    """How the engines of one precision are made.

    Attributes:
        name: name and version; a part of the cache key.
        compute: what the products of the calibrated or converted graphs compute in.
        int8_form: which INT8 graphs of a calibration are compiled; None: the bundle's own graphs.
        convert_to_fp16: graphs are converted to compute in FP16 before they are compiled.
        store_in_fp16: FP32 weights of the compiled graphs are stored in FP16.
    """

    name: str
    compute: Precision
    int8_form: FormName | None = None
    convert_to_fp16: bool = False
    store_in_fp16: bool = False


@dataclass(frozen=True)
class CompileOptions:
    """Settings of a compiler; None leaves the back end's default.

    Attributes:
        target: a compute capability such as "8.9", for a GPU that is not here.
        workspace_mib: the most scratch memory that a kernel may use, in MiB.
        optimization_level: how long the compiler may search, 0 to 5.
    """

    target: str | None = None
    workspace_mib: int | None = None
    optimization_level: int | None = None


@dataclass(frozen=True)
class CompileJob:
    """One graph to compile.

    Attributes:
        engine: its name.
        spec: its tensors, as the manifest states them.
        axes: the sizes that its open axes may take.
        graph: the ONNX file.
        target: the file to write.
        computes: what its products must compute in.
        options: settings of the compiler.
        keep: a folder in which the compiler may keep files from build to build.
    """

    engine: str
    spec: EngineSpec
    axes: Axes
    graph: Path
    target: Path
    computes: Precision
    options: CompileOptions
    keep: Path


@dataclass(frozen=True)
class CompileReport:
    """What a compiler says of one graph; each part may be empty.

    Attributes:
        products: how many matrix products and convolutions compute in which type, as parsed.
        layers: how many layers compute in which type, as compiled.
        log: lines for `build.log`.
    """

    products: dict[str, int] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    log: Sequence[str] = ()


class BackendModule(Protocol):
    """What the module of a row offers; `name` is always the row's."""

    def open_backend(self, name: str, threads: int | None, *, compiled: bool) -> Backend:
        """Open the back end, for engines that were compiled or for portable graphs.

        Raises:
            BackendUnavailable: its packages are not installed.
            EnvironmentUnfit: its device is not here.
        """

    def built_for(self, name: str, options: CompileOptions) -> dict[str, str]:
        """Return what engines compiled here and now belong to, as fields of the cache key.

        "builder options" and "back end version" must be among them.
        """

    def key_prefix(self, built_for: Mapping[str, str]) -> str:
        """Return device and version as one readable word, for the name of an engine folder."""

    def compile_graph(self, name: str, job: CompileJob) -> CompileReport:
        """Compile one graph.

        Raises:
            EnvironmentUnfit: the compiler refuses, or memory is lacking.
            VerificationFailed: the result does not compute in `job.computes`.
        """

    def checks(self, name: str, required: bool) -> list[Check]:
        """Check this machine for the back end; if it is not `required`, the checks only inform."""

    def device(self, name: str) -> dict[str, str]:
        """Return what a benchmark should say of the device beside the CPU."""


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


_FP32 = Recipe("fp32/1", "fp32")
_ON_TENSORRT: dict[Precision, Recipe] = {
    "fp32": _FP32,
    "fp16": Recipe("fp16-computed/2", "fp16", convert_to_fp16=True),
    "int8": Recipe("int8-qdq-fp16/1", "int8", int8_form="portable", convert_to_fp16=True),
}
# FP16 is what a GPU is for. INT8 must show on the device that it is faster, so it is named.
_UNASKED: tuple[Precision, ...] = ("fp16", "fp32")
_COMPILER_OPTIONS = ("workspace_mib", "optimization_level")

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
)


@functools.cache
def rows() -> tuple[BackendRow, ...]:
    """Return every back end: those of `TABLE`, then those of other packages, by name."""
    from importlib.metadata import entry_points

    built_in = {row.name for row in TABLE}
    added = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return (*TABLE, *(point.load() for point in added if point.name not in built_in))


def row_of(name: str) -> BackendRow:
    """Return the back end of that name.

    Raises:
        UsageError: there is none.
    """
    for table in (TABLE, rows()):  # the second is slow: it searches the installed packages
        for row in table:
            if row.name == name:
                return row
    raise UsageError(f"no back end {name!r}; choose {', '.join(row.name for row in rows())}")
