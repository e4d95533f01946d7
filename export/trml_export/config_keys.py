"""Describe every key of a configuration, from the class that checks it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trml_export.config import Config, check_key

__all__ = ["ConfigKey", "config_keys"]

_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "string",
    "boolean": "true or false",
    "null": "null",
}
_LIMITS = {
    "minimum": "at least {:g}",
    "exclusiveMinimum": "above {:g}",
    "maximum": "at most {:g}",
    "exclusiveMaximum": "below {:g}",
}


@dataclass(frozen=True)
class ConfigKey:
    """A key with the type of its value in words, its default as JSON has it, and its meaning."""

    key: str
    type: str
    default: Any
    meaning: str

    def to_dict(self) -> dict[str, Any]:
        """Return the description as JSON-ready values."""
        return asdict(self)


def config_keys(key: str | None = None) -> list[ConfigKey]:
    """Return the description of `key`, or of all keys in their order.

    Raises:
        UsageError: there is no such key.
    """
    if key is not None:
        check_key(key, key)
    defaults = Config().model_dump(mode="json")
    schema = Config.model_json_schema()["properties"]
    return [
        ConfigKey(name, _type(entry), defaults[name], entry["description"])
        for name, entry in schema.items()
        if key in (None, name)
    ]


def _type(entry: dict[str, Any]) -> str:
    """Return what JSON Schema says of a value, in words."""
    if "anyOf" in entry:
        return ", or ".join(map(_type, entry["anyOf"]))
    if "enum" in entry:
        return f"one of {', '.join(entry['enum'])}"
    if "prefixItems" in entry:
        return f"list of {len(entry['prefixItems'])}, each a {_type(entry['prefixItems'][0])}"
    if entry["type"] == "array":
        return f"list, each a {_type(entry['items'])}"
    limits = [words.format(entry[name]) for name, words in _LIMITS.items() if name in entry]
    return " ".join([_TYPES[entry["type"]], " and ".join(limits)]).strip()
