"""The child that reads clips: python -m trml_rt.inputs.apart.worker, started by `clips`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trml_rt.backends.process import available_memory
from trml_rt.errors import EnvironmentUnfit, InputUnusable, TrmlError, blames_machine
from trml_rt.inputs.apart.within import Channel, bound_memory, settle
from trml_rt.inputs.clip import Clip
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.limits import MediaLimits
from trml_rt.inputs.picture import read_frame_picture
from trml_rt.inputs.video import read_frames

__all__ = ["serve"]


def serve(channel: Channel, settings: dict[str, Any]) -> None:
    """Answer every request with how many frames lie in the shared memory, or with an error."""
    import trml_rt.inputs.video_file  # noqa: F401 - loaded before memory is counted

    shape = partial(to_pixels, preprocessing=Preprocessing(**settings["preprocessing"]))
    limits = MediaLimits(**settings["limits"])
    bound_memory(limits.memory)
    channel.say({"ready": True})
    for request in channel:
        os.chdir(request["folder"])  # so that errors name the path as it was typed
        path = request["path"]
        try:
            if request["picture"]:
                with blames_machine(path):
                    clip = read_frame_picture(Path(path), shape, limits)
            else:
                count, threads = settings["count"], settings["threads"]
                clip = read_frames(path, count, shape, threads=threads, limits=limits)
        except TrmlError as error:
            channel.say({"error": _described(_blamed(error, limits, path))})
            continue
        channel.say(_put(clip, channel.memory))


def _put(clip: Clip[NDArray[np.uint8]], memory: NDArray[np.uint8]) -> dict[str, Any]:
    frames = np.stack(clip.frames)
    memory[: frames.size] = frames.reshape(-1)
    return {"frames": len(frames), "incomplete": clip.incomplete}


def _blamed(error: TrmlError, limits: MediaLimits, path: str) -> TrmlError:
    """Tell memory that the machine lacks from memory that this process may not have."""
    free = available_memory()
    if not isinstance(error, EnvironmentUnfit) or free is None or free < limits.memory:
        return error
    return InputUnusable(
        f"{path}: takes more than {limits.memory_mib} MiB to decode; scale it down, or allow more "
        "memory",
        reason="undecodable",
    )


def _described(error: TrmlError) -> dict[str, Any]:
    reason = getattr(error, "reason", None)
    return {"kind": type(error).__name__, "message": str(error), "reason": reason}


if __name__ == "__main__":
    try:
        serve(*settle())
    except KeyboardInterrupt:
        os._exit(130)
