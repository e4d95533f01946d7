"""Tensors as every back end handles them: laid out by the mask, compared with the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends import Tensors
from trml_rt.bundle.manifest import TensorSpec

__all__ = ["differences", "lay_out", "real_places"]


def lay_out(tensor: NDArray[np.generic], rank: int, tensors: Tensors) -> NDArray[np.generic]:
    """Spread the vectors of all rows' real frames, (frames, d), to (batch, n, d).

    The i-th true place of `frame_mask`, row by row, takes the i-th vector; the others hold
    zero. A tensor that already has the consumer's `rank` passes as it is.
    """
    if tensor.ndim == rank:
        return tensor
    mask = tensors["frame_mask"]
    laid_out = np.zeros((*mask.shape, *tensor.shape[1:]), tensor.dtype)
    laid_out[mask.astype(bool, copy=False)] = tensor
    return laid_out


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
    """Say whether a graph's shape can be the stated one; a size that it leaves open can be any."""
    return len(stated) == len(actual) and all(
        expected == size or not isinstance(size, int)
        for expected, size in zip(stated, actual, strict=True)
    )
