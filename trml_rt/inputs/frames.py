"""Frames that the caller already has: arrays of any library, pictures, iterables of both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trml_rt.backends.shaping import DeviceFrame
from trml_rt.errors import InputUnusable, UsageError, blames_machine
from trml_rt.inputs.clip import Clip, choose_indices
from trml_rt.inputs.device_frames import DeviceArray, device_array
from trml_rt.inputs.limits import DEFAULT_LIMITS
from trml_rt.inputs.picture import read_frame_picture, to_rgb

__all__ = ["ORDERS", "Order", "frames_from_array"]

Order = Literal["rgb", "bgr"]

ORDERS: tuple[Order, ...] = ("rgb", "bgr")
"""In which order an array has its colours; OpenCV gives "bgr". A fourth channel is no colour."""

_KEPT = 16  # times as many frames of an iterator are kept as are wanted


def _read_here(path: Path) -> Image.Image:
    [picture] = read_frame_picture(path, lambda picture: picture, DEFAULT_LIMITS).frames
    return picture


def _refuse(frame: DeviceFrame) -> Image.Image:
    raise UsageError(
        f"video: {type(frame.owner).__name__} lies on a GPU, which is read in calls of infer on "
        "TensorRT alone; copy it to the CPU"
    )


def frames_from_array(
    frames: Any,
    count: int | None = None,
    *,
    order: Order = "rgb",
    read: Callable[[Path], Image.Image] = _read_here,
    read_device: Callable[[DeviceFrame], Image.Image] = _refuse,
) -> Clip[Image.Image]:
    """Return a clip of frames that the caller already has.

    Args:
        frames: uint8, (frames, height, width, channels), or (height, width, channels) or
            (height, width) for one frame; or an iterable of such frames, Pillow pictures, and
            paths of pictures.
            Channels are 1 (grey), 3, or 4, of which the last is dropped. An array is what has
            `__array__` or `__dlpack__`, or `__cuda_array_interface__`. Pixels are copied.
        count: take at most so many, by `choose_indices`; None takes all. Of an iterator whose
            length is not known, at most 16 times as many are held at once. Beyond that every
            second is let go, and the nearest one before each chosen place is taken.
        order: the order of the colours in arrays.
        read: gives the picture at a path.
        read_device: gives the picture of a frame on a GPU; the default refuses them.

    Raises:
        InputUnusable: there is no frame in it, or a picture cannot be decoded.
        EnvironmentUnfit: the machine lacks memory, threads or open files to read it.
        UsageError: another shape or type, or `count` is below 1.
    """
    if count is not None and count < 1:
        raise UsageError(f"count: {count} frames cannot be taken; ask for at least 1")
    if not isinstance(order, str) or order not in ORDERS:
        raise UsageError(f"no order {order!r}; choose rgb or bgr")
    if isinstance(frames, Image.Image):
        chosen: Sequence[Any] = [frames]
    elif (array := _as_array(frames)) is not None:
        if array.ndim not in (2, 3, 4):
            raise UsageError(_wrong(array))
        chosen = _choose(array, count) if array.ndim == 4 else [array]
    elif isinstance(frames, Sequence) and not isinstance(frames, str | bytes):
        chosen = _choose(frames, count)
    elif isinstance(frames, Iterable) and not isinstance(frames, str | bytes | dict):
        chosen = list(frames) if count is None else _of_iterator(iter(frames), count)
    else:
        raise UsageError(_wrong(frames))
    if not len(chosen):
        raise InputUnusable("video: there is no frame in it; give at least one", reason="too_short")
    with blames_machine("video"):
        to_image = partial(_to_image, order=order, read=read, read_device=read_device)
        return Clip(tuple(map(to_image, chosen)))


def _choose(frames: Sequence[Any] | NDArray[Any] | DeviceArray, count: int | None) -> list[Any]:
    indices = range(len(frames)) if count is None else choose_indices(len(frames), count)
    return [frames[index] for index in indices]


def _of_iterator(frames: Iterator[Any], count: int) -> list[Any]:
    """Choose among frames that come one by one, and hold a bounded number of them."""
    kept: list[Any] = []
    step, total = 1, 0
    for frame in frames:
        if total % step == 0:
            kept.append(frame)
        total += 1
        if len(kept) > _KEPT * count:
            kept, step = list(islice(kept, 0, None, 2)), 2 * step
    return [kept[index // step] for index in choose_indices(total, count)]


def _as_array(value: Any) -> NDArray[Any] | DeviceArray | None:
    """Return what has `__array__` or `__dlpack__` as an array of numpy, or None for anything else.

    What lies on a GPU stays there.

    Raises:
        UsageError: it lies in a memory that neither can read.
    """
    if isinstance(value, np.ndarray | DeviceArray):
        return value
    if (on_gpu := device_array(value)) is not None:
        return on_gpu
    for name, convert in (("__array__", np.asarray), ("__dlpack__", np.from_dlpack)):
        if hasattr(value, name) and not isinstance(value, Image.Image):
            try:
                return np.asarray(convert(value))
            except (TypeError, ValueError, RuntimeError, BufferError) as error:
                raise UsageError(
                    f"video: {type(value).__name__} cannot be read as an array ({error}); "
                    "copy it to the CPU"
                ) from None
    return None


def _to_image(
    frame: Any,
    order: Order,
    read: Callable[[Path], Image.Image],
    read_device: Callable[[DeviceFrame], Image.Image],
) -> Image.Image:
    if isinstance(frame, Image.Image):
        if not (frame.width and frame.height):
            raise UsageError(
                f"video: a picture of {frame.width} x {frame.height} pixels; leave it out"
            )
        return to_rgb(frame)
    if isinstance(frame, str | os.PathLike):
        return read(Path(frame))
    array = _as_array(frame)
    if array is None:
        raise UsageError(_wrong(frame))
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise UsageError(_wrong(array))
    if isinstance(array, DeviceArray):
        return read_device(array.frame(bgr=order == "bgr"))
    if array.dtype != np.uint8:
        raise UsageError(_wrong(array))
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    colours = array[..., :3] if order == "rgb" else array[..., 2::-1]
    return Image.fromarray(np.ascontiguousarray(colours))


def _wrong(frames: Any) -> str:
    """Return what was given, and what can be."""
    shape = getattr(frames, "shape", None)
    dtype = getattr(frames, "dtype", type(frames).__name__)
    what = type(frames).__name__ if shape is None else f"{dtype} {tuple(shape)}"
    return (
        f"video: got {what}; give the path of a clip, its bytes, a picture of Pillow, or frames as "
        "uint8 of shape (frames, height, width, channels) or (height, width, channels)"
    )
