"""Name every choice of TRML once, with its default, and check it at the door.

One frozen object holds the method (what the model is), the task (what the answer means) and
the optimiser. It is read from a JSON or TOML file, and `key=value` overrides change it. The
checkpoint holds it, so a trained model always says how it was made.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails

from trml_rt.bundle.records import problem_text
from trml_rt.errors import EnvironmentUnfit, TrmlError, UsageError

__all__ = [
    "Config",
    "check_key",
    "describe",
    "load_config",
    "parse_config",
    "parse_recorded",
]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _said_once(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Say in one sentence what neither of two types takes."""
    try:
        return check(tuple(value) if isinstance(value, list) else value)  # JSON has no tuples
    except ValidationError:
        raise ValueError("none, balanced or a list of numbers above 0 expected") from None


ClassWeights = Annotated[
    Literal["none", "balanced"] | tuple[Positive, ...], WrapValidator(_said_once)
]


def _key(default: Any, meaning: str) -> Any:
    return Field(default, description=meaning)


class Config(BaseModel):
    """Every choice of one training run; frozen, strict, and without unknown keys.

    Regression answers a score, which the runtime clips to `score_range`; the graph does not.
    Its label is i where `thresholds[i - 1] <= score < thresholds[i]`. The default, three labels
    cut at -0.5 and 0.5, is Acc-3 of MMSA but for a score of exactly 0.5.
    Classification answers one of `labels` and reads neither range nor thresholds.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    # The method.
    frames: Annotated[int, Field(ge=1, le=64)] = _key(8, "most frames of a clip, uniform in time")
    shortest_clip: Positive | None = _key(
        None, "seconds; a shorter clip counts as missing, null sets no limit"
    )
    longest_clip: Positive | None = _key(
        None, "seconds; a longer clip counts as missing, null sets no limit"
    )
    normalise: bool = _key(True, "bring text and frame vectors to length 1")
    equal_lengths: bool = _key(
        True, "bring pooled and virtual vectors to length 1 too, so that none drowns another"
    )
    head_scale: Positive | None = _key(
        None,
        "factor on both vectors at the head's door; null is the root of d for vectors of equal "
        "length, so that a coordinate is about 1, and else 1",
    )
    standardise: bool = _key(
        False, "centre and scale each coordinate of text and frame vectors by those in training"
    )
    temporal_encoder: Literal["gru", "mean"] = _key(
        "gru", "what pools the frames: the masked mean of GRU(x) + x, or the mean of x"
    )
    generator: Literal["mlp", "copy", "zero", "mean", "constant"] = _key(
        "mlp", "what stands in for a missing vector; all but mlp are controls"
    )
    gate: bool = _key(
        False, "blend each virtual vector with a learned constant, by a share that is learned"
    )
    generator_width: Annotated[int, Field(ge=1)] = _key(
        2, "hidden width of the generators, in multiples of the embedding size d"
    )
    matching_loss: Literal["infonce", "label_infonce", "cosine", "mse"] = _key(
        "infonce", "what draws a virtual vector to the real one"
    )
    matching_level: Literal["vector", "head"] = _key(
        "vector", "what matching compares: vectors, or what the head's first layer makes of them"
    )
    matching_weight: NotNegative = _key(0.1, "weight of the matching loss; 0 is the ablation")
    distil_weight: NotNegative = _key(
        0.0, "weight of drawing answers to one input towards the answer to both, which stays still"
    )
    confidence_weight: NotNegative = _key(
        0.0, "weight of the penalty on answers to one input that are surer than the answer to both"
    )
    learn_confidence: bool = _key(
        True, "learn on valid how sure the answers of each presence case may be"
    )
    detach_targets: bool = _key(True, "real vectors do not move towards virtual ones")
    task_teaches_generators: bool = _key(
        True, "false: the generators learn from the matching loss alone"
    )
    label_width: Positive = _key(
        0.05, "of label_infonce: how near two scores must be to match, in score ranges"
    )
    tau: Positive = _key(0.07, "temperature of infonce and label_infonce")
    alpha: Share = _key(0.5, "share of the virtual video in the matching loss")
    fusion: Literal["concat", "attention"] = _key(
        "concat",
        "how vectors are joined: side by side, or by self-attention over the real ones alone",
    )
    mask_bits: bool = _key(False, "tell the head which side is real")
    head_width: Annotated[int, Field(ge=1)] | None = _key(
        None, "hidden width of the head; null is the embedding size d"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = _key(0.1, "dropout in the head")
    trained_views: Literal["all", "text", "video", "text_video"] = _key(
        "all", "which presence cases are trained; one alone makes a model for that case"
    )

    # The task.
    task: Literal["regression", "classification"] = _key(
        "regression", "whether a prediction is a score or a label"
    )
    labels: Annotated[tuple[str, ...], Field(min_length=1)] = _key(
        ("negative", "neutral", "positive"), "the classes, or the names of stretches of the score"
    )
    score_range: tuple[Finite, Finite] = _key(
        (-3.0, 3.0), "the least and the largest score of regression"
    )
    thresholds: tuple[Finite, ...] = _key(
        (-0.5, 0.5), "the scores where one label of regression ends and the next begins"
    )
    class_weights: ClassWeights = _key(
        "none",
        "what a sample of each class counts in the task loss; balanced: all classes alike in sum",
    )

    # The optimiser.
    learning_rate: Positive = _key(1e-3, "of AdamW, at the beginning of its cosine")
    weight_decay: NotNegative = _key(1e-4, "of AdamW")
    clip_norm: Positive = _key(1.0, "the largest norm of the gradients")
    batch_size: Annotated[int, Field(ge=1)] = _key(64, "samples in a step")
    epochs: Annotated[int, Field(ge=1)] = _key(50, "the most passes over the training samples")
    patience: Annotated[int, Field(ge=1)] = _key(
        8, "epochs without a better validation loss after which training ends"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = _key(0, "of all that is random in training")

    @model_validator(mode="after")
    def _check_views(self) -> Config:
        for key in ("distil_weight", "confidence_weight"):
            if getattr(self, key) > 0 and self.trained_views != "all":
                raise ValueError(f"{key} needs every view; set trained_views=all")
        if self.confidence_weight > 0 and self.task == "regression":
            raise ValueError("confidence_weight needs classes; a score has no confidence")
        return self

    @model_validator(mode="after")
    def _check_fusion(self) -> Config:
        if self.fusion == "attention" and self.matching_level == "head":
            raise ValueError("matching_level=head compares what fusion=attention does not have")
        if self.fusion == "attention" and self.mask_bits:
            raise ValueError(
                "fusion=attention sees real vectors alone and has no use for mask_bits"
            )
        return self

    @model_validator(mode="after")
    def _check_class_weights(self) -> Config:
        weights = self.class_weights
        if weights != "none" and self.task == "regression":
            raise ValueError("class_weights need classes; set task=classification")
        if isinstance(weights, tuple) and len(weights) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels need as many class_weights")
        return self

    @model_validator(mode="after")
    def _check_task(self) -> Config:
        if len(set(self.labels)) < len(self.labels) or not all(self.labels):
            raise ValueError("labels must be different and not empty")
        if self.task == "classification":
            if len(self.labels) < 2:
                raise ValueError("classification needs two labels or more")
            return self
        low, high = self.score_range
        if not low < high:
            raise ValueError(f"score_range must rise, not {low} to {high}")
        if len(self.thresholds) != len(self.labels) - 1:
            raise ValueError(
                f"{len(self.labels)} labels need {len(self.labels) - 1} thresholds, "
                f"not {len(self.thresholds)}"
            )
        edges = (low, *self.thresholds, high)
        if any(a >= b for a, b in itertools.pairwise(edges)):
            raise ValueError("thresholds must rise, inside score_range")
        return self

    @property
    def outputs(self) -> int:
        """The width of the prediction: 1 score, or one logit a class."""
        return 1 if self.task == "regression" else len(self.labels)


def parse_config(
    values: dict[str, Any], *, where: str = "config", error: type[TrmlError] = UsageError
) -> Config:
    """Return the configuration of plain JSON `values`; raise `error` with every problem."""
    try:
        # Through JSON: strict mode would refuse the list that stands for a tuple.
        return Config.model_validate_json(json.dumps(values))
    except TypeError as problem:  # TOML knows dates, JSON does not
        raise error(f"{where}: {problem}") from None
    except ValidationError as problems:
        raise error(f"{where}: {describe(problems)}") from None


def parse_recorded(
    values: dict[str, Any], *, where: str = "config", error: type[TrmlError] = UsageError
) -> Config:
    """Return the configuration that a checkpoint or a report of any age holds.

    A key that is younger than the record means what every model did before there was that key,
    which need not be the default of today.
    """
    return parse_config({**_BEFORE, **values}, where=where, error=error)


_BEFORE = {"equal_lengths": False, "head_scale": 1.0, "learn_confidence": False}


def load_config(
    path: Path | None = None,
    *,
    overrides: Iterable[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Config:
    """Read a JSON or TOML file (None: no key set) and apply `key=value` overrides.

    A value that is not JSON is a string, so `task=classification` and `labels=["a", "b"]` both
    work. `defaults` hold the values of a data layout, for keys that nobody sets.

    Raises:
        UsageError: an unreadable file, an unknown key, one that is set twice, or a value out of
            its range.
        EnvironmentUnfit: a TOML file on Python 3.10, which cannot read it.
    """
    values = {**(defaults or {}), **({} if path is None else _read(path))}
    changed = set()
    for item in overrides:
        name, equals, text = item.partition("=")
        key = name.strip()
        if not equals:
            raise UsageError(f"--set {item}: give KEY=VALUE, such as epochs=30")
        check_key(key, f"--set {item}")
        if key in changed:
            raise UsageError(f"--set {item}: {key} is set before; set it once")
        changed.add(key)
        values[key] = _value(text.strip())
    return parse_config(values, where=str(path or "config"))


def check_key(key: str, where: str) -> None:
    """Raise UsageError, which begins with `where`, unless a configuration has `key`."""
    if key in Config.model_fields:
        return
    nearest = _nearest(key)
    hint = f"did you mean {nearest}?" if nearest else "see `trml-rt config` for all keys"
    raise UsageError(f"{where}: unknown key {key}; {hint}")


def _nearest(key: str) -> str | None:
    return next(iter(difflib.get_close_matches(key.lower(), Config.model_fields, 1)), None)


def describe(problems: ValidationError) -> str:
    """Return all problems that pydantic found, in one line, without its links."""
    return "; ".join(map(_text, problems.errors(include_url=False)))


def _text(problem: ErrorDetails) -> str:
    key = problem["loc"][0] if problem["type"] == "extra_forbidden" else None
    nearest = _nearest(key) if isinstance(key, str) else None
    return problem_text(problem) + (f", did you mean {nearest}?" if nearest else "")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _read(path: Path) -> dict[str, Any]:
    if path.suffix not in {".json", ".toml"}:
        raise UsageError(f"{path}: a configuration is a .json or a .toml file")
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else _toml(text, path)
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read ({problem.strerror})") from None
    except ValueError as problem:  # what both parsers raise, and UnicodeDecodeError
        raise UsageError(f"{path}: {problem}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: must hold one object of keys and values")
    return values


def _toml(text: str, path: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:
        message = f"{path}: TOML needs Python 3.11 or later; write the file as JSON"
        raise EnvironmentUnfit(message) from None
    return tomllib.loads(text)
