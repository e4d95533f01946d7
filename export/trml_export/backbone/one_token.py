"""Compute the last block of a transformer for the one token that is read of it.

A tower that ends in its class token, or in the end of its text, drops what its last block makes of
all other tokens. They are attended to, so their keys and values count; their queries, their
projection and their MLP do not. The vectors stay the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["OneToken", "compute_one_token"]


class _OneQuery(nn.Module):
    """Attention of one token of each row to all tokens of the row.

    Args:
        weights: of queries, keys and values, (width, width) each.
        biases: of the three, (width,) each.
        heads: how many there are.
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor], heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value = map(_linear, weights, biases)
        self._heads = heads

    def forward(self, token: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Return (batch, width) from `token` (batch, width) and `tokens` (batch, tokens, width).

        `mask` (batch, tokens) is added to the scores.
        """
        query, keys, values = (
            projected.unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for projected in (self.query(token[:, None]), self.key(tokens), self.value(tokens))
        )  # (batch, heads, tokens, size)
        seen = nn.functional.scaled_dot_product_attention(
            query, keys, values, None if mask is None else mask[:, None, None]
        )
        return seen.flatten(1)


class OneToken(nn.Module):
    """A last block of open_clip's towers that gives one token of each row, (batch, 1, width).

    Args:
        block: the block; its norms and its MLP are taken as they are.
        place: which token is read, 0 or -1, unless `forward` is told.
    """

    def __init__(self, block: nn.Module, place: int = 0) -> None:
        super().__init__()
        attention = block.attn
        weights = attention.in_proj_weight.chunk(3)
        biases = attention.in_proj_bias.chunk(3)
        self.attention = _OneQuery(weights, biases, attention.num_heads)
        self.output = attention.out_proj
        for part in ("ln_1", "ls_1", "ln_2", "mlp", "ls_2"):
            setattr(self, part, getattr(block, part))
        self.place = place

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, place: Tensor | None = None
    ) -> Tensor:
        """Compute the token at `place` (batch,) of each row of `x` (batch, tokens, width).

        `attn_mask` (tokens, tokens) is added to the scores; it takes a `place`.
        """
        token = x[:, self.place] if place is None else x[torch.arange(len(x)), place]
        mask = None if attn_mask is None else attn_mask[place]
        seen = self.attention(self.ln_1(token), self.ln_1(x), mask)
        token = token + self.ls_1(self.output(seen))
        token = token + self.ls_2(self.mlp(self.ln_2(token)))
        return token[:, None]


def compute_one_token(tower: nn.Module) -> str | None:
    """Let the last block of `tower` compute the one token that is read, in place.

    Args:
        tower: of text or of images. A text tower with a causal mask is to be run by
            `Backbone.encode_text` from then on, which knows where its texts end.

    Returns:
        None, or why the tower is left as it is.
    """
    reason = _why_not(tower)
    if reason is None:
        blocks = tower.transformer.resblocks
        blocks[-1] = OneToken(blocks[-1], -1 if tower.pool_type == "last" else 0)
    return reason


def _why_not(tower: nn.Module) -> str | None:
    from open_clip.transformer import ResidualAttentionBlock, TextTransformer, VisionTransformer

    if type(tower) not in (VisionTransformer, TextTransformer):
        return f"the structure of {type(tower).__name__} is not known"
    block = tower.transformer.resblocks[-1]
    if type(block) is not ResidualAttentionBlock:
        return f"the structure of {type(block).__name__} is not known"
    if getattr(tower, "attn_pool", None) is not None:
        return "a pooler attends to them"
    if tower.pool_type in ("avg", "none"):
        return "all of them are read"
    if isinstance(tower, TextTransformer):
        if tower.cls_emb is not None or tower.use_pad_mask:
            return "each row has a mask of its own"
        if tower.attn_mask is None and tower.pool_type in ("argmax", "eos"):
            return "the end of a text is not known to a tower without a causal mask"
    return None


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a layer of its own, so that an exporter need not cut the weights of another."""
    layer = nn.Linear(*reversed(weight.shape))
    layer.weight, layer.bias = (
        nn.Parameter(tensor.detach().clone(), requires_grad=False) for tensor in (weight, bias)
    )
    return layer
