"""Lay out engine folders in a bundle as a case of engines.json says."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import trml_rt
from trml_rt import TrmlError
from trml_rt.backends.cpu import describe_device
from trml_rt.bundle.engine_folder import PRECISIONS
from trml_rt.engines.fastest import file_name

PLAN = b"plan"
ELSEWHERE = {"compute capability": "1.0"}
"""What the engines of another device say that they were built for."""

CALLS = [
    " ".join(filter(None, (backend, precision)))
    for backend in ("auto", "tensorrt")
    for precision in ("", *PRECISIONS)
]
"""Every back end with every precision, and without one."""

SETS = ("text", "video", "text_video")


def record(passed: Sequence[str], sets: Sequence[str] = SETS, plan: bytes = PLAN) -> str:
    """Return a verify.json in which the engine sets `passed`, of `sets`, have passed."""
    names = ("text", "frame", "fuse_text", "fuse_video", "fuse_text_video")
    empty = {"problems": [], "warnings": [], "inputs": "golden files", "fp32": {}, "golden": {}}
    content = {
        **{"schema": 2, "precision": "fp16", "reference": "FP32", "limits": {}},
        "engines": dict.fromkeys(names, hashlib.sha256(plan).hexdigest()),
        "engine_sets": {name: {"passed": name in passed, **empty} for name in sets},
    }
    return json.dumps(content)


RECORDS = {
    "verified": record(SETS),
    "partly verified": record(SETS[:1]),
    "partly compared": record(SETS[:2], SETS[:2]),
    "verified others": record(SETS, plan=b"other"),
    "failed": record(()),
    "damaged": "[]",
}
"""verify.json by the state of the engines; another state has none."""


def lay_out(
    bundle: Path,
    engines: dict[str, str],
    built_for: dict[str, dict[str, str]],
    change: dict[str, str | None] | None = None,
    without: list[str] | None = None,
    place: Path | None = None,
) -> None:
    """Write one engine folder for each precision of `engines`, in the state that it says.

    Args:
        bundle: folder of the bundle.
        engines: state by precision: a word of `RECORDS` or "unverified", then perhaps "elsewhere".
        built_for: what engines of each precision say that they were built for, if they fit.
        change: fields of `built_for` by their other value; None removes one.
        without: engines to leave out.
        place: where the engines lie, and others are removed; None: beside the bundle.
    """
    place = place or bundle / "engines"
    shutil.rmtree(place, ignore_errors=True)
    manifest = json.loads((bundle / "model.json").read_text(encoding="utf-8"))
    entry = {"file": "plan", "sha256": hashlib.sha256(PLAN).hexdigest(), "bytes": len(PLAN)}
    for precision, state in engines.items():
        record = state.removesuffix(" elsewhere")
        folder = place / precision
        folder.mkdir(parents=True)
        (folder / "plan").write_bytes(PLAN)
        fields = built_for[precision] | (ELSEWHERE if record != state else {}) | (change or {})
        names = [name for name in manifest["engines"] if name not in (without or [])]
        content: dict[str, Any] = {
            **{"schema": 1, "backend": "tensorrt", "precision": precision},
            **{"weights": precision, "compute": precision},
            "built_for": {name: value for name, value in fields.items() if value is not None},
            **{"files": dict.fromkeys(names, entry), "verified": {}},
        }
        (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
        if record in RECORDS:
            (folder / "verify.json").write_text(RECORDS[record], encoding="utf-8")


def write_fastest(bundle: Path, record: dict[str, Any], place: Path | None = None) -> Path:
    """Write what was found fastest on this device, and return the file.

    Args:
        bundle: folder of the bundle.
        record: the record; {} in the place of its device is this one.
        place: where it lies; None: beside the bundle.
    """
    device = describe_device()
    path = (place or bundle / "engines") / file_name(device)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = record | ({"device": device} if record.get("device") == {} else {})
    path.write_text(json.dumps(content), encoding="ascii")
    return path


def place_in(cache: Path, bundle: Path) -> Path:
    """Return the folder of a bundle's engines in the cache."""
    digest = hashlib.sha256((bundle / "model.json").read_bytes()).hexdigest()
    return cache / "engines" / digest[:16]


def set_environment(patch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Set the variables that name the cache, and no other of them."""
    for name in ("TRML_RT_CACHE", "XDG_CACHE_HOME", "HOME"):
        patch.delenv(name, raising=False)
        if name in environment:
            patch.setenv(name, environment[name])


def here(built_for: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return `built_for` of engines.json with the name of this system filled in."""
    system = f"{platform.system().lower()} {platform.machine()}"
    return {
        precision: {name: value.replace("{system}", system) for name, value in fields.items()}
        for precision, fields in built_for.items()
    }


def taken(bundle: Path, call: str) -> str:
    """Return the name of the engines that a call takes, or the words that refuse it.

    Args:
        bundle: folder of the bundle.
        call: the back end, then perhaps the precision: "auto fp16".
    """
    backend, _, precision = call.partition(" ")
    try:
        with trml_rt.load(bundle, backend=backend, precision=precision or None) as rt:
            return str(rt.provenance["engines"])
    except TrmlError as error:
        return str(error)
