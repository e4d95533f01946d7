"""Compare engines with the golden files: the training framework's own answers.

A golden file is an .npz of one engine set: its inputs and every tensor that its engines
give, computed by PyTorch at export.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends import Tensors
from trml_rt.backends.tensors import lay_out
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import EngineSet
from trml_rt.dispatch import Dispatcher
from trml_rt.errors import ArtefactMismatch, VerificationFailed

__all__ = ["GATES", "Gate", "check_golden", "golden_inputs", "load_golden"]


@dataclass(frozen=True)
class Gate:
    """What engines of a precision must keep: the least cosine, the largest difference."""

    cosine: float
    prediction: float


GATES = {
    "fp32": Gate(cosine=0.9999, prediction=1e-3),
    "fp16": Gate(cosine=0.999, prediction=1e-2),
    "int8": Gate(cosine=0.98, prediction=5e-2),
}


def load_golden(path: Path) -> Tensors:
    """Read a golden file; nothing in it is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtefactMismatch(f"{path}: not a golden file: {error}") from None


def golden_inputs(bundle: Bundle, engine: str) -> list[Tensors]:
    """Return the golden inputs of one engine in the shapes that it takes, each row alone.

    They are those of the first engine set that the engine serves; none if it serves none.

    Raises:
        ArtefactMismatch: the golden file is damaged or lacks a tensor.
    """
    for engine_set in bundle.manifest.engine_sets:
        if engine in engine_set.engines:
            golden = _golden(bundle, engine_set)
            inputs = {
                tensor.name: lay_out(golden[tensor.name], len(tensor.shape), golden)
                for tensor in bundle.manifest.engines[engine].inputs
            }
            rows = len(next(iter(inputs.values())))  # all have them: of a batch, or frames
            return [
                {name: value[row : row + 1] for name, value in inputs.items()}
                for row in range(rows)
            ]
    return []


def check_golden(bundle: Bundle, dispatcher: Dispatcher, gate: Gate) -> dict[str, float]:
    """Run every engine set on its golden inputs and compare every tensor on the way.

    Returns:
        The largest absolute difference of each tensor, as `engine set/tensor`.

    Raises:
        VerificationFailed: a tensor misses `gate`, is NaN or is infinite; lists all of them.
    """
    differences: dict[str, float] = {}
    problems: list[str] = []
    for engine_set in bundle.manifest.engine_sets:
        golden = _golden(bundle, engine_set)
        inputs = {name: golden[name] for name in engine_set.inputs}
        given, _ = dispatcher.run(engine_set.present, inputs)
        for name in sorted(golden.keys() - inputs.keys()):
            where = f"{engine_set.name}/{name}"
            if given[name].shape != golden[name].shape:
                problems.append(f"{where}: shape {given[name].shape}, not {golden[name].shape}")
                continue
            differences[where] = float(
                np.abs(given[name].astype(np.float64) - golden[name].astype(np.float64)).max()
            )
            if not np.isfinite(differences[where]):
                problems.append(f"{where}: NaN or infinity")
            elif name == "prediction":
                if not differences[where] <= gate.prediction:
                    problems.append(
                        f"{where}: differs by {differences[where]:.2g}, {gate.prediction:g} allowed"
                    )
            elif not (cosine := least_cosine(given[name], golden[name])) >= gate.cosine:
                problems.append(f"{where}: cosine {cosine:.6f}, {gate.cosine:g} needed")
    if problems:
        raise VerificationFailed(f"{bundle.folder}: " + "; ".join(problems))
    return differences


def _golden(bundle: Bundle, engine_set: EngineSet) -> Tensors:
    """Return the golden tensors of an engine set: its inputs and all that its engines give."""
    golden = load_golden(bundle.path(engine_set.golden))
    made = {
        tensor.name
        for engine in engine_set.engines
        for tensor in bundle.manifest.engines[engine].outputs
    }
    if golden.keys() != made | set(engine_set.inputs):
        raise ArtefactMismatch(
            f"{engine_set.golden}: must hold the inputs of its engine set and all that its "
            f"engines give; it holds {', '.join(sorted(golden)) or 'nothing'}"
        )
    return golden


def least_cosine(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Return the smallest cosine between the rows of two arrays, (rows, d)."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return float(((x * y).sum(-1) / np.maximum(lengths, 1e-30)).min())
