"""Pick the engines for the modalities that are present, and run them.

The rule itself is data: the manifest lists, for each combination of modalities, which
engines run and in which order. This module looks the combination up, loads each engine
once, and hands tensors along by name.
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from trml_rt.backends import Backend, Chain, Engine, LinkingBackend, Tensors
from trml_rt.backends.tensors import axis_sizes, lay_out, wrong_outputs
from trml_rt.bundle.files import CheckedFile, FileLike
from trml_rt.bundle.manifest import EngineSet, Manifest
from trml_rt.bundle.modality import Modality
from trml_rt.errors import ArtefactMismatch, UsageError, closed, forked

__all__ = ["Dispatcher", "lay_out"]

# The axis that counts what an encoder encodes one by one.
_ROWS = {"ids": "batch", "frames": "frames"}


class _Engines:
    """Engines by name, each loaded on first need; a dispatcher and its clones share them."""

    def __init__(self, load: Callable[[str], Engine]) -> None:
        self._load = load
        self._loaded: dict[str, Engine] = {}
        self._lock = threading.Lock()
        self._users = 1

    def get(self, name: str) -> Engine:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def join(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Free the engines once the last user leaves."""
        with self._lock:
            self._users -= 1
            if not self._users:
                for engine in self._loaded.values():
                    engine.close()
                self._loaded.clear()


