"""Name every choice of TRML once, with its default, and check it at the door.

One frozen object holds the method (what the model is), the task (what the answer means) and
the optimiser. It is read from a JSON or TOML file, and `key=value` overrides change it. The
checkpoint holds it, so a trained model always says how it was made.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trml_rt.bundle.records import problem_text
from trml_rt.errors import EnvironmentUnfit, TrmlError, UsageError

__all__ = ["Config", "describe", "load_config", "parse_config"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Config(BaseModel):
    """Every choice of one training run; frozen, strict, and without unknown keys.

    Regression answers a score, which the runtime clips to `score_range`; the graph does not.
    Its label is i where `thresholds[i - 1] <= score < thresholds[i]`. The default, three labels
    cut at -0.5 and 0.5, is Acc-3 of MMSA but for a score of exactly 0.5.
    Classification answers one of `labels` and reads neither range nor thresholds.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    # The method.
    frames: Annotated[int, Field(ge=1, le=64)] = 8
    shortest_clip: Positive | None = None  # in seconds; a clip outside counts as missing
    longest_clip: Positive | None = None
    normalise: bool = True
    temporal_encoder: Literal["gru", "mean"] = "gru"
    generator: Literal["mlp", "copy", "zero", "mean", "constant"] = "mlp"
    generator_width: Annotated[int, Field(ge=1)] = 2  # in multiples of the embedding size d
    matching_loss: Literal["infonce", "label_infonce", "cosine", "mse"] = "infonce"
    matching_level: Literal["vector", "head"] = "vector"
    matching_weight: NotNegative = 0.1  # lambda; 0 is the ablation
    detach_targets: bool = True
    task_teaches_generators: bool = True
    label_width: Positive = 0.05  # in score ranges; how near two scores must be to match
    tau: Positive = 0.07
    alpha: Share = 0.5  # share of the virtual video in the matching loss
    mask_bits: bool = False
    head_width: Annotated[int, Field(ge=1)] | None = None  # None: d
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    trained_views: Literal["all", "text", "video", "text_video"] = "all"

    # The task.
    task: Literal["regression", "classification"] = "regression"
    labels: Annotated[tuple[str, ...], Field(min_length=1)] = ("negative", "neutral", "positive")
    score_range: tuple[Finite, Finite] = (-3.0, 3.0)
    thresholds: tuple[Finite, ...] = (-0.5, 0.5)

    # The optimiser.
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 1e-4
    clip_norm: Positive = 1.0
    batch_size: Annotated[int, Field(ge=1)] = 64
    epochs: Annotated[int, Field(ge=1)] = 50
    patience: Annotated[int, Field(ge=1)] = 8  # epochs without a better validation loss
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

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


def load_config(
    path: Path | None = None,
    *,
    overrides: Iterable[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Config:
    """Read a JSON or TOML file (None: no key set) and apply `key=value` overrides in order.

    A value that is not JSON is a string, so `task=classification` and `labels=["a", "b"]` both
    work. `defaults` hold the values of a data layout, for keys that nobody sets.

    Raises:
        UsageError: an unreadable file, an unknown key, or a value out of its range.
        EnvironmentUnfit: a TOML file on Python 3.10, which cannot read it.
    """
    values = {**(defaults or {}), **({} if path is None else _read(path))}
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or key.strip() not in Config.model_fields:
            keys = ", ".join(Config.model_fields)
            raise UsageError(f"--set {item}: give KEY=VALUE with a KEY of {keys}")
        values[key.strip()] = _value(text.strip())
    return parse_config(values, where=str(path or "config"))


def describe(problems: ValidationError) -> str:
    """Return all problems that pydantic found, in one line, without its links."""
    return "; ".join(map(problem_text, problems.errors(include_url=False)))


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
