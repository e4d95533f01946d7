"""Stand in for a missing modality: the generator of TRML, and the controls it must beat.

Every generator maps the vector of the present modality to one for the missing modality, both
(batch, d). The controls look at less: a copy transforms nothing, and the others do not look at
the input. A generator that does no better than these is worth nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Constant", "Gate", "Generator", "TrainingMean", "Zero", "make_generator"]

_MOMENTUM = 0.1  # as in BatchNorm: about the last ten batches


class Generator(nn.Module):
    """Infer a virtual vector from the real one: `G(x) = x + W2 gelu(W1 [x ; p])`.

    p is learned; it is the prompt of the direction. `W1 [x ; p]` is computed as the sum of two
    products, so that the product with p becomes a constant of the graph. W2 starts at zero.
    Training therefore starts from a copy of x, a sane guess in CLIP's aligned space.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.prompt = nn.Parameter(torch.randn(size) * 0.02)
        self.from_vector = nn.Linear(size, width)
        self.from_prompt = nn.Linear(size, width, bias=False)
        self.out = nn.Linear(width, size)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, vector: Tensor) -> Tensor:
        """Return the virtual vector (batch, d) for `vector` (batch, d)."""
        hidden = functional.gelu(self.from_vector(vector) + self.from_prompt(self.prompt))
        return vector + self.out(hidden)


class Gate(nn.Module):
    """Blend a virtual vector with a learned constant: `g v + (1 - g) c`, g = sigmoid(w x + b).

    Where a generator infers nothing of use, a constant is the safer vector. g depends on the real
    vector x, and starts at one half.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(size) * 0.02)
        self.share = nn.Linear(size, 1)
        nn.init.zeros_(self.share.weight)
        nn.init.zeros_(self.share.bias)

    def forward(self, virtual: Tensor, real: Tensor) -> Tensor:
        """Return the blend (batch, d) of `virtual` (batch, d), made of `real` (batch, d)."""
        share = torch.sigmoid(self.share(real))  # (batch, 1)
        return share * virtual + (1 - share) * self.constant


class Zero(nn.Module):
    """Give the zero vector."""

    def forward(self, vector: Tensor) -> Tensor:
        """Return zeros (batch, d)."""
        return torch.zeros_like(vector)


class Constant(nn.Module):
    """Give one learned vector, whatever the input."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.randn(size) * 0.02)

    def forward(self, vector: Tensor) -> Tensor:
        """Return the learned vector for each row (batch, d)."""
        return self.vector.expand_as(vector)


class TrainingMean(nn.Module):
    """Give the mean of the missing modality's real vectors in training.

    The temporal encoder learns meanwhile, so this is a running mean (momentum 0.1).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def observe(self, real: Tensor) -> None:
        """Take the real vectors (rows, d) of one batch into the mean."""
        if len(real):
            share = _MOMENTUM if self.seen else 1.0
            self.mean += share * (real.detach().mean(dim=0) - self.mean)
            self.seen.fill_(True)

    def forward(self, vector: Tensor) -> Tensor:
        """Return the mean for each row (batch, d)."""
        return self.mean.expand_as(vector)


def make_generator(kind: str, size: int, width: int) -> nn.Module:
    """Return an untrained generator of the configuration's `kind`.

    Args:
        kind: "mlp", "copy", "zero", "constant" or "mean".
        size: d.
        width: of the hidden layer, for "mlp".
    """
    if kind == "mlp":
        return Generator(size, width)
    return _CONTROLS[kind](size)


_CONTROLS = {
    "copy": nn.Identity,  # takes any argument
    "zero": lambda _: Zero(),
    "constant": Constant,
    "mean": TrainingMean,
}
