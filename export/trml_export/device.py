"""Find what the frozen encoders and the training compute on: a CPU or a GPU."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

from trml_rt.bundle.arguments import DEVICES, check_one_of
from trml_rt.errors import EnvironmentUnfit

__all__ = ["CPU", "device_name", "find_device", "tensors_on"]

CPU = torch.device("cpu")

_THERE = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}


def find_device(name: str = "auto", number: int = 0) -> torch.device:
    """Return the device that `name` asks for.

    Args:
        name: "cpu", "cuda" (also AMD's GPUs), "mps" (Apple's), or "auto" for the first GPU that
            PyTorch finds, else the CPU.
        number: which GPU of CUDA, counted from 0.

    Raises:
        UsageError: no such name.
        EnvironmentUnfit: PyTorch finds no such device on this machine.
    """
    check_one_of("device", name, DEVICES)
    if name == "auto":
        name = next((kind for kind, there in _THERE.items() if there()), "cpu")
    if name == "cpu":
        return CPU
    if not _THERE[name]():
        raise EnvironmentUnfit(
            f"{name}: PyTorch {torch.__version__} finds no such device; pass --device cpu, or "
            "install a PyTorch that was built for it"
        )
    if name == "mps":
        return torch.device("mps")
    count = torch.cuda.device_count()
    if number >= count:
        raise EnvironmentUnfit(
            f"cuda: there are {count} GPUs, and process {number} found none left; start at most "
            f"{count} processes"
        )
    return torch.device("cuda", number)


def device_name(device: torch.device) -> str:
    """Return the device in words, for logs and records: "cpu", or "cuda, NVIDIA H100"."""
    if device.type != "cuda":
        return device.type
    return f"cuda, {torch.cuda.get_device_name(device)}"


def tensors_on(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which PyTorch makes new tensors on `device`.

    Training and prediction run within it, and name no device themselves. On the CPU it does
    nothing, and costs nothing.
    """
    return contextlib.nullcontext() if device.type == "cpu" else device
