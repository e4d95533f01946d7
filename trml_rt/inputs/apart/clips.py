"""Read clips in child processes; a child serves many calls, and a new one replaces a lost one."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trml_rt.errors import EnvironmentUnfit, InputUnusable, TrmlError, UsageError
from trml_rt.inputs.apart.process import Child, ChildEnded
from trml_rt.inputs.clip import Clip
from trml_rt.inputs.image import Preprocessing
from trml_rt.inputs.limits import Budget, MediaLimits

__all__ = ["Decoders"]

_WORKER = "trml_rt.inputs.apart.worker"
_REASONS = {reason: reason for reason in ("too_short", "undecodable")}
_GRACE = 0.5  # seconds in which a child that still can says itself that its time is over
_ERRORS: dict[str, type[TrmlError]] = {
    kind.__name__: kind for kind in (EnvironmentUnfit, UsageError)
}


class Decoders:
    """Children that read clips, as many as there are calls at once.

    May be used from several threads.

    Args:
        preprocessing: what is made of each frame, in the child.
        count: of frames, at most.
        threads: that decode a clip at once.
        limits: of each clip.
    """

    def __init__(
        self, preprocessing: Preprocessing, count: int, threads: int, limits: MediaLimits
    ) -> None:
        self._shape = (preprocessing.height, preprocessing.width, 3)
        self._count = count
        self._limits = limits
        self._settings = {
            "preprocessing": asdict(preprocessing),
            "count": count,
            "threads": threads,
            "limits": asdict(limits),
        }
        self._idle: deque[Child] = deque()
        self._lock = threading.Lock()

    def read_frames(
        self, path: str | os.PathLike[str], *, picture: bool = False
    ) -> Clip[NDArray[np.uint8]]:
        """Return what `trml_rt.inputs.video.read_frames` gives, shaped.

        Args:
            path: the file or folder.
            picture: it must be a picture, of which the first frame is taken.

        Raises:
            InputUnusable: as there; or it costs more than the limits, or the decoder crashed.
            EnvironmentUnfit: as there, or a child cannot be started.
        """
        name = os.fspath(path)
        folder = _folder(name)
        child = self._take()
        try:
            child.tell({"path": name, "folder": folder, "picture": picture})
            reply = child.hear(self._limits.seconds + _GRACE)
        except ChildEnded as error:
            child.end()
            raise _crash(name, error) from None
        except BaseException:  # Ctrl-C: what it still says would answer the next call
            child.end()
            raise
        if reply is None:
            child.end()
            raise Budget(name, self._limits).too_slow()
        try:
            clip = self._clip(reply, child)
        except (AttributeError, KeyError, TypeError, ValueError):
            child.end()
            raise _crash(name, ChildEnded(0, "it sent what is no message")) from None
        self._give(child)
        if isinstance(clip, TrmlError):
            raise clip
        return clip

    def read_picture(self, path: Path) -> Image.Image:
        """Return what `trml_rt.inputs.picture.read_frame_picture` gives, shaped."""
        [pixels] = self.read_frames(path, picture=True).frames
        return Image.fromarray(pixels)

    def close(self) -> None:
        """End every child that is idle; one that works ends with its call's owner."""
        with self._lock:
            idle, self._idle = self._idle, deque()
        for child in idle:
            child.end()

    def _take(self) -> Child:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.usable:
                    return child
                child.end()
        return Child(_WORKER, self._settings, shared=self._count * math.prod(self._shape))

    def _give(self, child: Child) -> None:
        with self._lock:
            self._idle.append(child)

    def _clip(self, reply: Mapping[str, Any], child: Child) -> Clip[NDArray[np.uint8]] | TrmlError:
        if "error" in reply:
            return _error(**reply["error"])
        count = max(1, min(int(reply["frames"]), self._count))
        return Clip(tuple(child.frames(count, self._shape)), bool(reply["incomplete"]))


def _folder(name: str) -> str:
    """Return what a relative `name` is relative to."""
    try:
        return "/" if Path(name).is_absolute() else str(Path.cwd())
    except OSError as error:  # the working directory is gone
        raise InputUnusable(
            f"{name}: cannot be read ({error.strerror})", reason="undecodable"
        ) from None


def _error(kind: str, message: str, reason: str | None) -> TrmlError:
    if kind == InputUnusable.__name__:
        return InputUnusable(str(message), reason=_REASONS[str(reason)])
    return _ERRORS[kind](str(message))


def _crash(name: str, error: ChildEnded) -> TrmlError:
    if error.killed:
        return EnvironmentUnfit(
            f"the decoder was killed while it read {name}, most likely for want of memory; close "
            "other programs"
        )
    return InputUnusable(
        f"{name}: the decoder crashed on it ({error}); convert it, or leave it out",
        reason="undecodable",
    )
