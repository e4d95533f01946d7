"""Tensors as every back end handles them: laid out by the mask, compared with the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends import Tensors
from trml_rt.bundle.manifest import TensorSpec
from trml_rt.errors import ArtefactMismatch

__all__ = ["axis_sizes", "differences", "lay_out", "real_places", "wrong_outputs"]


def lay_out(tensor: NDArray[np.generic], rank: int, tensors: Tensors) -> NDArray[np.generic]:
    """Spread the vectors of all rows' real frames, (frames, d), to (batch, n, d).

    The i-th true place of `frame_mask`, row by row, takes the i-th vector; the others hold
    zero. A tensor that already has the consumer's `rank` passes as it is.

    Raises:
        ArtefactMismatch: there is not one vector for each true place.
    """
    if tensor.ndim == rank:
        return tensor
    mask = tensors["frame_mask"].astype(bool, copy=False)
    frames = np.count_nonzero(mask)
    if tensor.ndim != rank - 1 or len(tensor) != frames:  # numpy would spread one vector to all
        raise ArtefactMismatch(
            f"vectors of shape {list(tensor.shape)} are there for {frames} frames; "
            "export the bundle again"
        )
    laid_out = np.zeros((*mask.shape, *tensor.shape[1:]), tensor.dtype)
    laid_out[mask] = tensor
    return laid_out


def axis_sizes(specs: Iterable[TensorSpec], tensors: Tensors) -> dict[str, int]:
    """Return the sizes that the axes of `specs` have in `tensors`, as they are before `lay_out`."""
    return {
        axis: size
        for spec in specs
        if len(spec.shape) == tensors[spec.name].ndim
        for axis, size in zip(spec.shape, tensors[spec.name].shape, strict=True)
        if isinstance(axis, str)
    }


def wrong_outputs(stated: Sequence[TensorSpec], given: Any, sizes: Mapping[str, int]) -> list[str]:
    """List how what engines gave differs from the manifest: names, types, and every size.

    Args:
        stated: the outputs of the engines, as the manifest has them.
        given: what they gave.
        sizes: the sizes of the axes in this call; an axis that is not among them can be any.
    """
    if not isinstance(given, dict):
        return [f"a dict of arrays expected, {type(given).__name__} found"]
    problems = []
    for spec in stated:
        shape = [sizes.get(size, size) if isinstance(size, str) else size for size in spec.shape]
        array = given.get(spec.name)
        if not isinstance(array, np.ndarray):
            found = "nothing" if array is None else type(array).__name__
        elif array.dtype == spec.dtype and _agree(array.shape, shape):
            continue
        else:
            found = f"{array.dtype} {list(array.shape)}"
        problems.append(f"{spec.name!r} must be {spec.dtype} {shape}, {found} found")
    if len(given) > len(stated) - len(problems):
        names = {spec.name for spec in stated}
        problems += [f"{name!r} is no output" for name in given if name not in names]
    return problems


def real_places(mask: NDArray[np.generic]) -> tuple[tuple[int, int, int], ...]:
    """Return the runs of true places of a mask as (first place, first vector, length).

    Places count row by row. Copying these runs into zeros is `lay_out` for a back end whose
    vectors lie on its device.
    """
    places = np.flatnonzero(mask.astype(bool, copy=False).ravel())
    if not len(places):
        return ()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(places) != 1) + 1])
    ends = np.concatenate([starts[1:], [len(places)]])
    return tuple(
        (int(places[start]), int(start), int(end - start))
        for start, end in zip(starts, ends, strict=True)
    )


def differences(
    side: str,
    stated: list[TensorSpec],
    actual: Mapping[str, tuple[str, Sequence[int | str | None]]],
) -> list[str]:
    """List how the tensors of a graph differ from the manifest's: names, types, fixed sizes (R13).

    Args:
        side: "input" or "output", for the messages.
        stated: the manifest's tensors.
        actual: type and shape of each tensor of the graph; a size that it leaves open is no
            number.
    """
    specs = {tensor.name: tensor for tensor in stated}
    problems = []
    for name in sorted(specs.keys() | actual.keys()):
        dtype = specs[name].dtype if name in specs else "nothing"
        given, shape = actual.get(name, ("nothing", ()))
        if dtype != given:
            problems.append(f"{side} {name!r}: {dtype} stated, {given} found")
        elif not _agree(specs[name].shape, shape):
            problems.append(
                f"{side} {name!r}: shape {specs[name].shape} stated, {list(shape)} found"
            )
    return problems


def _agree(stated: Sequence[int | str], actual: Sequence[int | str | None]) -> bool:
    """Say whether two shapes can be one; a size that `actual` leaves open can be any."""
    return len(stated) == len(actual) and all(
        expected == size or not isinstance(size, int)
        for expected, size in zip(stated, actual, strict=True)
    )
