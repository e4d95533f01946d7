"""Read the golden files: the training framework's own answers.

A golden file is an .npz of one engine set: its inputs and every tensor that its engines
give, computed by PyTorch at export.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.lib import format
from numpy.typing import NDArray

from trml_rt.backends import Tensors
from trml_rt.backends.tensors import lay_out
from trml_rt.bundle.files import open_file
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import EngineSet, TensorSpec
from trml_rt.bundle.records import refuse
from trml_rt.errors import ArtefactMismatch, blames_machine, lacks_resource
from trml_rt.proof.compare import Answers, Case

__all__ = ["first_row", "golden_answers", "golden_inputs", "load_golden"]


_MOST_BYTES = 1 << 30  # of all tensors of a golden file


def load_golden(path: Path) -> Tensors:
    """Read a golden file; nothing in it is unpickled, and no size in it is believed.

    Raises:
        ArtefactMismatch: it is no archive of arrays, or they have more than 1 GiB.
        EnvironmentUnfit: the machine lacks memory or open files.
    """
    with blames_machine(path):
        try:
            with open_file(path) as file, zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                if sum(entry.file_size for entry in entries) > _MOST_BYTES:
                    raise ValueError(f"its tensors have more than {_MOST_BYTES >> 30} GiB")
                return {
                    entry.filename.removesuffix(".npy"): _array(archive.read(entry))
                    for entry in entries
                }
        except Exception as error:  # zipfile, zlib and numpy have no error in common
            if lacks_resource(error):
                raise
            raise ArtefactMismatch(f"{path}: not a golden file: {error}") from None


def _array(data: bytes) -> NDArray[np.generic]:
    """Return the array in the bytes of a .npy file; its header is held to the bytes behind it."""
    file = io.BytesIO(data)
    version = format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an array of version {version}")
    shape, by_columns, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    rest = data[file.tell() :]
    if len(rest) != dtype.itemsize * math.prod(shape):
        raise ValueError(f"{dtype} of shape {shape} does not take {len(rest)} bytes")
    array: NDArray[np.generic] = np.frombuffer(rest, dtype).copy() if rest else np.empty(0, dtype)
    order: Literal["F", "C"] = "F" if by_columns else "C"
    return array.reshape(shape, order=order)


_HEADERS = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}


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
            rows = len(next(iter(inputs.values())))  # every input has one row a sample
            return [
                {name: value[row : row + 1] for name, value in inputs.items()}
                for row in range(rows)
            ]
    return []


def golden_answers(bundle: Bundle) -> tuple[list[Case], Answers]:
    """Return the golden inputs, a case for each engine set, and the training framework's answers.

    Raises:
        ArtefactMismatch: a golden file is damaged or lacks a tensor.
    """
    cases, answers = [], []
    for engine_set in bundle.manifest.engine_sets:
        golden = _golden(bundle, engine_set)
        cases.append(Case({name: golden[name] for name in engine_set.inputs}))
        answers.append({engine_set.name: golden})
    return cases, answers


def first_row(inputs: Tensors) -> Tensors:
    """Return the first row of the golden inputs of an engine set, whose frames are packed."""
    row = {name: tensor[:1] for name, tensor in inputs.items()}
    if "frames" in inputs:
        row["frames"] = inputs["frames"][: np.count_nonzero(inputs["frame_mask"][0])]
    return row


def _golden(bundle: Bundle, engine_set: EngineSet) -> Tensors:
    """Return the golden tensors of an engine set: its inputs and all that its engines give."""
    golden = load_golden(bundle.path(engine_set.golden))
    outputs = {
        tensor.name
        for engine in engine_set.engines
        for tensor in bundle.manifest.engines[engine].outputs
    }
    if golden.keys() != outputs | set(engine_set.inputs):
        raise ArtefactMismatch(
            f"{engine_set.golden}: must hold the inputs of its engine set and all that its "
            f"engines give; it holds {', '.join(sorted(golden)) or 'nothing'}"
        )
    if problems := _misshapen(bundle, engine_set, golden):
        refuse(engine_set.golden, problems)
    return golden


def _misshapen(bundle: Bundle, engine_set: EngineSet, golden: Tensors) -> list[str]:
    """Return what is wrong with types and shapes of golden tensors; a named axis has one size."""
    specs: dict[str, TensorSpec] = {}  # as the first engine has it: frames are packed
    for name in engine_set.engines:
        engine = bundle.manifest.engines[name]
        for spec in (*engine.inputs, *engine.outputs):
            specs.setdefault(spec.name, spec)
    sizes: dict[str, int] = {}
    problems = []
    for name, spec in specs.items():
        shape, dtype = golden[name].shape, str(golden[name].dtype)
        fits = len(shape) == len(spec.shape) and all(
            size == (stated if isinstance(stated, int) else sizes.setdefault(stated, size)) > 0
            for stated, size in zip(spec.shape, shape, strict=True)
        )
        if not fits or dtype != spec.dtype:
            stated = f"{spec.dtype} of shape {spec.shape}"
            problems.append(f"{name}: {stated} expected, {dtype} of shape {shape} found")
    if not problems and "frames" in sizes and golden["frame_mask"].sum() != sizes["frames"]:
        problems.append(f"frame_mask: {sizes['frames']} true places expected")
    return problems
