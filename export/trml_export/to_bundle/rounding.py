"""Make a model whose large weights FP16 holds exactly, and keep them so through the export."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["keep_batch_norms_apart", "round_to_fp16"]

_LARGEST = torch.finfo(torch.float16).max


@torch.no_grad()
def round_to_fp16(module: nn.Module) -> None:
    """Round the weights that `trml_calibration.fp16_stored` stores, matrices and filters, in place.

    A weight with a value beyond FP16's range stays FP32, here and in the file.
    """
    for parameter in module.parameters():
        if parameter.ndim > 1 and parameter.abs().max() <= _LARGEST:
            parameter.copy_(parameter.half().float())


class _Affine(nn.Module):
    """A BatchNorm2d in eval mode: `x * scale + shift` for each channel."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = torch.rsqrt(norm.running_var + norm.eps)
        scale = scale if norm.weight is None else scale * norm.weight
        shift = -norm.running_mean * scale
        shift = shift if norm.bias is None else shift + norm.bias
        self.register_buffer("scale", scale.detach()[:, None, None])
        self.register_buffer("shift", shift.detach()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def keep_batch_norms_apart(module: nn.Module) -> None:
    """Replace every BatchNorm2d below `module` by a multiplication and an addition, in place.

    PyTorch's exporter multiplies a batch norm into the filters before it, which then are no
    longer the rounded ones. Runtimes do the same when they load the graph, in FP32.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            # timm's norms carry a dropout and the activation that follows.
            after = [getattr(child, part) for part in ("drop", "act") if hasattr(child, part)]
            setattr(module, name, nn.Sequential(_Affine(child), *after))
        else:
            keep_batch_norms_apart(child)
