"""Open the encoders of a bundle as a frozen backbone: its two ONNX graphs and its tokenizer.

The encoders stay frozen and their vectors are computed once, so no gradient is needed, and ONNX
Runtime runs them. An export puts the same files into the new bundle. `save` writes this folder:

    graphs.json      what the manifest of the bundle says of text, video and the two engines
    text.onnx, frame.onnx, tokenizer.json
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from trml_export.backbone.placing import ON_CPU, Placement
from trml_export.config import Config
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.files import read_record, sha256_of
from trml_rt.bundle.folder import Bundle, default_bundle, open_bundle
from trml_rt.bundle.manifest import Axes, EngineSpec, TextInput, VideoInput
from trml_rt.bundle.records import Strict, parse_json, validate
from trml_rt.errors import ArtefactMismatch, UsageError
from trml_rt.inputs.image import Preprocessing

__all__ = ["GRAPHS", "GraphBackbone", "GraphRecord", "open_graphs"]

GRAPHS = ("text", "frame")
"""The encoders, by the names that an export gives them."""

_RECORD = "graphs.json"
_SCHEMA = 1
_TENSORS = {"text": (["ids"], ["text_vector"]), "frame": (["frames"], ["frame_vectors"])}


class GraphRecord(Strict):
    """The content of `graphs.json`; `normalised` says that vectors have length 1."""

    schema_: Annotated[int, Field(alias="schema")]
    name: str
    embedding_dim: Annotated[int, Field(gt=0)]
    normalised: bool
    text: TextInput
    video: VideoInput
    axes: Axes
    engines: dict[str, EngineSpec]


@dataclass(frozen=True)
class GraphBackbone:
    """Two frozen encoders as ONNX graphs, in place of a `Backbone`.

    Attributes:
        record: what the bundle said of them.
        files: the paths of `text`, `frame` and `tokenizer`.
        seed: None, for the weights are never random.
        placement: the CPU, where ONNX Runtime runs the graphs.
    """

    record: GraphRecord
    files: dict[str, Path]
    seed: None = field(default=None, init=False)
    placement: Placement = field(default=ON_CPU, init=False)

    @property
    def name(self) -> str:
        """The name of the model that the encoders come from."""
        return self.record.name

    @property
    def size(self) -> int:
        """The size d of the space that both encoders share."""
        return self.record.embedding_dim

    @property
    def context_length(self) -> int:
        """The largest number of tokens of a text."""
        return self.record.text.context

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes pixels."""
        v = self.record.video
        return Preprocessing(v.height, v.width, v.resize, v.interpolation, v.fill)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 over everything that shapes a feature: the record and the files."""
        digest = hashlib.sha256(self._record_bytes())
        for name, path in sorted(self.files.items()):
            digest.update(f"{name} {sha256_of(path)}\0".encode())
        return digest.hexdigest()

    def check_config(self, config: Config) -> None:
        """Raise UsageError where a model of `config` wants other vectors than the graphs give."""
        if config.normalise and not self.record.normalised:
            raise UsageError(
                f"{self.name}: its graphs give vectors of any length; train with "
                "--set normalise=false"
            )

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return int64 ids (batch, context length), cut by the tokenizer and padded."""
        rows = [self._tokenizer.encode(text).ids for text in texts]
        ids = np.full((len(rows), self.context_length), self.record.text.pad_id, np.int64)
        for row, tokens in zip(ids, rows, strict=True):
            row[: len(tokens)] = tokens
        return torch.from_numpy(ids)

    def encode_text(self, ids: Tensor) -> Tensor:
        """Return text vectors (batch, d) for `ids` (batch, tokens)."""
        return self._run("text", ids.to(torch.int32), self.record.axes.batch.max)

    encode_full_text = encode_text

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Return frame vectors (n, d) for `frames` (n, height, width, 3) uint8."""
        return self._run("frame", frames, self.record.axes.frames.max)

    def save(self, folder: Path) -> None:
        """Write this backbone as a folder that `open_graphs` opens."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in GRAPHS:
            shutil.copyfile(self.files[name], folder / f"{name}.onnx")
        shutil.copyfile(self.files["tokenizer"], folder / "tokenizer.json")
        write_bytes(folder / _RECORD, self._record_bytes())

    def _record_bytes(self) -> bytes:
        return self.record.model_dump_json(by_alias=True, indent=1).encode() + b"\n"

    def _run(self, name: str, inputs: Tensor, most: int) -> Tensor:
        """Run a graph on at most `most` rows at a time."""
        [key], [value] = _TENSORS[name]
        parts = [self._engines[name].run({key: p.numpy()})[value] for p in inputs.split(most)]
        return torch.from_numpy(np.concatenate(parts))

    @cached_property
    def _tokenizer(self) -> Any:
        import tokenizers

        try:
            tokenizer = tokenizers.Tokenizer.from_buffer(self.files["tokenizer"].read_bytes())
        except ValueError as error:
            raise ArtefactMismatch(f"{self.files['tokenizer']}: not a tokenizer: {error}") from None
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _engines(self) -> dict[str, Any]:
        backend = OnnxRuntimeBackend(torch.get_num_threads())  # as the key of a run has it
        return {
            name: backend.load(engine, self.files[name])
            for name, engine in self.record.engines.items()
        }


def open_graphs(source: str | Path) -> GraphBackbone | None:
    """Open the encoders of a bundle, or return None where `source` names no such thing.

    Args:
        source: "default" for the bundle that ships inside the package, "bundle:FOLDER" for another
            one, or a folder that `GraphBackbone.save` wrote.

    Raises:
        ArtefactMismatch: the bundle, or the folder, is damaged.
        UsageError: the bundle has other encoders than an export makes.
    """
    if source == "default":
        return _of_bundle(open_bundle(default_bundle()))
    if isinstance(source, str) and source.startswith("bundle:"):
        return _of_bundle(open_bundle(source.removeprefix("bundle:")))
    path = Path(source) / _RECORD
    if not path.is_file():
        return None
    content = parse_json(read_record(path), str(path))
    record: GraphRecord = validate(GraphRecord, content, str(path), _SCHEMA)
    files = {name: path.with_name(f"{name}.onnx") for name in GRAPHS}
    return GraphBackbone(record, files | {"tokenizer": path.with_name("tokenizer.json")})


def _of_bundle(bundle: Bundle) -> GraphBackbone:
    manifest = bundle.manifest
    found = {
        name: ([t.name for t in engine.inputs], [t.name for t in engine.outputs])
        for name, engine in manifest.engines.items()
        if name in GRAPHS
    }
    if found != _TENSORS:
        raise UsageError(
            f"{bundle.folder}: has no encoders text and frame of one input each; name a bundle "
            "that `trml-rt export` made"
        )
    config = manifest.training.get("config")
    record = GraphRecord(
        schema=_SCHEMA,
        name=manifest.name,
        embedding_dim=manifest.embedding_dim,
        normalised=isinstance(config, dict) and config.get("normalise") is True,
        text=manifest.text,
        video=manifest.video,
        axes=manifest.axes,
        engines={name: manifest.engines[name] for name in GRAPHS},
    )
    files = {name: bundle.path(manifest.engines[name].file) for name in GRAPHS}
    return GraphBackbone(record, files | {"tokenizer": bundle.path(manifest.text.tokenizer)})
