"""Where frozen encoders compute, and in which type: on the CPU or a GPU, in FP32 or half precision.

In half precision PyTorch's autocast chooses the type of each operation. Weights stay FP32, and so
does what is stored. `trml_export.features.encoding` holds such vectors against FP32's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trml_export.device import CPU

__all__ = ["ON_CPU", "Placement", "half_type", "move"]


@dataclass(frozen=True)
class Placement:
    """A device, and the type of half precision; None computes in FP32."""

    device: torch.device = CPU
    half: torch.dtype | None = None

    def run(self, call: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Return `call(inputs)` as float32 on the CPU, without gradients."""
        with torch.inference_mode(), self._computing():
            return call(inputs.to(self.device)).float().cpu()

    @property
    def type_name(self) -> str:
        """The type in words: "float32", "bfloat16" or "float16"."""
        return str(self.half or torch.float32).removeprefix("torch.")

    @property
    def in_fp32(self) -> Placement:
        """The same device, in FP32."""
        return Placement(self.device)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self.device.type == "cuda":
                # By default PyTorch computes convolutions of FP32 in TF32, which rounds to 10 bits.
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
            if self.half is not None:
                stack.enter_context(torch.autocast(self.device.type, self.half))
            yield


ON_CPU = Placement()


def half_type(device: torch.device) -> torch.dtype:
    """Return the type of half precision for `device`: bfloat16 where it has that, else float16."""
    if device.type == "mps" or (device.type == "cuda" and not torch.cuda.is_bf16_supported()):
        return torch.float16
    return torch.bfloat16


def move(model: nn.Module, device: torch.device) -> None:
    """Move a CLIP-type `model` to `device`, in place, its convolutions with channels last.

    Frames come with channels last. A convolution in that layout is faster, and no value changes.
    """
    model.to(device)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
