"""The manifest of a bundle: what `model.json` says, checked whole at the door.

`docs/bundle-format.md` is the specification; the rule numbers in this file are its own.
After `read_manifest` returns, the rest of the runtime indexes without guarding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from trml_rt.bundle.files import FileEntry, path_problem
from trml_rt.bundle.modality import Modality
from trml_rt.bundle.records import Strict, expected, parse_json, refuse, validate

__all__ = [
    "PARITY",
    "SCHEMA",
    "SET_INPUTS",
    "VECTORS",
    "Axis",
    "EngineSet",
    "EngineSpec",
    "Manifest",
    "Task",
    "TensorSpec",
    "TextInput",
    "VideoInput",
    "exported_sets",
    "read_manifest",
]

SCHEMA = 1
"""The newest schema of `model.json` that this runtime reads."""

PARITY = 1e-4
"""The largest difference to PyTorch that a verified graph may have; an export allows no more."""

SET_INPUTS = {"text": ["ids"], "video": ["frames", "frame_mask"]}
"""The tensors that the runtime makes of each modality."""

VECTORS = ("text_vector", "frame_vectors", "virtual_text", "virtual_video")
"""The tensors whose rows are vectors of the aligned space."""

# The largest sizes that a manifest may state (R18).
_MOST_SIZE = 1 << 16  # of the context, a picture, a vector, an axis
_MOST_VALUES = 1 << 31  # of a tensor with one row or frame
_MOST_CLIP = 1 << 30  # bytes of the pixels of a clip
_MOST_TOKENIZER = 64 << 20  # bytes

Size = Annotated[int, Field(gt=0, le=_MOST_SIZE)]
_AXES = ("batch", "tokens", "frames")


def _dimension(value: Any) -> Any:
    if value in _AXES or (type(value) is int and value > 0):
        return value
    raise expected(f"a positive size or {', '.join(_AXES)}")


Dimension = Annotated[int | str, PlainValidator(_dimension)]


class TensorSpec(Strict):
    """Name, type and shape of a tensor; a dimension is a size or the name of an axis."""

    name: str
    dtype: Literal["int32", "uint8", "float32", "bool"]
    shape: list[Dimension]


class EngineSpec(Strict):
    """One network: its file, what goes in and comes out, and how its weights are stored."""

    file: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    weights: Literal["fp32", "fp16"]
    compute: Literal["fp32"]


class EngineSet(Strict):
    """The engines that serve one combination of present modalities, in running order."""

    modalities: Annotated[list[Literal["text", "video"]], Field(min_length=1)]
    engines: Annotated[list[str], Field(min_length=1)]
    inputs: list[str]
    outputs: list[str]
    golden: str

    @property
    def present(self) -> Modality:
        """The modalities as flags."""
        return Modality.parse(self.modalities)

    @property
    def name(self) -> str:
        """The modalities as one word, such as `text_video`."""
        return "_".join(self.present.names)


class TextInput(Strict):
    """How text becomes ids."""

    tokenizer: str
    context: Size
    pad_id: Annotated[int, Field(ge=0, lt=2**31)]
    cut: bool


class VideoInput(Strict):
    """How a clip becomes frames of uint8 RGB."""

    frames: Size
    height: Size
    width: Size
    resize: Literal["shortest", "longest", "squash"]
    interpolation: Literal["bicubic", "bilinear"]
    fill: Annotated[int, Field(ge=0, le=255)]


class Axis(Strict):
    """The sizes that an engine is made for along one axis."""

    min: Size
    opt: Size
    max: Size


class Axes(Strict):
    """The three axes whose size changes from call to call."""

    batch: Axis
    tokens: Axis
    frames: Axis


class Task(Strict):
    """What `prediction` means."""

    kind: Literal["regression", "classification"]
    labels: Annotated[list[str], Field(min_length=1)]
    range: list[float] | None = None
    thresholds: list[float] | None = None


class Manifest(Strict):
    """The content of `model.json`."""

    schema_: Annotated[int, Field(alias="schema")]
    name: str
    created_by: str
    embedding_dim: Size
    text: TextInput
    video: VideoInput
    axes: Axes
    task: Task
    engines: dict[str, EngineSpec]
    engine_sets: Annotated[list[EngineSet], Field(min_length=1)]
    parity: dict[str, float]
    training: dict[str, Any]
    files: dict[str, FileEntry]

    def named_files(self) -> list[str]:
        """Every path that the manifest speaks of outside `files`."""
        return [
            self.text.tokenizer,
            *(engine.file for engine in self.engines.values()),
            *(engine_set.golden for engine_set in self.engine_sets),
        ]


def exported_sets(manifest: Manifest) -> frozenset[str]:
    """Return the engine sets whose portable graphs the export has compared with PyTorch."""
    return frozenset(
        each.name
        for each in manifest.engine_sets
        if abs(manifest.parity.get(f"{each.name}/prediction", math.inf)) <= PARITY
    )


def read_manifest(data: bytes, source: str = "model.json") -> Manifest:
    """Return the manifest in `data`, or refuse it with every problem found.

    Raises:
        ArtefactMismatch: a rule of the format is broken that a manifest alone can break.
    """
    manifest: Manifest = validate(Manifest, parse_json(data, source), source, SCHEMA)
    rules = (_files, _settings, _sizes, _sets, _tensors)
    if problems := [problem for rule in rules for problem in rule(manifest)]:
        refuse(source, problems)
    return manifest


def _files(manifest: Manifest) -> Iterator[str]:
    for path in {**manifest.files, **dict.fromkeys(manifest.named_files())}:
        if problem := path_problem(path):
            yield problem
    for path in manifest.named_files():
        if path not in manifest.files:
            yield f"{path!r}: named, but not listed in files"


def _settings(manifest: Manifest) -> Iterator[str]:
    task, axes = manifest.task, manifest.axes
    if len(set(task.labels)) < len(task.labels):
        yield "task.labels: a label stands twice"
    if task.kind == "regression":
        low_high, thresholds = task.range, task.thresholds
        if low_high is None or len(low_high) != 2 or not low_high[0] < low_high[1]:
            yield "task.range: [low, high] expected"
        elif thresholds is None or len(thresholds) != len(task.labels) - 1:
            yield "task.thresholds: one less than labels expected"
        elif [low_high[0], *thresholds, low_high[1]] != sorted(
            {low_high[0], *thresholds, low_high[1]}
        ):
            yield "task.thresholds: must ascend inside range"
    elif task.range is not None or task.thresholds is not None:
        yield "task: range and thresholds belong to regression only"
    for name in ("batch", "tokens", "frames"):
        axis: Axis = getattr(axes, name)
        if not axis.min <= axis.opt <= axis.max:
            yield f"axes.{name}: min <= opt <= max expected"
    if axes.tokens.max != manifest.text.context:
        yield "axes.tokens.max: must equal text.context"
    if axes.frames.max < manifest.video.frames:
        yield "axes.frames.max: must reach video.frames"


def _sizes(manifest: Manifest) -> Iterator[str]:
    """Refuse what each size allows and all of them together do not (R18)."""
    video = manifest.video
    if video.frames * video.height * video.width * 3 > _MOST_CLIP:
        yield f"video: a clip of these frames has more than {_MOST_CLIP} bytes"
    for name, engine in manifest.engines.items():
        for tensor in (*engine.inputs, *engine.outputs):
            if math.prod(size for size in tensor.shape if isinstance(size, int)) > _MOST_VALUES:
                yield f"engine {name}: {tensor.name!r} has more than {_MOST_VALUES} values"
    listed = manifest.files.get(manifest.text.tokenizer)
    if listed is not None and listed.bytes > _MOST_TOKENIZER:
        yield f"text.tokenizer: has more than {_MOST_TOKENIZER} bytes"


def _sets(manifest: Manifest) -> Iterator[str]:
    served: set[Modality] = set()
    for engine_set in manifest.engine_sets:
        where = f"engine set {' + '.join(engine_set.modalities)}"
        if engine_set.present in served:
            yield f"{where}: stands twice"
        served.add(engine_set.present)
        tensors: dict[str, TensorSpec | None] = dict.fromkeys(engine_set.inputs)
        for name in engine_set.engines:
            if name not in manifest.engines:
                yield f"{where}: no engine {name!r}"
                continue
            engine = manifest.engines[name]
            for tensor in engine.inputs:
                if tensor.name not in tensors:
                    yield f"{where}: {name} needs {tensor.name!r}, which nothing before it gives"
                elif problem := _disagreement(tensors[tensor.name], tensor):
                    yield f"{where}: {name}: {problem}"
            tensors |= {tensor.name: tensor for tensor in engine.outputs}
        for output in engine_set.outputs:
            if tensors.get(output) is None:
                yield f"{where}: no engine gives the output {output!r}"


def _tensors(manifest: Manifest) -> Iterator[str]:
    """Compare the tensors that the runtime itself makes and reads with the format's (R15, R16)."""
    text, video, task = manifest.text, manifest.video, manifest.task
    outputs = 1 if task.kind == "regression" else len(task.labels)
    expected = {
        "ids": ("int32", ["batch", "tokens" if text.cut else text.context]),
        "frames": ("uint8", ["frames", video.height, video.width, 3]),
        "frame_mask": ("bool", ["batch", video.frames]),
        "prediction": ("float32", ["batch", outputs]),
    }
    for name, engine in manifest.engines.items():
        for tensor in (*engine.inputs, *engine.outputs):
            stated = (tensor.dtype, tensor.shape)
            if stated != expected.get(tensor.name, stated):
                dtype, shape = expected[tensor.name]
                yield f"engine {name}: {tensor.name!r} must be {dtype} {shape}"
            if tensor.name in VECTORS and tensor.shape[-1:] != [manifest.embedding_dim]:
                yield (
                    f"engine {name}: the last size of {tensor.name!r} must be embedding_dim, "
                    f"{manifest.embedding_dim}"
                )
    for engine_set in manifest.engine_sets:
        where = f"engine set {' + '.join(engine_set.modalities)}"
        inputs = [n for part in engine_set.modalities for n in SET_INPUTS[part]]
        if sorted(engine_set.inputs) != sorted(inputs):
            yield f"{where}: its inputs must be {', '.join(inputs)}"
        if "prediction" not in engine_set.outputs:
            yield f"{where}: 'prediction' is not among its outputs"


def _disagreement(produced: TensorSpec | None, consumed: TensorSpec) -> str | None:
    """Say how two ends of a tensor differ, or None; a set's own input has no producer."""
    if produced is None:
        return None
    shape = produced.shape
    if shape[:1] == ["frames"] and len(consumed.shape) == len(shape) + 1:
        shape = ["batch", consumed.shape[1], *shape[1:]]  # laid out by frame_mask
    if (produced.dtype, shape) != (consumed.dtype, consumed.shape):
        return f"{consumed.name!r} is not what an earlier engine gives"
    return None
