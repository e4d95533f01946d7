"""Print lines and JSON that a name from a bundle, a row or a path cannot disguise.

A control character in a name would move the cursor, or make a line of its own that looks like ours.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click

from trml_rt.errors import EnvironmentUnfit

__all__ = ["Printed", "print_json", "print_lines", "printable", "printable_lines"]

# Control characters, what breaks lines or turns their direction, and halves of surrogate pairs.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LISTED = "\n  "  # before each item of an error that lists problems


@dataclass
class Printed:
    """What a command has put on standard output; the object of its context."""

    json: bool = False


def printable(text: str) -> str:
    """Return `text` on one line, its control characters as Python writes them."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def printable_lines(message: str) -> str:
    r"""Return an error's or a log's message; of its line breaks only those of a list stay."""
    return _LISTED.join(map(printable, message.split(_LISTED)))


def print_lines(lines: Iterable[str]) -> None:
    """Print `lines`, each on a line of its own."""
    _print("\n".join(map(printable, lines)))


def print_json(content: Any, *, on_one_line: bool = False) -> None:
    """Print `content` as one JSON document."""
    text = json.dumps(content, indent=None if on_one_line else 1, ensure_ascii=False)
    # What is left stands in strings, since JSON escapes the others; line breaks are of the layout.
    _print("\n".join(_CONTROL.sub(_as_json, line) for line in text.split("\n")))
    context = click.get_current_context(silent=True)
    if context is not None and (printed := context.find_object(Printed)):
        printed.json = True


def _print(text: str) -> None:
    if sys.stdout is None:  # as `>&-` of a shell leaves it; `click.echo` would print nothing
        raise EnvironmentUnfit("standard output: closed; nothing can be printed there")
    click.echo(text)


def _as_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
