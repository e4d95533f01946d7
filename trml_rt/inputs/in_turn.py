"""Read every frame of a video in turn, with its time: for streams and for long videos."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from trml_rt.errors import blames_machine
from trml_rt.inputs.limits import DEFAULT_LIMITS, Budget, MediaLimits
from trml_rt.inputs.picture import pictures_in_turn, read_frame_picture, some_pictures
from trml_rt.inputs.picture_file import check_file, open_picture

__all__ = ["frames_in_turn"]

_ENDLESS = float(1 << 40)  # seconds


def frames_in_turn(
    path: str | os.PathLike[str], *, threads: int = 1, limits: MediaLimits = DEFAULT_LIMITS
) -> Iterator[tuple[float, Image.Image]]:
    """Yield each frame of a video, an animation or a folder of pictures, with its time in seconds.

    Frames are upright RGB pictures of full size. The first one of a file is at 0. The pictures of
    a folder are a second apart. Frames of a video that cannot be decoded are left out.

    Args:
        path: the file or folder.
        threads: that decode a video at once.
        limits: of what it may cost; its seconds do not count, for the caller decides how long it
            takes.

    Raises:
        InputUnusable: it is absent, not a video or picture, or has no frame.
        EnvironmentUnfit: the machine lacks memory, threads or open files to read it.
    """
    path = Path(path)
    budget = Budget(path, replace(limits, seconds=_ENDLESS))
    with blames_machine(path):
        if path.is_dir():
            for number, name in enumerate(some_pictures(path)):
                [picture] = read_frame_picture(name, lambda picture: picture, limits).frames
                yield float(number), picture
            return
        check_file(path, budget)
        opened = open_picture(path, budget)
        if opened is not None:
            with opened:
                yield from pictures_in_turn(opened, path, budget)
            return

        from trml_rt.inputs.video_file import read_in_turn

        yield from read_in_turn(path, threads, budget)
