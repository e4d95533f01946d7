"""What PyTorch answers on fixed inputs: the golden files, and the test of cutting texts.

The reference goes the way of open_clip itself, full-length ids and its own forward, so that
a graph is compared with something that was not made from the same code.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from trml_export.backbone import Backbone
from trml_export.model import TRML

__all__ = ["Tensors", "cutting_is_exact", "golden_tensors"]

Tensors = dict[str, NDArray[np.generic]]

TEXTS = [
    "What a day!",
    "I am not sure that this was worth the money, but the staff were kind to us.",
    "no.",
    "The film is two hours of people being unkind to each other in the rain; I would not go again.",
]
_CUT_TOLERANCE = 1e-5


@torch.inference_mode()
def cutting_is_exact(backbone: Backbone) -> bool:
    """Say whether leaving out a text's tail after its last real token changes nothing.

    True where no tail reaches the feature: behind a causal mask, or a mask of the padding.
    Tried on texts of several lengths, alone and padded to a longer neighbour.
    """
    ids = backbone.tokenize(TEXTS)
    full = backbone.model.encode_text(ids)
    lengths = _lengths(backbone, ids)
    longest = max(lengths)
    try:
        together = backbone.encode_text(ids[:, :longest])
        alone = [
            backbone.encode_text(row[None, :length])
            for row, length in zip(ids, lengths, strict=True)
        ]
    except (RuntimeError, IndexError):
        return False  # the tower takes full sequences only
    worst = max(float((cut - full).abs().max()) for cut in (together, torch.cat(alone)))
    return worst <= _CUT_TOLERANCE * float(full.abs().max())


@torch.inference_mode()
def golden_tensors(backbone: Backbone, model: TRML, *, cut: bool) -> dict[str, Tensors]:
    """Return inputs and PyTorch's outputs for each engine set, by the format's tensor names.

    The rows differ in their number of tokens and of frames; the last clip is one frame.
    """
    ids = backbone.tokenize(TEXTS)
    text = model.text_state(backbone.model.encode_text(ids))
    if cut:
        ids = ids[:, : max(_lengths(backbone, ids))]

    n = model.config.frames
    lengths = [n, max(1, n // 2), max(1, n - 1), 1]
    mask = torch.arange(n) < torch.tensor(lengths)[:, None]  # (batch, n)
    picture = backbone.config.preprocess
    frames = _frames(sum(lengths), picture.height, picture.width)
    mean, std = (torch.tensor(v)[:, None, None] for v in (picture.mean, picture.std))
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    vectors = model.frame_states(backbone.model.encode_image((pixels - mean) / std))
    laid_out = torch.zeros(len(lengths), n, vectors.shape[1])
    laid_out[mask] = vectors

    from_text, virtual_video = model.fuse_text(text)
    from_video, virtual_text = model.fuse_video(laid_out, mask)
    from_both = model.fuse_text_video(text, laid_out, mask)
    words = {"ids": ids.to(torch.int32), "text_vector": text}
    clips = {"frames": torch.from_numpy(frames), "frame_mask": mask, "frame_vectors": vectors}
    sets = {
        "text": words | {"prediction": from_text, "virtual_video": virtual_video},
        "video": clips | {"prediction": from_video, "virtual_text": virtual_text},
        "text_video": words | clips | {"prediction": from_both},
    }
    return {
        name: {key: value.numpy() for key, value in tensors.items()}
        for name, tensors in sets.items()
    }


def _lengths(backbone: Backbone, ids: torch.Tensor) -> list[int]:
    """Return the number of tokens up to the last that is not padding, for each row."""
    padding = backbone.tokenize([""])[0, -1]  # no text fills the context: the last id is a pad
    real = (ids != padding) * torch.arange(1, ids.shape[1] + 1)
    return [int(length) for length in real.max(dim=1).values]


def _frames(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return coarse random mosaics, (count, height, width, 3) uint8, each frame its own.

    Of the full range, so that an error shows; of large tiles, so that the files compress.
    """
    tiles = np.random.default_rng(0).integers(0, 256, (count, 7, 7, 3), dtype=np.uint8)
    rows, columns = (np.arange(size) * 7 // size for size in (height, width))
    return tiles[:, rows][:, :, columns]
