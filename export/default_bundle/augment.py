"""Make camera-like frames out of tight grey pictures, a whole batch at a time.

A face may fill 25 to 100 % of the frame, stand off-centre, or be cut by the border as a centre crop
of a wide frame does. The background is plain, graded, noisy or busy.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg


def _uniform(generator: torch.Generator, shape, low: float, high: float) -> torch.Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def backgrounds(pictures: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Return (n, 1, size, size) backgrounds in 0..1: a graded grey mixed with blown-up texture."""
    n = len(pictures)
    ramp = torch.linspace(-0.5, 0.5, size)
    level = _uniform(generator, (n, 1, 1, 1), 0.0, 1.0)
    slope = _uniform(generator, (n, 2, 1, 1), -0.4, 0.4)
    plain = level + slope[:, :1] * ramp[:, None] + slope[:, 1:] * ramp
    # A strongly enlarged corner of another picture is texture without a face in it.
    corner = pictures.roll(1, 0)[:, :, :20, :28]
    texture = functional.interpolate(
        corner, size=(size, size), mode="bilinear", align_corners=False
    )
    share = _uniform(generator, (n, 1, 1, 1), -0.5, 1.0).clamp(min=0)
    noise = torch.randn((n, 1, size, size), generator=generator) * 0.05
    return (plain * (1 - share) + texture * share + noise * share).clamp(0, 1)


def frames(pictures: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Turn (n, 1, h, w) pictures in 0..1 into (n, 1, size, size) augmented frames in 0..1."""
    n = len(pictures)
    full = torch.rand(n, generator=generator) < 0.35  # the plain tight picture stays common
    scale = torch.exp(_uniform(generator, n, math.log(0.35), math.log(1.25)))
    scale = torch.where(full, _uniform(generator, n, 0.95, 1.15), scale)
    angle = _uniform(generator, n, -0.3, 0.3)
    flip = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    # Small faces may wander, and up to a quarter of the picture may leave the frame.
    reach = (1 - scale).clamp(min=0) + 0.35 * scale
    reach = torch.where(full, torch.full_like(reach, 0.08), reach)
    shift = _uniform(generator, (n, 2), -1.0, 1.0) * reach[:, None]
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cos * flip, -sin * flip
    theta[:, 1, 0], theta[:, 1, 1] = sin, cos
    theta[:, :, 2] = -torch.einsum("nij,nj->ni", theta[:, :, :2], shift)
    grid = functional.affine_grid(theta, [n, 1, size, size], align_corners=False)
    half = functional.interpolate(
        functional.avg_pool2d(pictures, 2), pictures.shape[-2:], mode="bilinear"
    )
    source = torch.where((scale < 0.6)[:, None, None, None], half, pictures)  # no aliasing
    placed = functional.grid_sample(source, grid, padding_mode="border", align_corners=False)
    # The picture's own border goes on outside it for half of the rows, else a background.
    distance = (1.02 - grid.abs().amax(-1, keepdim=True).permute(0, 3, 1, 2)) * 12
    inside = distance.clamp(0, 1)
    keep = (torch.rand(n, generator=generator) < 0.2)[:, None, None, None]
    inside = torch.where(keep, torch.ones_like(inside), inside)
    out = placed * inside + backgrounds(pictures, size, generator) * (1 - inside)
    return _camera(out, generator)


def _camera(out: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Vary exposure, contrast, sharpness, noise and JPEG quality."""
    n, size = len(out), out.shape[-1]
    gain = torch.exp(_uniform(generator, (n, 1, 1, 1), -0.5, 0.4))
    gamma = torch.exp(_uniform(generator, (n, 1, 1, 1), -0.3, 0.3))
    out = (out.clamp(1e-3, 1) ** gamma * gain).clamp(0, 1)
    blurred = functional.interpolate(
        functional.interpolate(out, scale_factor=0.5, mode="bilinear", antialias=True),
        size=(size, size),
        mode="bilinear",
    )
    share = _uniform(generator, (n, 1, 1, 1), -1.0, 1.0).clamp(min=0)
    out = out * (1 - share) + blurred * share
    out = (out + torch.randn(out.shape, generator=generator) * 0.015).clamp(0, 1)
    for i in torch.nonzero(torch.rand(n, generator=generator) < 0.25).flatten().tolist():
        quality = int(torch.randint(25, 80, (1,), generator=generator))
        raw = encode_jpeg((out[i] * 255).to(torch.uint8), quality)
        out[i] = decode_jpeg(raw, mode=ImageReadMode.GRAY).float() / 255
    return out
