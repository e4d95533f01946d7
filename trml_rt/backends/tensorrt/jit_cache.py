"""Kernels that TensorRT for RTX has compiled for the GPU that is here, kept on disk.

Its plans hold no kernels: they are compiled when a context is made, in every process anew, unless a
cache holds them. Full TensorRT has its kernels in the plan.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from trml_rt.bundle.atomic import write_bytes

__all__ = ["JitCache"]

_log = logging.getLogger(__name__)


class JitCache:
    """One cache for all contexts of a back end; may be used from several threads.

    Args:
        owner: what the kernels belong to, as a part of a file's name: GPU and version.
    """

    def __init__(self, owner: str) -> None:
        self._name = f".rtx-cache-{owner}"
        self._path: Path | None = None
        self._cache: Any = None
        self._kept = b""
        self._lock = threading.Lock()

    def keep_in(self, place: Path) -> None:
        """Name the folder of the file: that of the first plan that is loaded."""
        self._path = self._path or place / self._name

    def use(self, config: Any) -> None:
        """Let the context of this configuration take kernels from the cache, and add to it."""
        with self._lock:
            if self._cache is None:
                self._cache = config.create_runtime_cache()
                self._load()
            if self._cache is not None:
                config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write the cache, if anything came into it; where it cannot be written, a line says so."""
        with self._lock:
            if self._cache is None or self._path is None:
                return
            data = bytes(self._cache.serialize())
            if data == self._kept:
                return
            try:
                write_bytes(self._path, data)
            except OSError as error:
                _log.info("compiled kernels are not kept: %s: %s", self._path, error.strerror)
            self._kept = data

    def _load(self) -> None:
        """Read what an earlier process left; what TensorRT refuses is begun anew."""
        if self._cache is None or self._path is None:
            return
        try:
            data = self._path.read_bytes()
        except OSError:  # most often there is none yet
            return
        if self._cache.deserialize(data):
            self._kept = data
        else:
            self._cache.reset()
