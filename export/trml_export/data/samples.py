"""What every layout of a data set becomes: samples, and a report of what was wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["DataSet", "InputProblem", "Sample"]


@dataclass(frozen=True)
class Sample:
    """One utterance; `target` is a score, or the number of a class."""

    id: str
    split: str
    text: str | None
    video: Path | None
    target: float | int


@dataclass(frozen=True)
class InputProblem:
    """An input that could not be used, or not whole (`reason` "incomplete").

    `input` is the file, as the data set names it. `reason` is one word, such as "absent",
    "undecodable", "too_short" or "too_long"; `message` is a sentence for people.
    """

    id: str
    input: str
    reason: str
    message: str


@dataclass(frozen=True)
class DataSet:
    """The samples in file order, and all that was found on reading.

    `sha256` covers the files that name the samples, `problems` every input that is missing
    although it should be there. A sample with a problem has None in its place.
    """

    samples: tuple[Sample, ...]
    sha256: str
    problems: tuple[InputProblem, ...] = ()
