"""Open a frozen CLIP-type model from local files, and never from the network.

A backbone is named in one of three ways. One is the name of a model that open_clip knows, with a
weights file. Another is a bundle, whose graphs are taken as they are: see `graph_backbone`. The
third is a folder in open_clip's own layout:

    open_clip_config.json   {"model_cfg": ..., "preprocess_cfg": ...}
    model.safetensors       weights of both towers (open_clip_model.safetensors works too)
    text/                   for a Hugging Face text tower: its config.json and tokenizer files

`Backbone.save` writes that folder, so a checkpoint carries its backbone along. Weights are
safetensors only: a pickle can run code.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trml_export.backbone.config import (
    BackboneConfig,
    read_backbone_config,
    text_files_unusable,
)
from trml_export.backbone.folding import fold_batch_norms
from trml_export.backbone.graph_backbone import GraphBackbone, open_graphs
from trml_export.backbone.one_token import OneToken
from trml_export.backbone.placing import ON_CPU, Placement, half_type, move
from trml_export.backbone.weights import read_weights
from trml_rt.bundle.atomic import write_bytes
from trml_rt.errors import ArtefactMismatch, UsageError, shell_word
from trml_rt.inputs.image import Preprocessing

__all__ = ["Backbone", "Encoders", "load_backbone", "place"]

_log = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
_WEIGHT_NAMES = (WEIGHTS, "open_clip_model.safetensors")


@dataclass(frozen=True)
class Backbone:
    """Two frozen encoders in eval mode, and all that belongs to them.

    Attributes:
        config: name, towers, preprocessing and the tokenizer's folder.
        model: open_clip's CustomTextCLIP, with the towers `.visual` and `.text`.
        tokenizer: open_clip's; call `tokenize` instead.
        weights: the safetensors file that was read, or None when the weights are random.
        seed: the seed of random weights, or None.
        placement: where and in which type the towers compute; see `place`.
        image_tower: what computes in the place of `model.visual`, if `place` found a faster form.
    """

    config: BackboneConfig
    model: nn.Module
    tokenizer: Any
    weights: Path | None
    seed: int | None
    placement: Placement = ON_CPU
    image_tower: nn.Module | None = None

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.config.name

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes pixels."""
        p = self.config.preprocess
        return Preprocessing(p.height, p.width, p.resize, p.interpolation, p.fill)

    @property
    def size(self) -> int:
        """The size d of the space that both encoders share."""
        return self.config.embed_dim

    @property
    def context_length(self) -> int:
        """The number of tokens that the text tower was made for."""
        return self.config.context_length

    @property
    def causal(self) -> bool:
        """Whether the text tower has a causal mask, so that no token sees a later one."""
        return getattr(self.model.text, "attn_mask", None) is not None

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return int64 ids (batch, context length), cut and padded by open_clip's rules."""
        return self.tokenizer(list(texts), context_length=self.context_length)

    def encode_text(self, ids: Tensor) -> Tensor:
        """Return raw text vectors (batch, d) for `ids` (batch, tokens).

        There may be fewer tokens than the context. Whether the vectors stay the same then
        depends on the tower; `cutting.cutting_is_exact` tries it.
        """
        if not self.causal:
            return self.model.text(ids)
        # open_clip 3 cuts its positions to the sequence but not its mask, so the tower's own
        # forward takes full sequences only. This is that forward with a cut mask.
        text, tokens = self.model.text, ids.shape[1]
        x = text.token_embedding(ids) + text.positional_embedding[:tokens]
        mask, place = text.attn_mask[:tokens, :tokens], _place(text, ids)
        *blocks, last = text.transformer.resblocks
        for block in blocks:
            x = block(x, attn_mask=mask)
        if isinstance(last, OneToken):
            x = last(x, mask, place)[:, 0]
        else:
            x = last(x, attn_mask=mask)[torch.arange(len(x), device=x.device), place]
        x = text.ln_final(x)  # (batch, width)
        projection = text.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection

    def encode_full_text(self, ids: Tensor) -> Tensor:
        """Return raw text vectors (batch, d) for `ids` (batch, context), by open_clip's forward."""
        return self.model.encode_text(ids)

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Return raw image vectors (n, d) for `frames` (n, height, width, 3) uint8."""
        preprocess = self.config.preprocess
        mean, std = (
            torch.tensor(v, device=frames.device) for v in (preprocess.mean, preprocess.std)
        )
        scaled = (frames.float() / 255 - mean) / std
        return self.encode_image(scaled.permute(0, 3, 1, 2))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return raw image vectors (n, d) for normalised `pixels` (n, 3, height, width)."""
        return (self.model.visual if self.image_tower is None else self.image_tower)(pixels)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 over everything that shapes a feature: configuration, files, weights."""
        digest = hashlib.sha256(self.config.identity())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write this backbone as a folder that `load_backbone` opens without any argument.

        A weights file is hard-linked if the disk allows it, and copied if not. Random weights
        are written out.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.config.save(folder)
        target = folder / WEIGHTS
        if self.weights is None:
            from safetensors.torch import save

            # safetensors refuses tensors that share memory, so each is a copy, in plain order.
            tensors = {
                name: value.cpu().clone(memory_format=torch.contiguous_format)
                for name, value in self.model.state_dict().items()
            }
            write_bytes(target, save(tensors))
            return
        try:
            os.link(self.weights.resolve(), target)
        except OSError:  # another disk, or one without links
            shutil.copyfile(self.weights, target)


Encoders = Backbone | GraphBackbone
"""What a model is trained over."""


def load_backbone(
    source: str | Path, *, weights: Path | None = None, seed: int | None = None
) -> Encoders:
    """Open the backbone `source`: a folder, a bundle, or the name of a model of open_clip.

    Args:
        source: a folder as above, a name such as "ViT-B-32-quickgelu", "bundle:FOLDER", or
            "default" for the bundle that ships inside the package.
        weights: a safetensors file; None takes the one in the folder.
        seed: make random weights from this seed and read none, for tests and for timing.

    Raises:
        UsageError: no such model, no weights, weights that are not safetensors, or a name
            whose files lie on the network.
        ArtefactMismatch: weights that do not fit the configuration.
    """
    if weights is not None and seed is not None:
        raise UsageError("give weights or a seed for random ones, not both")
    if graphs := open_graphs(source):
        if weights is not None or seed is not None:
            raise UsageError(f"{source}: a bundle has its own weights; leave --weights out")
        return graphs
    config = read_backbone_config(source)
    if seed is None:
        weights = _find_weights(config, weights)
    model = _build(config, seed=0 if seed is None else seed)
    if weights is not None:
        read_weights(model, weights)
    model.requires_grad_(False).eval()
    return Backbone(config, model, config.tokenizer(), weights, seed)


def place(encoders: Encoders, device: torch.device, *, mixed: bool = False) -> Encoders:
    """Return `encoders` ready to compute many vectors; use those that were given no more.

    Args:
        encoders: from `load_backbone`. The graphs of a bundle stay on the CPU.
        device: where to compute.
        mixed: in half precision, where PyTorch's autocast allows it.

    Raises:
        UsageError: `mixed` for the graphs of a bundle.
    """
    if isinstance(encoders, GraphBackbone):
        if mixed:
            raise UsageError(
                f"{encoders.name}: the graphs of a bundle have a type of their own; leave --mixed "
                "out"
            )
        if device.type != "cpu":
            _log.info("encoding runs on the CPU, as the graphs of a bundle do")
        return encoders
    preprocessing = encoders.preprocessing
    shape = (2, 3, preprocessing.height, preprocessing.width)
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    tower = fold_batch_norms(encoders.model.visual, pixels)
    for module in (encoders.model, tower):
        if module is not None:
            move(module, device)
    placement = Placement(device, half_type(device) if mixed else None)
    return replace(encoders, placement=placement, image_tower=tower)


def _place(text: nn.Module, ids: Tensor) -> Tensor:
    """Return which token of each row the tower reads, (batch,)."""
    if text.pool_type == "argmax":  # end-of-text has the highest id
        return ids.argmax(dim=-1)
    if text.pool_type == "eos":
        return (ids == text.eos_id).int().argmax(dim=-1)
    return ids.new_full((len(ids),), 0 if text.pool_type == "first" else ids.shape[1] - 1)


def _find_weights(config: BackboneConfig, path: Path | None) -> Path:
    if path is None:
        folders = [] if config.folder is None else [config.folder]
        places = [folder / name for folder in folders for name in _WEIGHT_NAMES]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise UsageError(
                f"{config.name}: no weights; pass --weights FILE.safetensors, or put them "
                f"into the folder of the model as {WEIGHTS}"
            )
    if path.suffix != ".safetensors":
        raise UsageError(
            f"{path}: weights must be a .safetensors file; make one: trml-rt convert weights "
            f"{shell_word(path)} --out {shell_word(path.with_suffix('.safetensors'))}"
        )
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    return path


def _build(config: BackboneConfig, *, seed: int) -> nn.Module:
    from open_clip.model import CustomTextCLIP

    # The caller's random state stays as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # This class keeps the text tower in `.text`; with open_clip's CLIP it lies elsewhere.
        try:
            return CustomTextCLIP(**config.towers())
        except TypeError as problem:  # a key that open_clip does not know
            raise ArtefactMismatch(f"{config.name}: model_cfg: {problem}") from None
        except (OSError, ValueError) as problem:  # a text tower that transformers does not open
            raise text_files_unusable(config, problem) from None
