"""Keep what a calibration has found, so that one that was interrupted goes on where it was.

The INT8 graph of each encoder and form, or that none is worth it, lies in a folder beside the
target, under a hash of all that decides it. No other reader opens that folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from trml_rt.backends import Tensors
from trml_rt.bundle.atomic import partial_of, refuse_links, write_bytes
from trml_rt.bundle.files import read_record

__all__ = ["Finding", "Findings", "key_of"]

_VERSION = 1  # raise it when a search finds something else for the same inputs

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """What the search for one form of one encoder has found."""

    model: onnx.ModelProto | None
    """None where the encoder stays in FP32."""

    said: dict[str, Any]
    """What the record says of it, without its file."""


class Findings:
    """What was found so far on the way to `target`; files of another key count as absent.

    Raises:
        ArtefactMismatch: where they are kept is a link.
    """

    def __init__(self, target: Path, key: str) -> None:
        self._folder, self._key = partial_of(Path(os.path.realpath(target))), key
        refuse_links(self._folder)

    def take(self, engine: str, form: str) -> Finding | None:
        """Return what an earlier run has found, or None; a damaged file counts as absent."""
        record, graph = self._paths(engine, form)
        try:
            content = json.loads(read_record(record))
            if content["key"] != self._key:
                return None
            if content["sha256"] is None:
                return Finding(None, content["said"])
            data = graph.read_bytes()
            if hashlib.sha256(data).hexdigest() != content["sha256"]:
                return None
            return Finding(onnx.load_from_string(data), content["said"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def keep(self, engine: str, form: str, finding: Finding) -> None:
        """Write what was found; OSError where that fails."""
        record, graph = self._paths(engine, form)
        self._folder.mkdir(parents=True, exist_ok=True)
        digest = None
        if finding.model is not None:
            data = finding.model.SerializeToString()
            digest = hashlib.sha256(data).hexdigest()
            write_bytes(graph, data)
        content = {"key": self._key, "sha256": digest, "said": finding.said}
        write_bytes(record, json.dumps(content, default=float).encode())  # numbers of numpy

    def forget(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _paths(self, engine: str, form: str) -> tuple[Path, Path]:
        return self._folder / f"{engine}.{form}.json", self._folder / f"{engine}.{form}.onnx"


def key_of(facts: Sequence[Any], tensors: Iterable[Sequence[Tensors]]) -> str:
    """Return a hash of `facts`, which are JSON values, and of every value of `tensors`."""
    digest = hashlib.sha256(json.dumps([_VERSION, facts], sort_keys=True).encode())
    for group in tensors:
        digest.update(f"group of {len(group)}".encode())
        for feed in group:
            for name, value in sorted(feed.items()):
                digest.update(f"{name} {value.dtype} {value.shape}".encode())
                digest.update(value.tobytes())
    return digest.hexdigest()
