"""How many rows pay to run together on this device: measured once, when a server starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from trml_rt.bundle.modality import Modality
from trml_rt.runtime import Runtime
from trml_rt.serve.lane import Kind

__all__ = ["rows_together"]

_log = logging.getLogger(__name__)

_TRIES = 3  # of which the shortest counts: what disturbs a measurement makes it longer
_PAYS = 0.95  # of the time of a row; a group twice as large must take less than that
_TOKENS = 16  # of the texts; what people say in one breath


def rows_together(runtime: Runtime, most: int) -> Mapping[Kind, int]:
    """Return how many rows of each kind pay to run together, at most `most`.

    Groups of 1, 2, 4 and so on are timed until one does not take less time a row than the group
    half as large. Rows are texts of padding and black frames, which cost what others do.
    """
    if most == 1:
        return {}
    manifest = runtime.bundle.manifest
    found: dict[Kind, int] = {}
    for engine_set in manifest.engine_sets:
        present = engine_set.present
        of_video = Modality.VIDEO in present
        for frames in sorted({1, manifest.video.frames}) if of_video else [0]:
            limit = min(most, manifest.axes.batch.max)
            if of_video:
                limit = min(limit, manifest.axes.frames.max // frames)
            found[present, frames == 1] = _rows(runtime, present, frames, limit)
    for (present, is_picture), rows in found.items():
        what = "pictures" if is_picture else "clips"
        kind = f"{present}, {what}" if Modality.VIDEO in present else f"{present}"
        _log.info("%s: %d rows pay to run together", kind, rows)
    return found


def _rows(runtime: Runtime, present: Modality, frames: int, limit: int) -> int:
    rows, each = 1, _time(runtime, present, 1, frames)
    while 2 * rows <= limit:
        doubled = _time(runtime, present, 2 * rows, frames) / (2 * rows)
        if doubled > _PAYS * each:
            break
        rows, each = 2 * rows, doubled
    return rows


def _time(runtime: Runtime, present: Modality, rows: int, frames: int) -> float:
    tokens = min(_TOKENS, runtime.bundle.manifest.text.context)
    return min(
        runtime.time_blank(present, rows, tokens=tokens, frames=frames or None)
        for _ in range(_TRIES)
    )
