"""What training asks of a clip beside its frames: its length, and a hash of its content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from trml_export.config import Config
from trml_rt.errors import InputUnusable, blames_machine, lacks_resource
from trml_rt.inputs.picture import frame_pictures

__all__ = ["check_length", "digest", "seconds"]


def seconds(path: Path) -> float | None:
    """Return how long a video file says it is; None for what has no length, or tells none.

    The stated length of the video stream counts, or else that of the file.

    Raises:
        EnvironmentUnfit: the machine lacks memory or open files to look at it.
    """
    import av

    if path.is_dir():
        return None
    with blames_machine(path):
        return _seconds(path, av)


def _seconds(path: Path, av: Any) -> float | None:
    try:
        with av.open(str(path)) as container:
            if container.format.name.endswith(("_pipe", "image2")):
                return None  # how FFmpeg calls pictures
            for stream in container.streams.video:
                if stream.duration and stream.time_base:
                    return float(stream.duration * stream.time_base)
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, OSError, ValueError) as error:
        if lacks_resource(error):
            raise
        return None  # whether it can be used at all, `read_frames` says


def check_length(path: Path, length: float | None, config: Config) -> None:
    """Refuse a clip of `length` seconds outside of the limits of `config` by InputUnusable."""
    if length is None:
        return
    shortest, longest = config.shortest_clip, config.longest_clip
    if shortest is not None and length < shortest:
        raise InputUnusable(
            f"{path}: lasts {length:.3g} s, below shortest_clip = {shortest:g} s",
            reason="too_short",
        )
    if longest is not None and length > longest:
        raise InputUnusable(
            f"{path}: lasts {length:.4g} s, above longest_clip = {longest:g} s",
            reason="too_long",
        )


def digest(path: Path) -> bytes:
    """Return a hash of the content of `path`: of the file, or of a folder's pictures and names.

    A picture that cannot be read counts by its name. Whether that matters, `read_frames` says:
    it looks at the chosen pictures only.

    Raises:
        OSError: the file, or the folder itself, cannot be read.
        EnvironmentUnfit: the machine lacks memory or open files to read it.
    """
    with blames_machine(path):
        return _digest(path)


def _digest(path: Path) -> bytes:
    content = hashlib.sha256()
    if path.is_dir():
        for picture in frame_pictures(path):
            content.update(b"\0" + os.fsencode(picture.name) + _picture_digest(picture))
        return content.digest()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            content.update(piece)
    return content.digest()


def _picture_digest(picture: Path) -> bytes:
    try:
        # A pipe may never end, so only what is a file is opened.
        return hashlib.sha256(picture.read_bytes()).digest() if picture.is_file() else b""
    except OSError as error:
        if lacks_resource(error):
            raise
        return b""
