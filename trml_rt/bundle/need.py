"""The record of when video is needed: from which certainty on a text alone is enough.

`trml-rt calibrate-need` writes `need.json`, and callers who ask for video only if it is needed
read it.
"""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from trml_rt.bundle.calibration import CalibrationData
from trml_rt.bundle.files import Digest, read_record
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.records import Strict, parse_json, refuse, validate
from trml_rt.errors import UsageError, shell_word

__all__ = [
    "NEED",
    "NEED_SCHEMA",
    "Need",
    "Spared",
    "has_need",
    "need_command",
    "read_need",
    "to_json",
]

NEED_SCHEMA = 1
NEED = "need.json"
"""The name of the record, in the folder of the bundle."""

_Share = Annotated[float, Field(ge=0, le=1)]


class Spared(Strict):
    """What a threshold does to rows: `without_video` is the share that is answered on its text.

    `accuracy` is that of these answers together with those on both inputs of the other rows.
    `points_lost` is what it loses against answers on both inputs of all rows, in percent.
    """

    rows: Annotated[int, Field(gt=0)]
    without_video: _Share
    accuracy: _Share
    points_lost: Annotated[float, Field(ge=-100, le=100)]


class Need(Strict):
    """The content of `need.json`.

    A text whose certainty is at least `threshold` is enough: see `trml_rt.answer.certainty`.
    """

    schema_: Annotated[int, Field(alias="schema")]
    created_by: str
    bundle_sha256: Digest
    data: CalibrationData
    max_drop_points: Annotated[float, Field(ge=0, le=100)]
    threshold: Annotated[float, Field(ge=0)]
    chosen: Spared
    checked: Spared


def has_need(bundle: Bundle) -> bool:
    """Say whether a bundle says when video is needed."""
    return (bundle.folder / NEED).exists()


def read_need(bundle: Bundle) -> Need:
    """Read the record of a bundle, and check it.

    Raises:
        UsageError: it has none.
        ArtefactMismatch: it is damaged, or was made for another model.
    """
    source = bundle.folder / NEED
    try:
        data = read_record(source)
    except OSError as error:
        raise UsageError(
            f"{source}: cannot be read ({error.strerror}); find out when video is needed: "
            f"{need_command(bundle)}"
        ) from None
    need: Need = validate(Need, parse_json(data, str(source)), str(source), NEED_SCHEMA)
    if need.bundle_sha256 != bundle.sha256:
        again = f"{need_command(bundle)} --force"
        refuse(str(source), [f"is of another model; find out anew: {again}"])
    return need


def need_command(bundle: Bundle) -> str:
    """Return the command that makes the record of `bundle`."""
    return f"trml-rt calibrate-need {shell_word(bundle.folder)} --data rows.jsonl"


def to_json(need: Need) -> bytes:
    """Return the bytes of `need.json`, the same for the same content."""
    return (json.dumps(need.model_dump(by_alias=True), indent=1) + "\n").encode()
