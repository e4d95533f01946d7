"""The predictions of a model in each of the three presence cases, whatever runs it.

A row's prediction does not depend on its neighbours. So these predictions serve every missing
rate: a rate only picks one of the three for each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from trml_export.evaluation.masks import BOTH, TEXT, VIDEO
from trml_export.features.features import Features
from trml_export.method.model import TRML
from trml_export.training.batches import batches

__all__ = ["Floats", "Predictions", "predict"]

_BATCH = 256
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Predictions:
    """The raw predictions (rows, outputs) and vectors (rows, d) of some samples; NaN where none.

    `text`, `video` and `both` are the predictions from text alone, video alone, and both. A
    model that runs as compiled graphs does not give `real_video`. `reach` is that of scores, by
    presence case, where the model learned one; see `training.confidence`.
    """

    text: Floats
    video: Floats
    both: Floats
    virtual_text: Floats
    virtual_video: Floats
    real_text: Floats
    real_video: Floats | None = None
    reach: Mapping[str, float] = field(default_factory=dict)

    def at(self, presence: NDArray[np.int8]) -> Floats:
        """Return the predictions (rows, outputs) for the modalities each row keeps."""
        chosen = np.full_like(self.both, np.nan)
        for keeps, prediction in ((TEXT, self.text), (VIDEO, self.video), (BOTH, self.both)):
            chosen[presence == keeps] = prediction[presence == keeps]
        return chosen


@torch.inference_mode()
def predict(model: TRML, features: Features) -> Predictions:
    """Run `model`, in eval mode, on every view that each sample allows.

    The model lies where PyTorch makes its tensors, as `fit` leaves it.
    """
    count, width, size = len(features.samples), model.config.outputs, model.size
    widths = {
        **dict.fromkeys(("text", "video", "both"), width),
        **dict.fromkeys(("virtual_text", "virtual_video", "real_text", "real_video"), size),
    }
    columns = {name: np.full((count, w), np.nan, np.float32) for name, w in widths.items()}
    order = batches(features, np.arange(count), _BATCH, model.config)
    for start, batch in zip(range(0, count, _BATCH), order, strict=True):
        has_video = batch.mask.any(dim=1)
        text, video, both = batch.has_text, has_video, batch.has_text & has_video
        x_t = model.text_state(batch.text)  # (batch, d)
        x_v, mask = model.frame_states(batch.frames), batch.mask  # (batch, n, d)
        from_text, virtual_video = model.fuse_text(x_t[text])
        from_video, virtual_text = model.fuse_video(x_v[video], mask[video])
        for name, rows, values in (
            ("text", text, from_text),
            ("video", video, from_video),
            ("both", both, model.fuse_text_video(x_t[both], x_v[both], mask[both])),
            ("virtual_text", video, virtual_text),
            ("virtual_video", text, virtual_video),
            ("real_text", text, model.door_of_text(x_t[text])),
            ("real_video", video, model.pooled(x_v[video], mask[video])),
        ):
            places = start + rows.nonzero().squeeze(1).cpu().numpy()
            columns[name][places] = values.cpu().numpy()
    cases = ("text", "video", "text_video")
    reach = {} if model.reach is None else dict(zip(cases, model.reach.tolist(), strict=True))
    return Predictions(**columns, reach=reach)
