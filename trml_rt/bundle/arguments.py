"""What arguments may be: one sentence for each that makes no sense.

The functions of the package call these checks. The command line takes its limits from here.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

from trml_rt.errors import UsageError

__all__ = [
    "DEVICES",
    "LAYOUTS",
    "WHOLE",
    "check_data",
    "check_number",
    "check_one_of",
    "check_seconds",
    "check_threads",
    "check_whole",
    "is_finite",
    "names_of",
    "path_of",
    "refuse_unread",
    "wholes_of",
]

LAYOUTS = ("jsonl", "mmsa", "meld")
"""The layouts of data sets that calibration and verification read."""

DEVICES = ("auto", "cpu", "cuda", "mps")
"""What encoding and training may compute on, by the names of PyTorch."""

WHOLE: Mapping[str, tuple[int, int | None]] = {
    "batch": (1, 4096),
    "batches": (1, 1 << 16),
    "body_mib": (1, 1 << 14),
    "callers": (1, 256),
    "calls": (1, None),
    "device": (0, 255),
    "live": (0, 256),
    "optimization_level": (0, 5),
    "port": (0, 65535),
    "queue": (1, 1 << 16),
    "request_rows": (1, 1 << 20),
    "rows": (1, None),
    "samples": (1, None),
    "threads": (1, 256),
    "workers": (1, 256),
    "workspace_mib": (1, 1 << 20),
}
"""The least and the largest value of each argument that is a whole number; None: no largest."""

_LARGEST = sys.float_info.max
_NUMBERS = {"max_drop": (0, 1), "max_drop_points": (0, 100), "max_ms": (0, 3_600_000)}
_DATA = {"layout": "jsonl", "split": "valid", "rows": 512}


def check_whole(name: str, value: object) -> None:
    """Refuse a `value` of the argument `name` that is no whole number within its limits.

    Raises:
        UsageError: with the limits.
    """
    low, high = WHOLE[name]
    if type(value) is not int or value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"{low} to {high}"
        raise UsageError(f"{name}: must be a whole number, {limits}, not {_shown(value)}")


def wholes_of(name: str, value: object) -> list[int]:
    """Return the whole numbers that the argument `name` lists, each once.

    Raises:
        UsageError: `value` is no list, or one of it is no whole number within its limits.
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise UsageError(f"{name}: must be a list of whole numbers, not {_shown(value)}")
    for each in value:
        check_whole(name, each)
    return list(dict.fromkeys(value))


def check_threads(threads: object, callers: object) -> None:
    """Refuse numbers of threads and callers that make no sense, or too many threads in all.

    Raises:
        UsageError: with the limits.
    """
    check_whole("callers", callers)
    if threads is not None:
        check_whole("threads", threads)
        most = WHOLE["threads"][1]
        if callers * threads > most:  # type: ignore[operator]  # whole numbers by now
            raise UsageError(
                f"callers: {callers} with {threads} threads each are more than {most} threads; "
                "give fewer"
            )


def check_number(name: str, value: object) -> None:
    """Refuse a `value` of the argument `name` that is no number within its limits.

    Raises:
        UsageError: with the limits.
    """
    low, high = _NUMBERS[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and low <= value <= high):  # type: ignore[operator]  # a number by now
        raise UsageError(f"{name}: must be a number, {low} to {high}, not {_shown(value)}")


def is_finite(value: object) -> TypeGuard[float]:
    """Say whether a value is a number, and one that a float can hold."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_LARGEST <= value <= _LARGEST  # type: ignore[operator]  # NaN is not


def check_seconds(name: str, value: object) -> None:
    """Refuse a `value` of the argument `name` that is no time to wait; infinity is one, too.

    Raises:
        UsageError: it is no number.
    """
    if value != math.inf and not is_finite(value):
        raise UsageError(f"{name}: must be a number of seconds, not {_shown(value)}")


def check_one_of(what: str, value: object, choices: Collection[str]) -> None:
    """Refuse a `value` that is none of `choices`.

    Raises:
        UsageError: with the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise UsageError(f"no {what} {_shown(value)}; choose {', '.join(choices)}")


def path_of(name: str, value: object) -> Path:
    """Return the path that the argument `name` is.

    Raises:
        UsageError: `value` is no path, is empty, or holds what no path can.
    """
    given = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(given, str):
        raise UsageError(f"{name}: must be a path, a str or a Path, not {_shown(value)}")
    if not given:
        raise UsageError(f"{name}: is empty; name a file or folder, or leave it out")
    if "\0" in given:
        raise UsageError(f"{name}: {_shown(given)} holds a zero byte, so it is no path")
    try:
        os.fsencode(given)
    except UnicodeEncodeError:
        raise UsageError(
            f"{name}: {_shown(given)} is no text that a path of this system can have"
        ) from None
    return Path(given)


def names_of(name: str, value: object) -> list[str]:
    """Return the names that the argument `name` lists; one name alone may be a str.

    Raises:
        UsageError: `value` is no list of str, or an empty one.
    """
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{name}: must be a list of names, not {_shown(value)}")
    if not value:
        raise UsageError(f"{name}: is empty; give a name, or leave it out")
    return list(value)


def check_data(data: object, *, layout: object, split: object, rows: object) -> Path | None:
    """Return the path of the data set of a verification, None where there is none.

    Raises:
        UsageError: one of the arguments makes no sense, or would not be read without `data`.
    """
    check_one_of("layout", layout, LAYOUTS)
    check_whole("rows", rows)
    if not isinstance(split, str):
        raise UsageError(f"split: must be a str, not {_shown(split)}")
    if data is not None:
        return path_of("data", data)
    given = {"layout": layout, "split": split, "rows": rows}
    refuse_unread([n for n, value in given.items() if value != _DATA[n]], "without data")
    return None


def refuse_unread(names: Sequence[str], why: str) -> None:
    """Refuse arguments that were given and would not be read.

    Args:
        names: the arguments, as the caller wrote them; without any nothing is refused.
        why: such as "without data".

    Raises:
        UsageError: naming them.
    """
    if names:
        raise UsageError(f"{', '.join(names)}: has no meaning {why}; leave it out")


def _shown(value: object) -> str:
    """Return a value as a message shows it: short, and of a long one the beginning."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number that large"  # its digits may be more than Python writes
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
