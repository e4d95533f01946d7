"""Lay a tower out for export: fewer nodes, and a last block for one token alone.

A tower that ends in its class token, or in the end of its text, drops what its last block makes of
all other tokens. They are attended to, so their keys and values count; their queries, their
projection and their MLP do not. The vectors stay the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["OneToken", "OneTokenBert", "compute_one_token"]


# Layers of transformers with the same parts in the same order.
_BERTS = ("Bert", "Roberta", "XLMRoberta")


class _Attention(nn.Module):
    """Multi-head attention whose queries may come from fewer tokens than its keys and values.

    PyTorch's own goes through one product for all three, and through axes in another order. That
    takes twice the nodes of a graph, most of which copy.

    Args:
        weights: of queries, keys and values, (width, width) each.
        biases: of the three, (width,) each.
        heads: how many there are.
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor], heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value = map(_linear, weights, biases)
        self._heads = heads
        self._scale = (len(weights[0]) // heads) ** -0.5

    def forward(self, asking: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Return (batch, asking, width).

        Args:
            asking: (batch, asking, width), what queries are made of.
            tokens: (batch, tokens, width), what keys and values are made of.
            mask: is added to the scores (batch, heads, asking, tokens).
        """
        query, key, value = (
            projected.unflatten(-1, (self._heads, -1))
            for projected in (self.query(asking), self.key(tokens), self.value(tokens))
        )  # (batch, tokens, heads, size)
        scores = (query.transpose(1, 2) * self._scale) @ key.permute(0, 2, 3, 1)
        if mask is not None:
            scores = scores + mask
        return (scores.softmax(-1) @ value.transpose(1, 2)).transpose(1, 2).flatten(2)


class PlainBlock(nn.Module):
    """A block of open_clip's towers, in fewer nodes of a graph.

    Args:
        block: the block; its norms and its MLP are taken as they are.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        attention = block.attn
        weights = attention.in_proj_weight.chunk(3)
        biases = attention.in_proj_bias.chunk(3)
        self.attention = _Attention(weights, biases, attention.num_heads)
        self.output = attention.out_proj
        for part in ("ln_1", "ls_1", "ln_2", "mlp", "ls_2"):
            setattr(self, part, getattr(block, part))

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Compute `x` (batch, tokens, width); `attn_mask` (tokens, tokens) is added to scores."""
        normed = self.ln_1(x)
        return self._finish(x, self.attention(normed, normed, attn_mask))

    def get_weight_dtype(self) -> torch.dtype:
        """Return what open_clip asks a tower's first block for: the type of its weights."""
        return self.output.weight.dtype

    def _finish(self, x: Tensor, seen: Tensor) -> Tensor:
        x = x + self.ls_1(self.output(seen))
        return x + self.ls_2(self.mlp(self.ln_2(x)))


class OneToken(PlainBlock):
    """A last block that gives one token of each row, (batch, 1, width).

    Args:
        block: the block that it takes the place of.
        place: which token is read, 0 or -1, unless `forward` is told.
    """

    def __init__(self, block: nn.Module, place: int = 0) -> None:
        super().__init__(block)
        self._place = place

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, place: Tensor | None = None
    ) -> Tensor:
        """Compute the token at `place` (batch,) of each row of `x` (batch, tokens, width).

        `attn_mask` (tokens, tokens) is added to the scores; it takes a `place`.
        """
        token = x[:, self._place] if place is None else x[torch.arange(len(x)), place]
        token = token[:, None]
        mask = None if attn_mask is None else attn_mask[place][:, None, None]
        return self._finish(token, self.attention(self.ln_1(token), self.ln_1(x), mask))


class OneTokenBert(nn.Module):
    """A last layer of a BERT that gives its class token, (batch, 1, width).

    Args:
        layer: the layer that it takes the place of.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        attention = layer.attention.self
        parts = (attention.query, attention.key, attention.value)
        weights, biases = [part.weight for part in parts], [part.bias for part in parts]
        self.attention = _Attention(weights, biases, attention.num_attention_heads)
        self.attended = layer.attention.output
        self.intermediate, self.output = layer.intermediate, layer.output

    def forward(
        self, x: Tensor, attention_mask: Tensor | None = None, *_: object, **__: object
    ) -> Tensor:
        """Compute the first token of `x` (batch, tokens, width).

        Args:
            x: the tokens.
            attention_mask: (batch, 1, tokens, tokens) that says what is attended to, or is added.
        """
        token, mask = x[:, :1], attention_mask
        if mask is not None:
            mask = mask[:, :, :1]
            if mask.dtype == torch.bool:
                mask = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
        seen = self.attended(self.attention(token, x, mask), token)
        return self.output(self.intermediate(seen), seen)


def compute_one_token(tower: nn.Module) -> str | None:
    """Let the last block of `tower` compute the one token that is read.

    The other blocks of open_clip's own towers are made plain.

    Args:
        tower: of text or of images, changed in place. A text tower of open_clip's own with a
            causal mask is to be run by `Backbone.encode_text` from then on, which knows where its
            texts end.

    Returns:
        None, or why the tower is left as it is.
    """
    reason = _why_not(tower)
    if reason is None and hasattr(tower, "pooler"):
        layers = tower.transformer.encoder.layer
        layers[-1] = OneTokenBert(layers[-1])
    elif reason is None:
        *blocks, last = tower.transformer.resblocks
        last = OneToken(last, -1 if tower.pool_type == "last" else 0)
        tower.transformer.resblocks = nn.ModuleList([*map(PlainBlock, blocks), last])
    return reason


def _why_not(tower: nn.Module) -> str | None:
    from open_clip.hf_model import HFTextEncoder
    from open_clip.transformer import ResidualAttentionBlock, TextTransformer, VisionTransformer

    if type(tower) is HFTextEncoder:
        return _why_not_bert(tower)
    if type(tower) not in (VisionTransformer, TextTransformer):
        return f"the structure of {type(tower).__name__} is not known"
    for block in tower.transformer.resblocks:
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


def _why_not_bert(tower: nn.Module) -> str | None:
    """Say why a text tower of transformers is left as it is, or None."""
    from open_clip.hf_model import ClsLastHiddenStatePooler, ClsPooler

    if type(tower.pooler) not in (ClsPooler, ClsLastHiddenStatePooler):
        return "all of them are read"
    encoder = getattr(tower.transformer, "encoder", None)
    kind = type(tower.transformer).__name__.removesuffix("Model")
    last = encoder.layer[-1] if kind in _BERTS and hasattr(encoder, "layer") else None
    if (
        last is None
        or type(last).__name__ != f"{kind}Layer"
        or type(last.attention.self).__name__ != f"{kind}SelfAttention"
        or hasattr(last.attention.self, "distance_embedding")
    ):
        return f"the structure of {type(tower.transformer).__name__} is not known"
    if last.is_decoder:
        return "a causal mask is not known to its last block"
    return None


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a layer of its own, so that an exporter need not cut the weights of another."""
    layer = nn.Linear(*reversed(weight.shape), device="meta")
    layer.weight, layer.bias = (
        nn.Parameter(tensor.detach().clone(), requires_grad=False) for tensor in (weight, bias)
    )
    return layer
