"""Which engines a build found fastest on this device: a small record in a place of engines (E6).

It is keyed to the device by its name, so that several devices can share a bundle. The C++ reader
has the same rules (native/src/engines/fastest.cpp), which the conformance files prove.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from trml_rt.backends.cpu import describe_device
from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.files import read_record
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.places import engine_places, place_to_build
from trml_rt.bundle.records import Strict, parse_json, refuse, validate
from trml_rt.engines.install import locked
from trml_rt.errors import ArtefactMismatch

__all__ = ["Fastest", "file_name", "read_fastest", "record_fastest"]

FASTEST_SCHEMA = 1


class Fastest(Strict):
    """The content of the record.

    Attributes:
        device: where it was measured.
        engines: the name of the fastest engine folder; "portable" where no engines paid.
        compared: for each engine folder that took part its gain over the portable graphs, by
            engine set.
    """

    schema_: Annotated[int, Field(alias="schema")]
    device: dict[str, str]
    engines: str
    compared: dict[str, dict[str, float]]


def read_fastest(bundle: Bundle) -> Fastest | None:
    """Return what was found fastest on this device, or None where nothing was measured.

    Raises:
        ArtefactMismatch: the record is damaged, or of another device.
    """
    device = describe_device()
    for place in engine_places(bundle):
        path = place / file_name(device)
        try:
            data = read_record(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ArtefactMismatch(f"{path}: cannot be read ({error.strerror})") from None
        record: Fastest = validate(Fastest, parse_json(data, str(path)), str(path), FASTEST_SCHEMA)
        if record.device != device:
            refuse(str(path), ["device: is not this one"])
        return record
    return None


def record_fastest(
    bundle: Bundle, engines: str, compared: Mapping[str, Mapping[str, float]]
) -> None:
    """Write down what was found fastest on this device, in the place of what was there.

    Args:
        bundle: the bundle whose engines were timed.
        engines: as in `Fastest`.
        compared: as in `Fastest`.

    Raises:
        EnvironmentUnfit: there is no place that can be written.
    """
    device = describe_device()
    name = file_name(device)
    record = {"schema": FASTEST_SCHEMA, "device": device, "engines": engines, "compared": compared}
    place = place_to_build(bundle, name)
    with locked(bundle, place, place / name):
        write_bytes(place / name, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())


def file_name(device: Mapping[str, str]) -> str:
    """Return the name that the record of a device has."""
    text = "".join(f"{name}={device[name]}\n" for name in sorted(device))
    return f".fastest-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
