"""What a back end must offer, and what it is given: the protocols and the records between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends.check import Check
from trml_rt.bundle.calibration import FormName
from trml_rt.bundle.engine_folder import Precision
from trml_rt.bundle.files import FileLike
from trml_rt.bundle.manifest import Axes, EngineSpec

__all__ = [
    "Backend",
    "BackendModule",
    "Chain",
    "CompileJob",
    "CompileOptions",
    "CompileReport",
    "Engine",
    "LinkingBackend",
    "Recipe",
    "Tensors",
]

Tensors = dict[str, NDArray[np.generic]]


class Engine(Protocol):
    """One loaded network."""

    def run(self, inputs: Tensors) -> Tensors:
        """Return all outputs by name, as the manifest states them; the arrays are the caller's."""

    def close(self) -> None:
        """Free what the engine holds; closing twice is fine."""


class Chain(Protocol):
    """Several loaded engines that run one after the other without leaving the device.

    It may keep work for each shape: texts come to it in few lengths.
    """

    def run(self, tensors: Tensors) -> tuple[Tensors, dict[str, float]]:
        """Return what the engines make, by name, and the milliseconds that each took."""

    def close(self) -> None:
        """Free what the chain holds, not its engines; closing twice is fine."""


class Backend(Protocol):
    """Loads engines; `name` is the word that answers and commands use for it."""

    name: str

    def load(self, engine: EngineSpec, path: FileLike) -> Engine:
        """Load the graph at `path`, whose tensors are those of `engine` (R13).

        `path` is read as a `Path` is. Its `str` is for messages alone: the file of that name may be
        another one by now.
        """


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
        store_in_fp16: FP32 weights of the compiled graphs, which must be ONNX, are stored in FP16.
        plain: graphs are compiled with weights in FP32, and with a uint8 input that is only cast.
        half: the compiler is to compute in half precision what the graphs say in FP32. `built_for`
            may say, as "half precision", what this CPU has units for. A build is refused on "none".
    """

    name: str
    compute: Precision
    int8_form: FormName | None = None
    convert_to_fp16: bool = False
    store_in_fp16: bool = False
    plain: bool = False
    half: bool = False


@dataclass(frozen=True)
class CompileOptions:
    """Settings of a compiler; None leaves the back end's default.

    Attributes:
        target: a compute capability such as "8.9", for a GPU that is not here.
        workspace_mib: the most scratch memory that a kernel may use, in MiB.
        optimization_level: how long the compiler may search, 0 to 5.
        memory_check: False compiles also where memory may not suffice.
    """

    target: str | None = None
    workspace_mib: int | None = None
    optimization_level: int | None = None
    memory_check: bool | None = None


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

    def open_backend(
        self, name: str, threads: int | None, callers: int, *, compiled: bool
    ) -> Backend:
        """Open the back end, for engines that were compiled or for portable graphs.

        Args:
            name: that of the row.
            threads: CPU threads that one call may use; None: the back end chooses.
            callers: how many calls are meant to run at once, and so share the cores.
            compiled: whether the engines were compiled.

        Raises:
            BackendUnavailable: its packages are not installed.
            EnvironmentUnfit: its device is not here.
        """

    def built_for(self, name: str, options: CompileOptions) -> dict[str, str]:
        """Return what engines compiled here and now belong to, as fields of the cache key.

        "builder options" and "back end version" must be among them, and none may have the name of
        a field that every key has: `guard.is_own_field`.
        """

    def key_prefix(self, built_for: Mapping[str, str]) -> str:
        """Return device and version as one readable word, for the name of an engine folder.

        It holds letters, digits, ".", "_" and "-", and does not begin with a dot.
        """

    def compile_graph(self, name: str, job: CompileJob) -> CompileReport:
        """Compile one graph: write `job.target` and nothing else.

        Raises:
            EnvironmentUnfit: the compiler refuses, or memory is lacking.
            VerificationFailed: the result does not compute in `job.computes`.
        """

    def checks(self, name: str, required: bool) -> list[Check]:
        """Check this machine for the back end; if it is not `required`, no check may be."""

    def device(self, name: str) -> dict[str, str]:
        """Return what a benchmark should say of the device beside the CPU."""