class Dispatcher:
    """Runs the engine sets of one model on one back end; use it as a context manager.

    Engines load on first use and are shared between sets, so a caller who only sends text
    never pays for the image encoder. Calls may come from several threads. Those of a back end
    that links engines wait in line for a chain, and a clone has chains of its own.

    Args:
        manifest: the model's manifest.
        backend: loads the engines.
        locate: gives an engine's graph: its path, or the file, open since its hash was compared.
    """

    def __init__(
        self, manifest: Manifest, backend: Backend, locate: Callable[[str], FileLike]
    ) -> None:
        self._manifest = manifest
        self._backend = backend
        self._sets = {engine_set.present: engine_set for engine_set in manifest.engine_sets}
        self._engines = _Engines(partial(_load, manifest, backend, locate))
        self._chains: dict[tuple[str, ...], Chain] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._process = os.getpid()

    @property
    def closed(self) -> bool:
        """Whether no call can run here: it was closed, or belongs to a parent process."""
        return self._closed or os.getpid() != self._process

    def clone(self) -> Dispatcher:
        """Return a dispatcher on the same engines, for another thread; each is to be closed.

        Raises:
            UsageError: this one is closed, or belongs to a parent process.
        """
        if os.getpid() != self._process:
            raise forked()
        other = copy.copy(self)
        other._chains, other._lock = {}, threading.Lock()
        with self._lock:
            if self._closed:
                raise closed()
            self._engines.join()
        return other

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

    def serves(self, present: Modality) -> bool:
        """Say whether a set serves exactly `present`."""
        return present in self._sets

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

        Raises:
            ArtefactMismatch: an engine gave other tensors than the manifest states.
        """
        names = [
            name
            for name in self.select(present).engines
            if any(tensor.name not in inputs for tensor in self._manifest.engines[name].outputs)
        ]
        return self._run(names, inputs)

    def encoder(self, source: str) -> str | None:
        """Return the engine that reads `source` alone, and makes something of each row or frame.

        Args:
            source: "ids" or "frames".

        Returns:
            Its name; None if no engine of the bundle does, so that nothing of one row can be kept.
        """
        axis = _ROWS[source]
        for name, engine in self._manifest.engines.items():
            alone = [tensor.name for tensor in engine.inputs] == [source]
            if alone and all(tensor.shape[0] == axis for tensor in engine.outputs):
                return name
        return None

    def encode(self, encoder: str, inputs: Tensors) -> tuple[Tensors, float]:
        """Run one engine that `encoder` named, and return what it makes, for later calls of `run`.

        Returns:
            Its outputs by name, and the milliseconds that it took.

        Raises:
            ArtefactMismatch: as for `run`.
        """
        tensors, milliseconds = self._run([encoder], inputs)
        names = [tensor.name for tensor in self._manifest.engines[encoder].outputs]
        return {name: tensors[name] for name in names}, milliseconds[encoder]

    def _run(self, names: Sequence[str], inputs: Tensors) -> tuple[Tensors, dict[str, float]]:
        if os.getpid() != self._process:
            raise forked()
        if names and isinstance(self._backend, LinkingBackend):
            outputs, milliseconds = self._chain(self._backend, tuple(names)).run(inputs)
            self._check(names, inputs, outputs)
            return {**inputs, **outputs}, milliseconds
        tensors = dict(inputs)
        milliseconds = {}
        for name in names:
            engine = self._engine(name)
            # Reading the manifest proved that these keys exist by now (R8).
            feed = {
                tensor.name: lay_out(tensors[tensor.name], len(tensor.shape), tensors)
                for tensor in self._manifest.engines[name].inputs
            }
            start = time.perf_counter()
            outputs = engine.run(feed)
            milliseconds[name] = (time.perf_counter() - start) * 1e3
            self._check([name], tensors, outputs)
            tensors |= outputs
        return tensors, milliseconds

    def run_all(
        self, inputs: Tensors, sets: Sequence[EngineSet] | None = None
    ) -> dict[str, Tensors]:
        """Run every engine set that `inputs` allow; an encoder runs once for all of them.

        Args:
            inputs: raw inputs by name, and perhaps tensors that engines would make.
            sets: the engine sets to run; None means all.

        Returns:
            For each set that was run, by name, every tensor on the way, inputs included.
        """
        tensors_so_far, answers = dict(inputs), {}
        largest_first = sorted(
            self._manifest.engine_sets if sets is None else sets,
            key=lambda engine_set: -len(engine_set.engines),
        )
        for engine_set in largest_first:
            if inputs.keys() >= set(engine_set.inputs):
                outputs = set(engine_set.outputs)
                feed = {
                    name: tensor for name, tensor in tensors_so_far.items() if name not in outputs
                }
                tensors, _ = self.run(engine_set.present, feed)
                answers[engine_set.name] = tensors
                tensors_so_far |= {name: t for name, t in tensors.items() if name not in outputs}
        return answers

    def _check(self, names: Sequence[str], inputs: Tensors, outputs: Tensors) -> None:
        """Refuse what engines gave if it is not what the manifest states for these inputs.

        numpy would spread one row to many, and an answer would take the first of two values.
        """
        engines = [self._manifest.engines[name] for name in names]
        came = [spec for engine in engines for spec in engine.inputs if spec.name in inputs]
        stated = [spec for engine in engines for spec in engine.outputs]
        if problems := wrong_outputs(stated, outputs, axis_sizes(came, inputs)):
            raise ArtefactMismatch(
                f"{' > '.join(names)} on {self._backend.name}: {'; '.join(problems)}; "
                "build the engines again, or export the bundle again"
            )

    def _chain(self, backend: LinkingBackend, names: tuple[str, ...]) -> Chain:
        engines = {name: self._engine(name) for name in names}
        with self._lock:
            if self._closed:
                raise closed()
            if names not in self._chains:
                self._chains[names] = backend.link(engines)
            return self._chains[names]

    def _engine(self, name: str) -> Engine:
        with self._lock:
            if self._closed:
                raise closed()
            return self._engines.get(name)

    def close(self) -> None:
        """Free what no clone uses; closing twice is fine. In a forked child nothing is freed."""
        if os.getpid() != self._process:  # the lock may be held for ever here
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for chain in self._chains.values():  # first: it runs the engines
                chain.close()
            self._chains.clear()
            self._engines.leave()

    def __enter__(self) -> Dispatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _load(
    manifest: Manifest, backend: Backend, locate: Callable[[str], FileLike], name: str
) -> Engine:
    file = locate(name)
    with file if isinstance(file, CheckedFile) else contextlib.nullcontext():
        return backend.load(manifest.engines[name], file)
