"""Fill the feature cache with all that a data set needs, before training and evaluation."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trml_export.backbone.backbone import load_backbone, place
from trml_export.config import Config
from trml_export.data import SPLITS, InputProblem, read_dataset
from trml_export.device import device_name, find_device
from trml_export.features.features import compute_features
from trml_export.features.ranks import joined
from trml_rt.errors import UsageError

__all__ = ["EncodeReport", "encode"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodeReport:
    """What the cache holds now of a data set.

    `texts` and `clips` count different contents. `first` says that this process speaks for all
    that a launcher started. `problems` names every input that was unusable or cut short.
    """

    cache: str
    samples: int
    texts: int
    clips: int
    seconds: float
    device: str
    encoded_in: str
    processes: int
    first: bool
    problems: tuple[InputProblem, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, as `trml-rt encode --json` prints it."""
        content = asdict(self)
        del content["first"]
        return content


def encode(
    data: Path,
    backbone: str | Path,
    cache: Path,
    *,
    config: Config | None = None,
    weights: Path | None = None,
    layout: str = "jsonl",
    device: str = "auto",
    mixed: bool = False,
) -> EncodeReport:
    """Encode every text and clip of all splits of `data` that `cache` does not hold yet.

    Under PyTorch's launcher every process encodes its share, each on a GPU of its own.

    Args:
        data: a data set in the layout `layout`.
        backbone: see `load_backbone`.
        cache: the folder that `train` and `eval` get too.
        config: its number of frames counts; None means the defaults.
        weights: the backbone's weights; None takes those in its folder.
        layout: a name of `trml_export.data.FORMATS`.
        device: see `find_device`.
        mixed: encode in half precision, see `trml_export.features.tower`.

    Raises:
        UsageError: the data set or the backbone is not what it should be.
        ArtefactMismatch: weights that do not fit, or a damaged cache.
        EnvironmentUnfit: `cache` cannot be written, there is no such device, or the other
            processes cannot be reached.
        VerificationFailed: `mixed` for a backbone that needs FP32.
    """
    config = config or Config()
    with joined() as ranks:
        where = find_device(device, ranks.rank)
        dataset = read_dataset(data, config, layout, needed=())
        if not dataset.samples:
            raise UsageError(f"{data}: holds no row; there is nothing to encode")
        encoders = place(load_backbone(backbone, weights=weights), where, mixed=mixed)
        if where.type != "cpu":
            _log.info("device: %s", device_name(where))
        start = time.monotonic()
        parts = []
        for split in SPLITS:  # as training and evaluation ask, so that chunks are the same
            samples = [sample for sample in dataset.samples if sample.split == split]
            parts.append(compute_features(samples, encoders, config, cache=cache, ranks=ranks))
        seconds = time.monotonic() - start
    texts = {row for part in parts for row in part.text_rows[part.has_text].tolist()}
    clips = {start for part in parts for start in part.clip_starts[part.has_video].tolist()}
    return EncodeReport(
        cache=str(cache),
        samples=sum(len(part.samples) for part in parts),
        texts=len(texts),
        clips=len(clips),
        seconds=seconds,
        device=device_name(where),
        encoded_in=encoders.placement.type_name,
        processes=ranks.count,
        first=ranks.first,
        problems=(*dataset.problems, *(problem for part in parts for problem in part.problems)),
    )
