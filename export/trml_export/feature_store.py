"""Keep feature vectors on disk under a content hash, so that they are computed once.

Vectors lie in blocks: an array `<name>.npy` of shape (rows, d), which is memory-mapped, and
`<name>.json`, which says which rows belong to which key. The index is written after its
array, both whole or not at all; so a store that was killed has lost its last block at most,
and several processes may share one folder.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trml_rt.atomic import write_bytes
from trml_rt.errors import ArtefactMismatch

__all__ = ["FeatureStore", "Stored"]

_BLOCK_ITEMS = 256  # few enough to lose, and few files for a data set of many thousand clips


@dataclass(frozen=True)
class Stored:
    """The vectors (rows, d) of one key, read-only; `incomplete` as in `trml_rt.video.Clip`."""

    vectors: npt.NDArray[np.float32]
    incomplete: bool = False


class FeatureStore:
    """A folder of feature vectors; use it as a context manager, which writes what is pending."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._items: dict[str, Stored] = {}
        self._pending: list[str] = []
        for index in sorted(folder.glob("*.json")):
            self._read_block(index)

    def get(self, key: str) -> Stored | None:
        """Return what is kept under `key`, or None."""
        return self._items.get(key)

    def add(self, key: str, stored: Stored) -> None:
        """Keep `stored` under `key`; it reaches the disk with its block."""
        self._items[key] = stored
        self._pending.append(key)
        if len(self._pending) >= _BLOCK_ITEMS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one block."""
        if not self._pending:
            return
        rows, start = [], 0
        for key in self._pending:
            item = self._items[key]
            stop = start + len(item.vectors)
            rows.append([key, start, stop, item.incomplete])
            start = stop
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate([self._items[key].vectors for key in self._pending]))
        name = hashlib.sha256("".join(self._pending).encode()).hexdigest()[:16]
        index = self._folder / f"{name}.json"
        write_bytes(index.with_suffix(".npy"), buffer.getvalue())
        write_bytes(index, json.dumps(rows).encode())
        self._pending.clear()
        self._read_block(index)  # from memory to the map of the file

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()  # also after Ctrl-C: what is computed is computed

    def _read_block(self, index: Path) -> None:
        try:
            rows: list[Any] = json.loads(index.read_bytes())
            array = np.load(index.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
            if rows[-1][2] != len(array):
                raise ValueError("index and array differ")
            vectors = np.asarray(array)  # the same map, without the cost of a memmap a slice
            for key, start, stop, incomplete in rows:
                self._items[key] = Stored(vectors[start:stop], incomplete)
        except (OSError, EOFError, ValueError, LookupError, TypeError) as problem:
            raise ArtefactMismatch(
                f"{index}: a block of the feature cache is damaged ({problem}); "
                f"delete {self._folder}, it is computed again"
            ) from None
