"""Read JSON records strictly: every problem listed at once, nothing converted or ignored.

Bundles, engine folders and checkpoints all say what they are in such a record. The rule numbers
are those of docs/bundle-format.md.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from trml_rt.errors import ArtefactMismatch

__all__ = [
    "MOST_DEPTH",
    "Strict",
    "expected",
    "parse_json",
    "problem_text",
    "refuse",
    "shown",
    "validate",
]

# What was expected, by pydantic's word for the fault; `{}` takes the figure that goes with it.
# The C++ reader says the same (native/src/bundle/records.cpp), which the conformance files prove.
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "enum": "{expected}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "string_type": "a string",
    "tuple_type": "a list",
}


MOST_DEPTH = 500
"""How many lists and objects of a record may lie in one another. Python gives up near 1000."""

_SHOWN = 30  # characters of a number that is too large


class Strict(BaseModel):
    """A frozen record that refuses unknown keys and converts nothing (R3)."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


def parse_json(data: bytes, source: str) -> dict[str, Any]:
    """Parse strict JSON of one object: no key twice, no NaN, nothing too large or deep, UTF-8 (R1).

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
            raise ValueError(f"{_short(text)} is too large")
        return number

    def whole(text: str) -> int:
        if len(text) > len(str(-(2**63))) or not -(2**63) <= int(text) < 2**63:
            raise ValueError(f"{_short(text)} is too large")
        return int(text)

    try:
        content = json.loads(
            data.decode(),
            object_pairs_hook=unique,
            parse_constant=refuse,
            parse_float=finite,
            parse_int=whole,
        )
        if _depth(content) > MOST_DEPTH:
            raise RecursionError
        json.dumps(content, ensure_ascii=False).encode()  # no lone surrogates
    except RecursionError:
        raise ArtefactMismatch(f"{source}: not valid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise ArtefactMismatch(f"{source}: not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ArtefactMismatch(f"{source}: not a JSON object")
    return content


def _depth(content: Any) -> int:
    """Return how many lists and objects lie in one another."""
    depth, level = 0, [content]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def validate(model: type[Strict], content: dict[str, Any], source: str, newest: int) -> Any:
    """Check `content` against `model` and return it, the schema number first (R2, R3).

    Raises:
        ArtefactMismatch: one sentence for a newer schema, else every problem found.
    """
    schema = content.get("schema")
    if type(schema) is int and schema > newest:
        raise ArtefactMismatch(
            f"{source}: schema {shown(schema)} is newer than this runtime reads ({newest}); "
            "upgrade trml-rt"
        )
    right = type(schema) is int and schema == newest
    problems = [] if right else [f"schema: {newest} expected, {shown(schema)} found"]
    try:
        record = model.model_validate(content)
    except ValidationError as error:
        problems += [
            problem_text(item)
            for item in error.errors(include_url=False)
            if item["loc"] != ("schema",) or item["type"] == "missing"
        ]
        record = None
    if problems:
        refuse(source, problems)
    return record


def problem_text(problem: ErrorDetails) -> str:
    """Return a fault that pydantic found in our words: where, what was expected, what is there."""
    where = "".join(f"{part}." for part in problem["loc"])[:-1]
    kind, figures, value = problem["type"], problem.get("ctx", {}), problem["input"]
    if kind == "extra_forbidden":
        return f"{where}: unknown key"
    if kind == "missing":
        return f"{where}: key is missing"
    if kind == "value_error":  # raised by a validator of ours, in our words
        return (where and f"{where}: ") + str(figures["error"])
    if kind in ("too_short", "too_long"):
        bound = "at least" if kind == "too_short" else "at most"
        count = figures["min_length" if kind == "too_short" else "max_length"]
        items = "1 item" if count == 1 else f"{count} items"
        return f"{where}: {bound} {items} expected, {len(value)} found"
    if kind == "greater_than" and figures["gt"] == 0 and isinstance(value, int):
        expectation = "a positive whole number"
    elif kind == "expected":
        expectation = problem["msg"]
    elif kind in _EXPECTED:
        expectation = _EXPECTED[kind].format(**figures)
    else:
        return f"{where}: {shown(value)} is not valid here"
    return f"{where}: {expectation} expected, {shown(value)} found"


def expected(what: str) -> PydanticCustomError:
    """Return the error of a validator that expected `what`, as part of a sentence."""
    return PydanticCustomError("expected", "{what}", {"what": what})


def _short(number: str) -> str:
    return number if len(number) <= _SHOWN else f"{number[:_SHOWN]}... ({len(number)} characters)"


def shown(value: Any) -> str:
    """Return a JSON value as messages show it; of a list or an object only the kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def refuse(source: str, problems: list[str]) -> NoReturn:
    """Raise one ArtefactMismatch that lists all `problems` of `source`."""
    raise ArtefactMismatch(f"{source}: " + "; ".join(problems))
