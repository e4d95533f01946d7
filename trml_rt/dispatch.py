"""Pick the engines for the modalities that are present, and run them.

The rule itself is data: the manifest lists, for each combination of modalities, which
engines run and in which order. This module looks the combination up, loads each engine
once, and hands tensors along by name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends import Backend, Engine, Tensors
from trml_rt.errors import UsageError
from trml_rt.manifest import EngineSet, Manifest
from trml_rt.modality import Modality

__all__ = ["Dispatcher"]


class Dispatcher:
    """Runs the engine sets of one model on one back end; use it as a context manager.

    Engines load on first use and are shared between sets, so a caller who only sends text
    never pays for the image encoder.

    Args:
        manifest: the model's manifest.
        backend: loads the engines.
        locate: gives the checked path of an engine's graph.
    """

    def __init__(self, manifest: Manifest, backend: Backend, locate: Callable[[str], Path]) -> None:
        self._manifest = manifest
        self._backend = backend
        self._locate = locate
        self._sets = {engine_set.present: engine_set for engine_set in manifest.engine_sets}
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()
        self._closed = False

    def select(self, present: Modality) -> EngineSet:
        """Return the set that serves exactly `present`.

        There is no quiet step down to fewer modalities: leaving out an input that the
        caller sent would change the answer without a word.

        Raises:
            UsageError: the bundle has no engine set for `present`.
        """
        try:
            return self._sets[present]
        except KeyError:
            served = ", ".join(str(modalities) for modalities in self._sets)
            raise UsageError(f"this bundle does not serve {present}; it serves: {served}") from None

    def run(self, present: Modality, inputs: Tensors) -> tuple[Tensors, dict[str, float]]:
        """Run the set for `present`.

        Args:
            present: the modalities that are given.
            inputs: the set's inputs by name. Tensors that engines would make may be among
                them, kept from an earlier run; an engine all of whose outputs are there is
                neither loaded nor run.

        Returns:
            Every tensor on the way by name, inputs included, and the milliseconds that each
            engine took. Loading an engine is not part of its time.
        """
        tensors = dict(inputs)
        milliseconds: dict[str, float] = {}
        for name in self.select(present).engines:
            spec = self._manifest.engines[name]
            if all(tensor.name in inputs for tensor in spec.outputs):
                continue
            engine = self._engine(name)
            # Reading the manifest proved that these keys exist by now (R8).
            feed = {
                tensor.name: lay_out(tensors[tensor.name], len(tensor.shape), tensors)
                for tensor in spec.inputs
            }
            start = time.perf_counter()
            tensors |= engine.run(feed)
            milliseconds[name] = (time.perf_counter() - start) * 1e3
        return tensors, milliseconds

    def _engine(self, name: str) -> Engine:
        with self._lock:
            if self._closed:
                raise UsageError("this runtime is closed; load the bundle again")
            if name not in self._engines:
                path = self._locate(name)
                self._engines[name] = self._backend.load(self._manifest.engines[name], path)
            return self._engines[name]

    def close(self) -> None:
        """Free every engine; closing twice is fine."""
        with self._lock:
            self._closed = True
            for engine in self._engines.values():
                engine.close()
            self._engines.clear()

    def __enter__(self) -> Dispatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
