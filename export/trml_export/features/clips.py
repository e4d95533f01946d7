"""Read what a data set calls a video: a video file, a picture, or a folder of frame pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path

from trml_export.config import Config
from trml_rt.errors import InputUnusable
from trml_rt.inputs.video import Clip, choose_indices, read_frames

__all__ = ["check_length", "digest", "read_clip", "seconds"]

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def read_clip(path: Path, count: int) -> Clip:
    """Return at most `count` frames of a video, a picture, or a folder of frame pictures.

    A folder's pictures follow each other by name, and are chosen as untimed frames are.

    Raises:
        InputUnusable: nothing can be decoded, or a folder holds no picture.
    """
    if not path.is_dir():
        return read_frames(path, count)
    pictures = _pictures(path)
    if not pictures:
        raise InputUnusable(f"{path}: no picture in this folder", reason="too_short")
    chosen = [read_frames(pictures[i], 1) for i in choose_indices(len(pictures), count)]
    return Clip(tuple(clip.frames[0] for clip in chosen), any(clip.incomplete for clip in chosen))


def seconds(path: Path) -> float | None:
    """Return how long a video file says it is; None for what has no length, or tells none.

    The stated length of the video stream counts, or else that of the file.
    """
    import av

    if path.is_dir():
        return None
    try:
        with av.open(str(path)) as container:
            if container.format.name.endswith(("_pipe", "image2")):
                return None  # how FFmpeg calls pictures
            for stream in container.streams.video:
                if stream.duration and stream.time_base:
                    return float(stream.duration * stream.time_base)
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, OSError, ValueError):
        return None  # whether it can be used at all, `read_clip` says


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

    Raises:
        OSError: it cannot be read.
    """
    found = hashlib.sha256()
    if path.is_dir():
        for picture in _pictures(path):
            found.update(
                b"\0" + picture.name.encode() + hashlib.sha256(picture.read_bytes()).digest()
            )
        return found.digest()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.digest()


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
