"""Record a stream, and prove that its answers are those of `infer` on the same frames.

A record is two files: lines of JSON with the answers and the times of their frames, and beside
them, with `.frames` at its name, the pixels of these frames as the encoder took them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trml_rt.answer import Answer
from trml_rt.errors import (
    ArtefactMismatch,
    EnvironmentUnfit,
    UsageError,
    VerificationFailed,
    cannot_write,
)
from trml_rt.stream.answer import StreamAnswer
from trml_rt.stream.model import Shown

__all__ = ["Recorder", "Replay", "prove"]

_FORMAT = 1
_INSTEAD = "name another file to record to"


class Recorder:
    """Writes a record; a disk that is full ends the record, not the stream.

    Args:
        path: the file to write; it must not exist.
        head: what the first line says of bundle and engines.

    Raises:
        UsageError: a file of the record exists.
        EnvironmentUnfit: the files cannot be written.
    """

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self._path = path
        self._places: dict[int, int] = {}  # of frames in the file, by their number
        self._count = 0
        self._lines = _create(path)
        try:
            self._frames = _create(_frames_of(path))
        except Exception:
            self._lines.close()
            path.unlink()
            raise
        self.fault: EnvironmentUnfit | None = None
        self._write({"record": _FORMAT, **head})

    def add(self, answer: StreamAnswer, window: Sequence[Shown]) -> bool:
        """Write an answer and the frames of its window that are new; False where that fails."""
        if self.fault is None:
            try:
                places = {shown.number: self._place(shown) for shown in window}
                if window:
                    self._places = places  # what left the window does not come back
                self._write(
                    {
                        "answer": answer.to_dict(),
                        "bits": _bits(answer),
                        "frames": [*places.values()],
                        "times": [shown.t for shown in window],
                    }
                )
            except OSError as error:
                self.fault = cannot_write(self._path, error, _INSTEAD)
                return False
        return True

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._frames.close()

    def discard(self) -> None:
        """Remove the files: there will be no stream."""
        self.close()
        self._path.unlink()
        _frames_of(self._path).unlink()

    def _place(self, shown: Shown) -> int:
        if shown.number in self._places:
            return self._places[shown.number]
        _write_all(self._frames, shown.pixels.tobytes())
        self._count += 1
        return self._count - 1

    def _write(self, line: dict[str, Any]) -> None:
        _write_all(self._lines, (json.dumps(line, ensure_ascii=False) + "\n").encode())


@dataclass(frozen=True)
class Replay:
    """What a record gives when its frames and texts are answered by `infer`.

    `differing` counts answers that are not the recorded ones bit for bit, and
    `largest_difference` is that of a score among them. `cut` says that the record breaks off in
    the middle of a line: the program was ended while it wrote. That line is left out.
    """

    answers: int
    differing: int
    largest_difference: float
    cut: bool = False

    @property
    def equal(self) -> bool:
        """Whether every answer is the recorded one, bit for bit."""
        return not self.differing

    def raise_if_unequal(self) -> None:
        """Raise VerificationFailed where an answer differs."""
        if self.differing:
            raise VerificationFailed(
                f"{self.differing} of {self.answers} recorded answers are not those of infer, by "
                f"{self.largest_difference:.2g} at most; record with the same engines, and without "
                "keeping vectors where these engines round otherwise for several frames at once"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {
            "answers": self.answers,
            "differing": self.differing,
            "largest_difference": self.largest_difference,
            "equal": self.equal,
            "cut": self.cut,
        }


def prove(
    path: Path,
    bundle_sha256: str,
    shape: tuple[int, int, int],
    infer: Callable[[str | None, NDArray[np.uint8] | None], Answer],
) -> Replay:
    """Answer on what was recorded, one window after another, and compare.

    Args:
        path: the file of the record.
        bundle_sha256: of the bundle that answers.
        shape: of a frame, (height, width, 3).
        infer: answers on a text and on frames.

    Raises:
        UsageError: it was recorded with another bundle.
        ArtefactMismatch: it is no record, or damaged.
    """
    answers = differing = 0
    cut = False
    largest = 0.0
    try:
        with path.open(encoding="utf-8") as lines:
            head = json.loads(next(lines, "null"))
            if not isinstance(head, dict) or head.get("record") != _FORMAT:
                raise ValueError("is no record of a stream")
            if head["bundle_sha256"] != bundle_sha256:
                raise UsageError(
                    f"{path}: was recorded with the bundle {head['bundle']!r}, of other content; "
                    "name that bundle"
                )
            frames = (
                np.memmap(_frames_of(path), np.uint8, "r") if _size(path) else np.zeros(0, np.uint8)
            )
            pictures = frames[: len(frames) // np.prod(shape) * np.prod(shape)].reshape(-1, *shape)
            for line in lines:
                if not line.endswith("\n"):
                    cut = True  # the program was ended while it wrote
                    break
                entry = json.loads(line)
                video = (
                    np.stack([pictures[i] for i in entry["frames"]]) if entry["frames"] else None
                )
                answer = infer(entry["answer"]["spoken"], video)
                answers += 1
                was = float.fromhex(entry["bits"]["score"])
                if _said(answer.to_dict()) != _said(entry["answer"]):
                    was = float(entry["answer"]["score"])
                elif _bits(answer) == entry["bits"]:
                    continue
                differing += 1
                largest = max(largest, abs(answer.score - was))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        if isinstance(error, UsageError):
            raise
        raise ArtefactMismatch(f"{path}: is damaged, or no record of a stream ({error})") from None
    except OSError as error:
        lacking = error.filename or path  # the frames lie in a file of their own
        raise UsageError(f"{lacking}: cannot be read ({error.strerror}); name a record") from None
    return Replay(answers, differing, largest, cut)


def _bits(answer: Answer) -> dict[str, Any]:
    """Return all that a model said, to the last bit."""
    return {
        "label": answer.label,
        "score": answer.score.hex(),
        "probabilities": {name: p.hex() for name, p in (answer.probabilities or {}).items()},
        "inputs": {name: report.state for name, report in answer.inputs.items()},
    }


def _said(answer: Mapping[str, Any]) -> list[Any]:
    """Return what a reader of the record takes for the answer; its bits are for us alone."""
    return [answer.get(name) for name in ("label", "score", "probabilities")]


def _frames_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.frames")


def _size(path: Path) -> int:
    return _frames_of(path).stat().st_size


def _create(path: Path) -> BinaryIO:
    try:
        return path.open("xb", buffering=0)
    except FileExistsError:
        raise UsageError(f"{path}: exists; {_INSTEAD}") from None
    except OSError as error:
        raise cannot_write(path, error, _INSTEAD) from None


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of it: a raw file may take a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
