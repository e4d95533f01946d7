"""Rename the tensors of transformers' CLIPModel and SiglipModel to those of open_clip.

Both libraries compute the same. transformers keeps queries, keys and values apart where open_clip
has one tensor of all three, and stores some projections transposed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from trml_rt.errors import ArtefactMismatch

__all__ = ["is_of_transformers", "to_open_clip"]

_LAYER = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)")
_QKV = ("q_proj", "k_proj", "v_proj")
# The parts of a block, in open_clip's towers and in those of timm.
_OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
    "qkv.": "attn.in_proj_",
}
_TIMM = {
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "self_attn.out_proj": "attn.proj",
    "qkv.": "attn.qkv.",
}
_TEXT = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
    "head.weight": "text_projection.weight",
    "head.bias": "text_projection.bias",
}
_CLIP_VISION = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm.weight": "ln_pre.weight",  # their spelling
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
}
_SIGLIP_VISION = {
    "embeddings.patch_embedding.weight": "trunk.patch_embed.proj.weight",
    "embeddings.patch_embedding.bias": "trunk.patch_embed.proj.bias",
    "embeddings.position_embedding.weight": "trunk.pos_embed",
    "post_layernorm.weight": "trunk.norm.weight",
    "post_layernorm.bias": "trunk.norm.bias",
    "head.probe": "trunk.attn_pool.latent",
    "head.attention.out_proj.weight": "trunk.attn_pool.proj.weight",
    "head.attention.out_proj.bias": "trunk.attn_pool.proj.bias",
    "head.layernorm.weight": "trunk.attn_pool.norm.weight",
    "head.layernorm.bias": "trunk.attn_pool.norm.bias",
    "head.mlp.fc1.weight": "trunk.attn_pool.mlp.fc1.weight",
    "head.mlp.fc1.bias": "trunk.attn_pool.mlp.fc1.bias",
    "head.mlp.fc2.weight": "trunk.attn_pool.mlp.fc2.weight",
    "head.mlp.fc2.bias": "trunk.attn_pool.mlp.fc2.bias",
}


def is_of_transformers(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether the tensors are those of a two-tower model of transformers."""
    return all(
        any(name.startswith(f"{side}_model.") for name in tensors) for side in ("text", "vision")
    )


def to_open_clip(tensors: Mapping[str, Tensor], model: nn.Module, path: Path) -> dict[str, Tensor]:
    """Return the tensors by the names of `model`, open_clip's CustomTextCLIP.

    Raises:
        ArtefactMismatch: a tensor has no place in open_clip's towers.
    """
    own = model.state_dict()
    siglip = any(name.startswith("visual.trunk.") for name in own)
    renamed: dict[str, Tensor] = {}
    unknown: list[str] = []
    for name, tensor in tensors.items():
        if name.endswith("position_ids") or _is_joined(name):
            continue  # numbers that follow from the size; joined below
        target = _name(name, siglip)
        if target is None:
            unknown.append(name)
        else:
            renamed[target] = tensor
    renamed |= _joined(tensors, siglip)
    if unknown:
        shown = ", ".join(unknown[:3])
        raise ArtefactMismatch(
            f"{path}: has tensors of transformers that open_clip has no place for: {shown}"
        )
    for name, change in _TURNED.items():
        if name in renamed and name in own:
            renamed[name] = change(renamed[name])
    return {
        # A position table has one axis more in timm.
        name: tensor.reshape(own[name].shape)
        if name in own and tensor.numel() == own[name].numel() and tensor.dim() != own[name].dim()
        else tensor
        for name, tensor in renamed.items()
    }


_TURNED: dict[str, Callable[[Tensor], Tensor]] = {
    "visual.proj": lambda tensor: tensor.T.contiguous(),
    "text.text_projection": lambda tensor: tensor.T.contiguous(),
}


def _name(name: str, siglip: bool) -> str | None:
    """Return open_clip's name of a tensor that has one of its own there."""
    if name in ("logit_scale", "logit_bias"):
        return name
    if name == "visual_projection.weight":
        return "visual.proj"
    if name == "text_projection.weight":
        return "text.text_projection"
    if layer := _LAYER.fullmatch(name):
        side, number, rest = layer.groups()
        part, _, kind = rest.rpartition(".")
        parts = _TIMM if siglip and side == "vision" else _OPEN_CLIP
        return f"{_blocks(side, siglip)}{number}.{parts[part]}.{kind}" if part in parts else None
    side, _, rest = name.partition("_model.")
    if side == "text":
        return f"text.{_TEXT[rest]}" if rest in _TEXT else None
    vision = _SIGLIP_VISION if siglip else _CLIP_VISION
    return f"visual.{vision[rest]}" if side == "vision" and rest in vision else None


def _is_joined(name: str) -> bool:
    return any(f".{part}." in name for part in _QKV) or ".in_proj_" in name


def _joined(tensors: Mapping[str, Tensor], siglip: bool) -> dict[str, Tensor]:
    """Return the tensors that hold queries, keys and values as the model keeps them."""
    joined = {}
    for name in tensors:
        layer = _LAYER.fullmatch(name)
        if layer and ".q_proj." in name:
            side, number, rest = layer.groups()
            parts = [tensors[name.replace("q_proj", part)] for part in _QKV]
            end = (_TIMM if siglip and side == "vision" else _OPEN_CLIP)["qkv."]
            kind = rest.rpartition(".")[2]
            joined[f"{_blocks(side, siglip)}{number}.{end}{kind}"] = torch.cat(parts)
    for kind in ("weight", "bias"):
        pooled = tensors.get(f"vision_model.head.attention.in_proj_{kind}")
        if pooled is not None:  # timm asks with one, and keeps the other two together
            query, *rest_of = pooled.chunk(3)
            joined[f"visual.trunk.attn_pool.q.{kind}"] = query
            joined[f"visual.trunk.attn_pool.kv.{kind}"] = torch.cat(rest_of)
    return joined


def _blocks(side: str, siglip: bool) -> str:
    if side == "text":
        return "text.transformer.resblocks."
    return "visual.trunk.blocks." if siglip else "visual.transformer.resblocks."
