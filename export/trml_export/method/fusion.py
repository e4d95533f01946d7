"""Join the text vector and the video vector, real or virtual, into one prediction."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["AttentionHead", "Head"]


class Head(nn.Module):
    """Predict from both vectors: `y = MLP([z_t ; z_v])`, with mask bits on request.

    The bits (text is real, video is real) add a product to the first layer. That equals
    concatenating them, and leaves a constant in each graph.
    """

    def __init__(self, size: int, width: int, outputs: int, dropout: float, bits: bool) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * size, width)
        self.bits = nn.Linear(2, width, bias=False) if bits else None
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, outputs)

    def forward(self, text: Tensor, video: Tensor, real: tuple[bool, bool]) -> Tensor:
        """Return (batch, outputs) for two (batch, d); `real` says (text, video) were given."""
        hidden = self.hidden(torch.cat([text, video], dim=-1))  # (batch, width)
        if self.bits is not None:
            bits = torch.tensor(real, dtype=hidden.dtype, device=hidden.device)
            hidden = hidden + self.bits(bits)
        return self.out(self.dropout(functional.gelu(hidden)))


class AttentionHead(nn.Module):
    """Predict by one layer of self-attention over the real vectors; a virtual one is masked.

    This is the control that generates nothing (after SimBaMM). Each vector gets a learned mark of
    its modality. `y = MLP(mean(x + attention(x)))` over the vectors that are real.
    """

    def __init__(self, size: int, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.marks = nn.Parameter(torch.randn(2, size) * 0.02)
        self.queries = nn.Linear(size, size)
        self.keys = nn.Linear(size, size)
        self.values = nn.Linear(size, size)
        self.hidden = nn.Linear(size, width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, outputs)

    def forward(self, text: Tensor, video: Tensor, real: tuple[bool, bool]) -> Tensor:
        """Return (batch, outputs) for two (batch, d); `real` says (text, video) were given."""
        given = [
            x + mark
            for x, mark, is_real in zip((text, video), self.marks, real, strict=True)
            if is_real
        ]
        vectors = torch.stack(given, dim=1)  # (batch, one or two, d)
        scores = self.queries(vectors) @ self.keys(vectors).transpose(1, 2)
        weights = torch.softmax(scores / math.sqrt(vectors.shape[-1]), dim=-1)
        pooled = (vectors + weights @ self.values(vectors)).mean(dim=1)  # (batch, d)
        return self.out(self.dropout(functional.gelu(self.hidden(pooled))))
