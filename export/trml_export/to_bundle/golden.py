"""What PyTorch answers on fixed inputs: the golden files.

The reference goes the way of open_clip itself, full-length ids and its own forward, so that
a graph is compared with something that was not made from the same code. The graphs of another
bundle are their own reference: they were compared when that bundle was made.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from trml_export.backbone.backbone import Encoders
from trml_export.backbone.cutting import TEXTS
from trml_export.backbone.cutting import cut as cut_tail
from trml_export.method.model import TRML

__all__ = ["Tensors", "golden_tensors", "lay_out"]

Tensors = dict[str, NDArray[np.generic]]


@torch.inference_mode()
def golden_tensors(backbone: Encoders, model: TRML, *, cut: bool) -> dict[str, Tensors]:
    """Return inputs and PyTorch's outputs for each engine set, by the format's tensor names.

    The rows differ in their number of tokens and of frames; the last clip is one frame.
    """
    ids = backbone.tokenize(TEXTS)
    text = model.text_state(backbone.encode_full_text(ids))
    if cut:
        ids = cut_tail(backbone, ids)

    n = model.config.frames
    lengths = [n, max(1, n // 2), max(1, n - 1), 1]
    mask = torch.arange(n) < torch.tensor(lengths)[:, None]  # (batch, n)
    picture = backbone.preprocessing
    frames = _frames(sum(lengths), picture.height, picture.width)
    vectors = model.frame_states(backbone.encode_frames(torch.from_numpy(frames)))
    laid_out = torch.from_numpy(lay_out(vectors.numpy(), mask.numpy()))

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


def lay_out(vectors: NDArray[np.generic], mask: NDArray[np.generic]) -> NDArray[np.generic]:
    """Spread (frames, d) to (batch, n, d): the true places of `mask`, row by row, take them."""
    laid_out = np.zeros((*mask.shape, vectors.shape[1]), vectors.dtype)
    laid_out[mask] = vectors
    return laid_out


def _frames(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return coarse random mosaics, (count, height, width, 3) uint8, each frame its own.

    Of the full range, so that an error shows; of large tiles, so that the files compress.
    """
    tiles = np.random.default_rng(0).integers(0, 256, (count, 7, 7, 3), dtype=np.uint8)
    rows, columns = (np.arange(size) * 7 // size for size in (height, width))
    return tiles[:, rows][:, :, columns]
