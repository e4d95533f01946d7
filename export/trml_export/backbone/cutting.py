"""Leave out the tail of a text after its last real token, where that changes nothing.

Behind a causal mask, or a mask of the padding, the tail does not reach the text's vector. A text of
16 tokens then costs a fifth of a full sequence of 77. Some towers see their padding, so cutting is
tried on the tower itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trml_export.backbone.backbone import Encoders
from trml_export.backbone.graph_backbone import GraphBackbone

__all__ = ["TEXTS", "cut", "cutting_is_exact"]

TEXTS = [
    "What a day!",
    "I am not sure that this was worth the money, but the staff were kind to us.",
    "no.",
    "The film is two hours of people being unkind to each other in the rain; I would not go again.",
]
_TOLERANCE = 1e-5


def cutting_is_exact(backbone: Encoders) -> bool:
    """Say whether texts of several lengths, alone or padded to a neighbour, may be cut.

    The reference is open_clip's own forward on full sequences.
    """
    if isinstance(backbone, GraphBackbone):
        return backbone.record.text.cut  # tried when its bundle was made
    ids, run = backbone.tokenize(TEXTS), backbone.placement.in_fp32.run
    full = run(backbone.encode_full_text, ids)
    try:
        together = run(backbone.encode_text, cut(backbone, ids))
        alone = [run(backbone.encode_text, cut(backbone, row[None])) for row in ids]
    except (RuntimeError, IndexError):
        return False  # the tower takes full sequences only
    worst = max(float((vectors - full).abs().max()) for vectors in (together, torch.cat(alone)))
    return worst <= _TOLERANCE * float(full.abs().max())


def cut(backbone: Encoders, ids: Tensor) -> Tensor:
    """Return `ids` (batch, context) without the columns that are padding in every row."""
    padding = backbone.tokenize([""])[0, -1]  # an empty text ends in padding
    # CLIP pads with the id of "!", so a pad may also stand inside a text.
    real = (ids != padding) * torch.arange(1, ids.shape[1] + 1)
    return ids[:, : int(real.max())]
