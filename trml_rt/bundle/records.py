"""Read JSON records strictly: every problem listed at once, nothing converted or ignored.

Bundles, engine folders and checkpoints all say what they are in such a record. The rule numbers
are those of docs/bundle-format.md.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from trml_rt.errors import ArtefactMismatch

__all__ = ["Strict", "parse_json", "refuse", "validate"]


class Strict(BaseModel):
    """A frozen record that refuses unknown keys and converts nothing (R3)."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


def parse_json(data: bytes, source: str) -> dict[str, Any]:
    """Parse strict JSON of one object: no key twice, no NaN, UTF-8 (R1).

    Raises:
        ArtefactMismatch: with `source` at the head of the message.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            raise ValueError("a key stands twice in one object")
        return record

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    def finite(text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text} is too large")
        return number

    try:
        content = json.loads(
            data.decode(), object_pairs_hook=unique, parse_constant=refuse, parse_float=finite
        )
        json.dumps(content, ensure_ascii=False).encode()  # no lone surrogates
    except (ValueError, RecursionError) as error:
        raise ArtefactMismatch(f"{source}: not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ArtefactMismatch(f"{source}: not a JSON object")
    return content


def validate(model: type[Strict], content: dict[str, Any], source: str, newest: int) -> Any:
    """Check `content` against `model` and return it, the schema number first (R2, R3).

    Raises:
        ArtefactMismatch: one sentence for a newer schema, else every problem found.
    """
    schema = content.get("schema")
    if type(schema) is int and schema > newest:
        raise ArtefactMismatch(
            f"{source}: schema {schema} is newer than this runtime reads ({newest}); "
            "upgrade trml-rt"
        )
    right = type(schema) is int and schema == newest
    problems = [] if right else [f"schema: {newest} expected, {schema!r} found"]
    try:
        record = model.model_validate(content)
    except ValidationError as error:
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                problems.append(f"{where}: unknown key")
            elif item["type"] == "missing":
                problems.append(f"{where}: key is missing")
            elif item["loc"] != ("schema",):
                problems.append(f"{where}: {item['msg']}")
        record = None
    if problems:
        refuse(source, problems)
    return record


def refuse(source: str, problems: list[str]) -> NoReturn:
    """Raise one ArtefactMismatch that lists all `problems` of `source`."""
    raise ArtefactMismatch(f"{source}: " + "; ".join(problems))
