"""Write a model repository of NVIDIA's Triton Inference Server, whose Python back end answers."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trml_rt.backends import row_of
from trml_rt.bundle.arguments import check_one_of, path_of
from trml_rt.bundle.atomic import check_target, staged_folder
from trml_rt.bundle.copy import copy_bundle
from trml_rt.bundle.engine_folder import PRECISIONS, Precision
from trml_rt.bundle.folder import BundleLike, open_bundle
from trml_rt.errors import UsageError, cannot_write

__all__ = ["TritonModel", "export_triton"]

_CONFIG, _VERSION = "config.pbtxt", "1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class TritonModel:
    """A model in a repository of Triton.

    Attributes:
        folder: of the model, in the repository.
        name: by which clients ask for it.
        bundle: the copy of the bundle that it answers with.
    """

    folder: Path
    name: str
    bundle: Path

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON-ready values, as `trml-rt export-triton --json` prints it."""
        return asdict(self) | {"folder": str(self.folder), "bundle": str(self.bundle)}


def export_triton(
    out: str | os.PathLike[str],
    bundle: BundleLike = None,
    *,
    name: str = "trml",
    backend: str = "auto",
    precision: Precision | None = None,
    degrade: bool = False,
    isolate: bool = True,
    force: bool = False,
) -> TritonModel:
    """Write a bundle as a model of Triton, whole or not at all.

    The model has the optional inputs `text`, `video` and `frames`. Triton's Python back end runs
    it, and needs this package in its Python.

    Args:
        out: the model repository; other models in it stay.
        bundle: the bundle, as in `build`. It is copied, without engines.
        name: of the model: letters, digits, `_` and `-`.
        backend: as in `load`, on the server.
        precision: as in `load`; its engines are built on the server.
        degrade: as in `infer`.
        isolate: as in `infer`.
        force: replace a model of the name.

    Raises:
        UsageError: the model exists, or the name is none.
        ArtefactMismatch: the bundle is damaged.
        EnvironmentUnfit: the folder cannot be written, or the disk is full.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"name: {name!r} is no name of a model; take letters, digits, _ and -, at most 64"
        )
    if precision is not None:
        check_one_of("precision", precision, PRECISIONS)
    if backend != "auto":
        row_of(backend)
    opened = open_bundle(bundle)
    target = path_of("out", out) / name
    check_target(target, marker=_CONFIG, what="model of Triton", replace=force)
    options = {"backend": backend, "degrade": _word(degrade), "isolate": _word(isolate)}
    if precision is not None:
        options["precision"] = precision
    try:
        with staged_folder(target, replace=force) as staging:
            copy_bundle(staging / _VERSION / "bundle", opened)
            code = Path(__file__).with_name("triton_model.py")
            shutil.copyfile(code, staging / _VERSION / "model.py")
            config = _config(name, opened.manifest.axes.batch.max, options)
            (staging / _CONFIG).write_text(config, encoding="utf-8")
    except OSError as error:
        raise cannot_write(target, error, "name another folder") from None
    return TritonModel(target, name, target / _VERSION / "bundle")


def _word(flag: bool) -> str:
    return "true" if flag else "false"


def _config(name: str, most: int, options: Mapping[str, str]) -> str:
    """Return the configuration of the model, as Triton reads it."""
    inputs = [
        ("text", "TYPE_STRING", "[ 1 ]", "UTF-8"),
        ("video", "TYPE_STRING", "[ 1 ]", "the bytes of a video or a picture"),
        ("frames", "TYPE_UINT8", "[ -1, -1, -1, 3 ]", "RGB: frames, height, width, colours"),
    ]
    outputs = [
        ("label", "TYPE_STRING", "[ 1 ]", "as `trml-rt infer` gives it"),
        ("score", "TYPE_FP32", "[ 1 ]", "as `trml-rt infer` gives it"),
        ("answer", "TYPE_STRING", "[ 1 ]", "the JSON of `trml-rt infer --jsonl`"),
    ]
    lines = [
        f'name: "{name}"',
        'backend: "python"',
        f"max_batch_size: {most}",
        *(_tensor("input", each, " optional: true") for each in inputs),
        *(_tensor("output", each, "") for each in outputs),
        "dynamic_batching { }",
        "# One runtime, which chooses its own device; KIND_GPU would not move it.",
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        *(
            f'parameters {{ key: "{key}" value {{ string_value: {json.dumps(value)} }} }}'
            for key, value in options.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _tensor(kind: str, tensor: tuple[str, str, str, str], more: str) -> str:
    name, dtype, dims, words = tensor
    return f'{kind} [ {{ name: "{name}" data_type: {dtype} dims: {dims}{more} }} ] # {words}'
