"""Fold batch norms into the convolutions before them: one pass less over each of their tensors.

A frozen batch norm multiplies each channel and adds to it, which the convolution can do itself.
Which convolution feeds which norm is seen in a forward, so that no structure need be known.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

__all__ = ["fold_batch_norms"]

_LIMIT = 1e-5  # of the length of a vector; rounding is some 1e-6


@torch.inference_mode()
def fold_batch_norms(tower: nn.Module, pixels: Tensor) -> nn.Module | None:
    """Return a copy of an image tower without the batch norms that follow a convolution.

    Args:
        tower: in eval mode; it stays as it is.
        pixels: (n, 3, height, width) to try it on.

    Returns:
        None where there is no such norm, or where the copy gives other vectors: then something
        else reads what a convolution gives, too.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in tower.modules()):
        return None
    expected = tower(pixels)
    folded = copy.deepcopy(tower)
    pairs = _pairs(folded, pixels)
    for convolution, norm in pairs:
        _fold(convolution, norm)
    _replace(folded, {norm: getattr(norm, "act", nn.Identity()) for _, norm in pairs})
    apart = (folded(pixels) - expected).norm(dim=-1) / expected.norm(dim=-1)
    return folded if pairs and float(apart.max()) <= _LIMIT else None


def _pairs(tower: nn.Module, pixels: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return each convolution whose output a batch norm takes, and that norm."""
    given: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs = []

    def after(module: nn.Module, _: object, output: Tensor) -> None:
        given[id(output)] = (module, output)  # kept, so that no later tensor gets its number

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in given:
            pairs.append((given[id(inputs[0])][0], module))

    hooks = [
        module.register_forward_hook(after)
        if isinstance(module, nn.Conv2d)
        else module.register_forward_pre_hook(before)
        for module in tower.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    tower(pixels)
    for hook in hooks:
        hook.remove()
    # A module that is called twice has no pair of its own.
    modules = [module for pair in pairs for module in pair]
    return [pair for pair in pairs if all(modules.count(module) == 1 for module in pair)]


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    scale = 1 / torch.sqrt(norm.running_var + norm.eps)
    shift = -norm.running_mean * scale
    if norm.affine:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    weight = convolution.weight * scale[:, None, None, None]
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    convolution.bias = nn.Parameter(shift, requires_grad=False)


def _replace(tower: nn.Module, by: dict[nn.Module, nn.Module]) -> None:
    for parent in list(tower.modules()):
        for name, child in parent.named_children():
            if child in by:
                setattr(parent, name, by[child])
