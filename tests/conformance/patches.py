"""Change the tiny bundle as a case of refusals.json says."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import trml_rt
from trml_rt.bundle.engine_folder import open_engine_folder

ENGINES = Path(__file__).parent / "engine_folder"


def patched(document: Any, operations: list[dict[str, Any]]) -> Any:
    """Apply JSON Patch operations (RFC 6902: add, replace, remove) to a copy of `document`."""
    document = copy.deepcopy(document)
    for operation in operations:
        *way, last = (
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        )
        place = document
        for part in way:
            place = place[int(part) if isinstance(place, list) else part]
        if isinstance(place, list):
            at = len(place) if last == "-" else int(last)
            place[at : at + (operation["op"] != "add")] = (
                [] if operation["op"] == "remove" else [operation["value"]]
            )
        elif operation["op"] == "remove":
            del place[last]
        else:
            place[last] = operation["value"]
    return document


def harm(folder: Path, case: dict[str, Any]) -> None:
    """Change a copy of the tiny bundle at `folder`; an engine folder is put into it if named."""
    if case["call"] == "engines":
        shutil.copytree(ENGINES, folder / "engines" / "built")
    manifest = folder / case.get("record", "model.json")
    if "text" in case:
        manifest.write_text(case["text"], encoding="utf-8")
    if "hex" in case:
        manifest.write_bytes(bytes.fromhex(case["hex"]))
    if "patch" in case:
        content = patched(json.loads(manifest.read_text(encoding="utf-8")), case["patch"])
        manifest.write_text(json.dumps(content), encoding="utf-8")
    for name, data in case.get("put", {}).items():  # listed as it is
        (folder / name).write_bytes(bytes.fromhex(data))
        content = json.loads(manifest.read_text(encoding="utf-8"))
        digest = hashlib.sha256(bytes.fromhex(data)).hexdigest()
        content["files"][name] = {"sha256": digest, "bytes": len(data) // 2}
        manifest.write_text(json.dumps(content), encoding="utf-8")
    for name in case.get("delete", []):
        (folder / name).unlink()
    for name in case.get("append", []):
        with (folder / name).open("ab") as file:
            file.write(b"\0")
    for name in case.get("flip", []):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)
    for name in case.get("link_self", []):
        (folder / name).unlink()
        (folder / name).symlink_to(Path(name).name)
    for name in case.get("pipe", []):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    for name in case.get("device", []):
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")
    for name in case.get("grow", []):  # beyond what a record may have, and no byte on the disk
        os.truncate(folder / name, (16 << 20) + 1)
    for name in case.get("link_out", []):
        outside = folder.parent / "outside"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)


def use(folder: Path, call: str) -> None:
    """Open a bundle and perhaps ask it, or read all of the engine folder that `harm` put there."""
    if call == "engines":
        engines = open_engine_folder(folder / "engines" / "built")
        engines.passed_sets()
        engines.verify_files()
    else:
        with trml_rt.load(folder) as rt:
            if call == "text":
                rt.infer(text="good day")
