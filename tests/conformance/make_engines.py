"""Write engines.json, which engines each call takes, from the Python runtime.

Run from the repository root: PYTHONPATH=. python tests/conformance/make_engines.py
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.engines import (
    CALLS,
    RECORDS,
    lay_out,
    place_in,
    set_environment,
    taken,
    write_fastest,
)
from tests.trml_rt.backends.tensorrt.fake_device import Device
from trml_rt import TrmlError
from trml_rt.backends import CompileOptions, cpu, openvino, row_of
from trml_rt.bundle.engine_folder import PRECISIONS
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.places import cache_folder
from trml_rt.engines.fastest import file_name, read_fastest
from trml_rt.engines.key import built_for_here

HERE = Path(__file__).parent
TINY = HERE.parent / "bundles" / "schema1"


def write_parts(name: str, parts: dict[str, Any]) -> None:
    """Write an object of lists and objects, one row of them a line."""
    texts = []
    for part, rows in parts.items():
        given = rows.items() if isinstance(rows, dict) else ((None, row) for row in rows)
        lines = ",\n".join(
            (f"{json.dumps(key)}: " if key is not None else "") + json.dumps(row)
            for key, row in given
        )
        opening, closing = "{}" if isinstance(rows, dict) else "[]"
        texts.append(f"{json.dumps(part)}: {opening}\n{lines}\n{closing}")
    joined = ",\n".join(texts)
    (HERE / name).write_text(f"{{\n{joined}\n}}\n", encoding="ascii")


def engines() -> dict[str, Any]:
    """List which engines each call takes, for every state of those of each precision (E4)."""
    states = ("", "verified", "unverified", "verified elsewhere", "unverified elsewhere")
    layouts = [
        {name: state for name, state in zip(PRECISIONS, chosen, strict=True) if state}
        for chosen in itertools.product(states, repeat=len(PRECISIONS))
    ]
    odd = [state for state in RECORDS if state != "verified"]
    layouts += [{name: state} for name in PRECISIONS for state in odd]
    layouts += [{"fp16": state, "fp32": "verified"} for state in odd]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as parent:
        Device(patch)
        patch.setenv("TRML_RT_CACHE", f"{parent}/cache")
        row = row_of("tensorrt")
        folder = Path(shutil.copytree(TINY, Path(parent) / "bundle"))
        bundle = Bundle(folder)
        fields = {name: built_for_here(bundle, name, row) for name in PRECISIONS}
        choices, messages = [], []
        for layout in layouts:
            lay_out(folder, layout, fields)
            found = {call: taken(folder, call) for call in CALLS}
            refused = {call: text for call, text in found.items() if str(folder) in text}
            choices.append({"engines": layout, "taken": found | dict.fromkeys(refused, "refused")})
            messages += [
                {"engines": layout, "call": call, "message": text.replace(str(folder), "{bundle}")}
                for call, text in refused.items()
                if call.startswith("tensorrt") and len(layout) < 2
            ]
        fastest = {"fastest": fastest_engines(folder, fields), "damage": damaged_records(folder)}
        places = places_of_engines(folder, fields)
        on_openvino = openvino_fields(bundle)
        shutil.rmtree(folder.parent / "cache")
        for precision, change, without in (
            *(
                ("int8", {name: "other"}, [])
                for name in fields["int8"]
                if name != "builder options"
            ),
            *(("fp32", {name: None}, []) for name in fields["fp32"] if name != "builder options"),
            ("fp16", {"line\nbreak": "it's", "GPU": "a\"'\n\u200b\u00e9", "": ""}, []),
            ("fp32", {"calibration": "of another precision", "golden of text": "0"}, []),
            ("fp16", {"GPU": "other"}, ["text", "frame", "fuse_video"]),
        ):
            engines = {precision: "verified"}
            lay_out(folder, engines, fields, change, without)
            call = f"tensorrt {precision}"
            message = taken(folder, call).replace(str(folder), "{bundle}")
            extra = {"change": change, "without": without}
            if message != precision:
                messages.append({"engines": engines, "call": call, **extra, "message": message})
    system = fields["fp32"]["system"]
    for case in messages:
        case["message"] = case["message"].replace(system, "{system}")
    assert all(system not in json.dumps(part) for part in (choices, messages))
    for part in fields.values():
        part["system"] = "{system}"
    records = dict(RECORDS)
    parts = {"built_for": fields, "records": records, "choices": choices, "messages": messages}
    parts |= {"places": places, "caches": caches(), **fastest, "openvino": on_openvino}
    return parts | {"cpus": cpus(), "devices": devices()}


def places_of_engines(folder: Path, fields: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """List which engines each call takes of those beside the bundle and in the cache (E5)."""
    states = ("", "verified", "unverified", "verified elsewhere", "damaged")
    layouts = [
        ({"fp16": own} if own else {}, {"fp16": cached} if cached else {})
        for own, cached in itertools.product(states, repeat=2)
    ]
    layouts += [
        ({"fp16": "verified"}, {"fp32": "verified"}),
        ({"fp32": "verified"}, {"int8": "unverified"}),
    ]
    layouts += [({"fp16": "verified elsewhere"}, {"fp32": "verified", "int8": "unverified"})]
    cases = []
    for own, cached in layouts:
        lay_out(folder, own, fields)
        lay_out(folder, cached, fields, place=place_in(folder.parent / "cache", folder))
        found = {call: taken(folder, call) for call in CALLS}
        refused = dict.fromkeys((c for c, text in found.items() if ": " in text), "refused")
        cases.append({"own": own, "cache": cached, "taken": found | refused})
    return cases


def fastest_engines(folder: Path, fields: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """List which engines each call takes where some were found fastest (E6)."""
    states = ("", "verified", "unverified", "verified elsewhere")
    all_three: dict[str, Any] = {name: {"text": 1.5} for name in PRECISIONS}
    head = {"schema": 1, "device": {}}
    records = [
        *(head | {"engines": name, "compared": all_three} for name in (*PRECISIONS, "portable")),
        head | {"engines": "int8", "compared": {"int8": {"text": 2}}},
        head | {"engines": "int8", "compared": {"int8": {}, "fp16": {}}},
        head | {"engines": "gone", "compared": all_three},
        {"schema": 1, "device": {"CPU": "other"}, "engines": "int8", "compared": all_three},
        {"schema": 2, "device": {}, "engines": "int8", "compared": all_three},
    ]
    cases = []
    for fp16, int8 in itertools.product(states, repeat=2):
        layout = {"fp32": "verified", "fp16": fp16, "int8": int8}
        layout = {name: state for name, state in layout.items() if state}
        for record in records:
            lay_out(folder, layout, fields)
            write_fastest(folder, record)
            found = {call: taken(folder, call) for call in CALLS if call.startswith("auto")}
            refused = dict.fromkeys((c for c, text in found.items() if ": " in text), "refused")
            cases.append({"engines": layout, "record": record, "taken": found | refused})
    return cases


def damaged_records(folder: Path) -> list[dict[str, Any]]:
    """List records of what was fastest that are refused, and the words that refuse them."""
    right: dict[str, Any] = {"schema": 1, "device": {}, "engines": "int8", "compared": {"a": {}}}
    changes: list[dict[str, Any]] = [
        {"schema": 2},
        {"schema": "1"},
        {"device": 3},
        {"device": {"CPU": 3}},
        {"device": {"CPU": "other"}},
        {"engines": None},
        {"engines": ["a"]},
        {"compared": []},
        {"compared": {"a": 1.5}},
        {"compared": {"a": {"text": "fast"}, "b": None}},
        {"surprise": 1, "engines": 1, "compared": {"a": {"text": True}}},
    ]
    cases = [right | change for change in changes]
    cases += [{name: value for name, value in right.items() if name != left} for left in right]
    found = []
    for record in cases:
        path = write_fastest(folder, record)
        try:
            read_fastest(Bundle(folder))
        except TrmlError as error:
            message = str(error).replace(str(path), "{path}")
            found.append({"record": record, "message": message})
        else:
            raise SystemExit(f"not refused: {record}")
    return found


def openvino_fields(bundle: Bundle) -> dict[str, Any]:
    """Return what engines for OpenVINO are built for on a device of which `here` is true."""
    here = {"back end version": "1.2-3", "CPU features": "avx2", "half precision": "none"}
    real = openvino.built_for
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "built_for", lambda *_: dict(options) | here)
        options = {"builder options": real("openvino", CompileOptions())["builder options"]}
        fields = {name: built_for_here(bundle, name, row_of("openvino")) for name in PRECISIONS}
    for part in fields.values():
        part["system"] = "{system}"
    return {"here": here} | fields


def cpus() -> list[dict[str, Any]]:
    """List what is told of a CPU by what /proc/cpuinfo says."""
    flags = (
        *("fpu avx512f avx2 sse4_1 avx512_bf16", "avx amx_bf16 amx_int8 avx_vnni", "fma f16c"),
        *("fp asimd asimdhp asimddp i8mm bf16 sve", "asimd bf16", "", "asimdhp2 xavx"),
    )
    texts = [
        f"processor\t: 0\nmodel name\t: A  B: C\nflags\t\t: {each}\nflags: no\n" for each in flags
    ]
    texts += [f"Features : {each} \n CPU part\t: 0xd4f\nCPU part: 1" for each in flags]
    texts += ["", "model name\nflags", "model name:\nflags:", "a:flags: avx\n\nFeatures:avx2\r\n"]
    cases = []
    for text in texts:
        with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as parent:
            file = Path(parent) / "cpuinfo"
            file.write_text(text, encoding="ascii", newline="")
            patch.setattr(cpu, "_CPUINFO", file)
            name, half = cpu.describe_device()["CPU"], cpu.half_type() or "none"
            told = {"name": name, "features": cpu.cpu_features(), "half precision": half}
        cases.append({"text": text, "told": told})
    return cases


def devices() -> list[dict[str, Any]]:
    """List what the record of what was fastest is called on a device."""
    device = {"CPU": "A B", "CPU features": "avx avx2", "CPUs": "2", "system": "linux x86_64"}
    given = [device, device | {"CPUs": "16"}, device | {"CPU": "\u00e9"}, {}]
    return [{"device": each, "name": file_name(each)} for each in given]


def caches() -> list[dict[str, Any]]:
    """List which folder is the cache by the variables of the environment."""
    cases = []
    for named, xdg, home in itertools.product(
        (None, "", "/named", "relative"), (None, "", "/xdg/", "x"), (None, "", "/home/me", "h")
    ):
        given = {"TRML_RT_CACHE": named, "XDG_CACHE_HOME": xdg, "HOME": home}
        environment = {name: value for name, value in given.items() if value is not None}
        with pytest.MonkeyPatch.context() as patch:
            set_environment(patch, environment)
            folder = cache_folder()
        cases.append({"environment": environment, "folder": folder and str(folder)})
    return cases


if __name__ == "__main__":
    write_parts("engines.json", engines())
