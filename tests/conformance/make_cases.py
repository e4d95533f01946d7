"""Write pixels, frames, refusals and answers (.json) from the Python runtime.

Run from the repository root: PYTHONPATH=. python tests/conformance/make_cases.py
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

import trml_rt
from tests.conformance.graphs import no_graphs, outside
from tests.conformance.patches import harm, use
from tests.conformance.pictures import nv12_picture, nv12_to_rgb, picture
from trml_rt import Sample, TrmlError
from trml_rt.inputs.clip import choose_indices, choose_times
from trml_rt.inputs.image import Preprocessing, to_pixels

HERE = Path(__file__).parent
TINY = HERE.parent / "bundles" / "schema1"
BUNDLES = {"tiny": TINY, "default": HERE.parents[1] / "trml_rt" / "default_bundle"}


def write(name: str, rows: list[dict[str, Any]]) -> None:
    lines = ",\n".join(json.dumps(row) for row in rows)
    (HERE / name).write_text(f"[\n{lines}\n]\n", encoding="ascii")


def pixels() -> list[dict[str, Any]]:
    """Cover every way to resize, crop and pad, up and down, and every pixel format."""
    cases: list[tuple[int, int, str, tuple[Any, ...]]] = [
        (width, height, "rgb", (32, 32, resize, interpolation, fill))
        for width, height in ((33, 47), (101, 37), (20, 15), (7, 31), (32, 32), (31, 32))
        for resize, interpolation, fill in (
            *(("shortest", "bicubic", 0), ("longest", "bilinear", 127)),
            *(("longest", "bicubic", 0), ("squash", "bilinear", 0)),
        )
    ]
    cases += [(w, h, "rgb", (24, 40, "shortest", "bilinear", 0)) for w, h in ((57, 43), (300, 200))]
    cases += [(1, 1, "rgb", (8, 8, "shortest", "bicubic", 0))]
    cases += [(640, 360, "rgb", (32, 32, "shortest", "bicubic", 0))]
    cases += [
        (60, 44, form, (24, 24, resize, "bicubic", 50))
        for form in ("gray", "bgr", "rgba", "bgra", "nv12", "nv12_bt709")
        for resize in ("shortest", "longest")
    ]
    # Beyond what a crop keeps, sides that are odd, and a side that keeps its size.
    cases += [
        (width, height, form, (24, 24, "shortest", "bicubic", 0))
        for width, height in ((321, 177), (24, 77), (51, 203), (1, 5), (47, 90))
        for form in ("rgb", "bgra", "gray", "nv12")
    ]
    # A tall result of a taller picture: columns are resized before rows, and rows are cropped.
    cases += [(100, 300, "rgb", (40, 8, "shortest", "bicubic", 0))]
    rows = []
    for width, height, form, (rows_, columns, resize, interpolation, fill) in cases:
        kind, _, matrix = form.partition("_")
        if kind == "nv12":
            given = nv12_to_rgb(nv12_picture(width, height), matrix or "bt601")
        else:
            given = picture(width, height, format="gray" if kind == "gray" else "rgb")
        settings = Preprocessing(rows_, columns, resize, interpolation, fill)
        rows.append(
            {
                "width": width,
                "height": height,
                "format": kind,
                "matrix": matrix or "bt601",
                "video": {
                    **{"frames": 1, "height": rows_, "width": columns, "resize": resize},
                    **{"interpolation": interpolation, "fill": fill},
                },
                "pixels": base64.b64encode(
                    to_pixels(Image.fromarray(given), settings).tobytes()
                ).decode(),
            }
        )
    return rows


def frames() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"total": total, "count": count, "indices": choose_indices(total, count)}
        for total in (0, 1, 3, 7, 8, 9, 15, 16, 17, 100, 472, 100_003)
        for count in (1, 4, 8)
    ]
    rows += [
        {"start": s, "duration": d, "count": n, "times": choose_times(s, d, n)}
        for s, d, n in ((0, 1000, 8), (-40, 333, 3), (90_000, 1_771_770, 8), (5, 3, 8))
    ]
    return rows


def put(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def refusals() -> list[dict[str, Any]]:
    """List changes to the tiny bundle by the rule that they break."""
    manifest = json.loads((TINY / "model.json").read_text(encoding="utf-8"))
    cases: list[dict[str, Any]] = []

    def change(rule: str, *operations: dict[str, Any], call: str = "open") -> None:
        cases.append({"rule": rule, "patch": list(operations), "call": call})

    # What a JSON parser says of bad syntax is its own; what it refuses is not.
    for text in ('{"schema": 1, "schema": 1}', '{"schema": NaN}', '{"a": -Infinity}', "[]", "3"):
        cases.append({"rule": "R1", "text": text})
    cases += [{"rule": "R1", "text": '{"schema": 1e999}'}, {"rule": "R1", "text": '{"a": -1e400}'}]
    for number in (2**63, -(2**63) - 1, 2**64 - 1, 2**64, -(10**30), 10**400):
        cases.append({"rule": "R1", "text": f'{{"schema": {number}}}'})
    # The first fault that a reader meets is told; a key stands twice when the object ends.
    for text in ('{"a": 1, "a": NaN}', '{"a": {"b": 1, "b": 1}, "c": NaN}', '{"a": 1, "a": 1e999}'):
        cases.append({"rule": "R1", "text": text})
    cases += [{"rule": "R1", "text": '{"a": ' + "[" * n + "]" * n + "}"} for n in (499, 500, 2000)]
    for text in ('{"a": 1, "a": 1', '{"schema": 1}\0', '{"schema": 1}\0{}', '{"a": "\0"}', "\0"):
        cases.append({"rule": "R1", "text": text, "own_words": True})
    for text in ("", "{", "{} x", '{"a": 01}', "[" * 5000, '{"name": "\\ud800"}', "nul"):
        cases.append({"rule": "R1", "text": text, "own_words": True})
    cases.append({"rule": "R1", "hex": b"\xff\xfe{}".hex(), "own_words": True})
    cases.append({"rule": "R1", "hex": b"\xef\xbb\xbf{}".hex(), "own_words": True})
    cases += [{"rule": "R1", how: ["model.json"]} for how in ("delete", "pipe", "device", "grow")]
    change("R2", put("/schema", 3), {"op": "add", "path": "/surprise", "value": 1})
    for schema in (0, -1, "1", None, 1.0, True, [1, {"a": "it's"}]):
        change("R2", put("/schema", schema))
    for key in manifest:
        change("R3", {"op": "remove", "path": f"/{key}"})
    for part in ("", "/text", "/video", "/task", "/axes", "/axes/batch", "/engines/text"):
        change("R3", {"op": "add", "path": f"{part}/surprise", "value": 1})
    for path, values in {
        "/name": [1, None],
        "/embedding_dim": [0, "4", 4.0, True],
        "/text": [3, None, []],
        "/text/context": [0, "8", True, 8.5],
        "/text/pad_id": [-1, 2**31],
        "/text/cut": [1, "yes"],
        "/text/tokenizer": [None],
        "/video/frames": ["8"],
        "/video/fill": [256, -1],
        "/video/resize": ["crop", 3],
        "/axes/batch": [None],
        "/axes/batch/max": [0],
        "/task/kind": ["guess"],
        "/task/labels": [[], ["a", 1], "ab"],
        "/task/range": [3, ["a", 1]],
        "/engines": [[]],
        "/engines/text": [[]],
        "/engines/text/weights": ["int4"],
        "/engines/text/compute": ["fp16"],
        "/engines/text/inputs/0/dtype": ["int64"],
        "/engines/text/inputs/0/shape": [{}],
        "/engines/text/inputs/0/shape/0": ["rows", 0, None],
        "/engine_sets": [[], {}],
        "/engine_sets/0": [1],
        "/engine_sets/0/modalities": [[], ["audio"]],
        "/engine_sets/0/engines/0": [1],
        "/parity": [{"a": "x"}, {"a": True}, []],
        "/training": [[]],
        "/files/tokenizer.json": [1],
        "/files/tokenizer.json/sha256": ["x", 1, "A" * 64],
        "/files/tokenizer.json/bytes": [-1, 1.5],
    }.items():
        for value in values:
            change("R3", put(path, value))
    # The fewest digits that give a number back, and of these the nearest; 2**-44 tells.
    for number in (1234567890123456.7, 9007199254740993.0, 1e16, 2.0**-44, 5e-324, -0.0, 1e-4, 0.1):
        change("R3", put("/name", number))
    change(
        "R3",
        {"op": "add", "path": "/surprise", "value": 1},
        {"op": "remove", "path": "/name"},
        put("/text/context", -1),
    )
    entry = manifest["files"]["onnx/text.onnx"]
    odd = ("../model.onnx", "/etc/hosts", "onnx/../../x", "onnx\\text.onnx", "", "./a", "a//b")
    for path in (*odd, "a:b", "a\0b", "it's/..", "a\"'/..", "\u200b\n\u00e9/.."):
        quoted = path.replace("~", "~0").replace("/", "~1")
        change(
            "R4",
            put("/engines/text/file", path),
            {"op": "add", "path": f"/files/{quoted}", "value": entry},
        )
    cases.append({"rule": "R4", "link_out": ["onnx/text.onnx"]})
    change("R5", {"op": "remove", "path": "/files/onnx~1frame.onnx"})
    cases.append({"rule": "R6", "delete": ["golden/video.npz", "tokenizer.json"]})
    cases.append({"rule": "R6", "append": ["onnx/frame.onnx"]})
    cases += [{"rule": "R6", how: ["tokenizer.json"]} for how in ("pipe", "device")]
    cases += [{"rule": "R6", "link_self": [name]} for name in ("model.json", "onnx/frame.onnx")]
    for name in ("tokenizer.json", "onnx/text.onnx", "onnx/fuse_text.onnx"):
        cases.append({"rule": "R7", "flip": [name], "call": "text"})
    change("R8", put("/engine_sets/0/engines", ["fuse_text"]))
    change("R8", {"op": "add", "path": "/engine_sets/0/engines/-", "value": "magic"})
    change("R8", {"op": "add", "path": "/engine_sets/0/outputs/-", "value": "mood"})
    change("R9", {"op": "add", "path": "/engine_sets/-", "value": manifest["engine_sets"][0]})
    change("R9", {"op": "remove", "path": "/engine_sets/0"}, call="text")
    change("R10", put("/engines/text/outputs/0/shape/1", 3))
    change("R10", put("/engines/frame/outputs/0/dtype", "int32"))
    for key, value in (
        *(("labels", ["a", "a", "b"]), ("thresholds", [0.2, -0.2]), ("thresholds", [0.0])),
        *(("thresholds", [-2.0, 0.0]), ("thresholds", [-1.0, 0.0]), ("thresholds", None)),
        *(("range", [1.0, -1.0]), ("range", None), ("range", [0.0]), ("kind", "classification")),
    ):
        change("R11", put(f"/task/{key}", value))
    change("R12", put("/axes/batch/min", 9))
    change("R12", put("/axes/tokens/max", 9))
    change("R12", put("/axes/frames/max", 3), put("/axes/frames/opt", 2))
    change("R13", put("/engines/text/file", "onnx/frame.onnx"), call="text")
    change("R16", put("/embedding_dim", 7))
    change("R15", put("/video/height", 9))
    change("R15", put("/video/frames", 3))
    change("R15", put("/text/cut", False))
    change("R15", put("/engine_sets/0/outputs", ["virtual_video"]))
    change("R15", {"op": "add", "path": "/engine_sets/0/inputs/-", "value": "mood"})
    change("R15", put("/engine_sets/0/modalities", ["text", "text"]))
    for path in (
        "/embedding_dim",
        "/text/context",
        "/video/frames",
        "/video/height",
        "/video/width",
    ):
        change("R18", put(path, 2**16 + 1))
    for path in ("/axes/batch/max", "/axes/tokens/max", "/axes/frames/opt"):
        change("R18", put(path, 10**9))
    change("R18", put("/video/height", 2**15), put("/video/width", 2**15))
    for shape in ([2**31 + 1], [2**62, 2**62], [2**21, 2**10, "batch", 2]):
        change("R18", put("/engines/fuse_text/outputs/1/shape", shape))
    change("R18", put("/files/tokenizer.json/bytes", (64 << 20) + 1))
    for data in (*outside().values(), *no_graphs().values()):
        cases.append({"rule": "R17", "put": {"onnx/text.onnx": data.hex()}, "call": "text"})
    cases += engine_refusals()
    for case in cases:
        case.setdefault("call", "open")
        case["message"] = refusal(case)
    return cases


def engine_refusals() -> list[dict[str, Any]]:
    """List changes to an engine folder that break a rule (E3)."""
    built = "engines/built"
    manifest = json.loads((HERE / "engine_folder" / "manifest.json").read_text(encoding="utf-8"))
    cases: list[dict[str, Any]] = []

    def case(record: str = "manifest.json", **harm: Any) -> None:
        cases.append({"rule": "E3", "call": "engines", "record": f"{built}/{record}", **harm})

    def change(*operations: dict[str, Any], record: str = "manifest.json") -> None:
        case(record, patch=list(operations))

    for record in ("manifest.json", "verify.json"):
        for text in ('{"schema": 1, "schema": 1}', '{"schema": NaN}', '{"a": -1e400}', "[]", "3"):
            case(record, text=text)
        for text in (f'{{"a": {"9" * 40}}}', f'{{"a": -{"9" * 40}e999}}'):
            case(record, text=text)
        for text in ("", "{", '{"backend": "\\ud800"}', '{"backend": "a\nb"}'):
            case(record, text=text, own_words=True)
        case(record, hex=b'{"backend": "\xff"}'.hex(), own_words=True)
    for path, schema in (("/schema", 2), ("/schema", 0), ("/schema", "1"), ("/schema", 1.0)):
        change(put(path, schema))
    for key in ("schema", "backend", "precision", "weights", "compute", "built_for", "files"):
        change({"op": "remove", "path": f"/{key}"})
    for key in ("sha256", "bytes", "file"):
        change({"op": "remove", "path": f"/files/text/{key}"})
    change(*({"op": "remove", "path": f"/files/text/{key}"} for key in ("file", "bytes", "sha256")))
    for part in ("", "/files/text"):
        for key in ("surprise", "line\nbreak", 'it\'s "quoted"', "\u00e9\u200b"):
            change({"op": "add", "path": f"{part}/{key}", "value": 1})
    odd = (None, True, -1, 1.5, 1e15, 1e-5, "x", "it's", "a\"'\n\u200b\u00e9", [], {}, [None])
    for path in (
        *("/backend", "/precision", "/weights", "/compute", "/built_for", "/built_for/GPU"),
        *("/files", "/files/text", "/files/text/file", "/files/text/sha256", "/files/text/bytes"),
        *("/files/text/layers", "/files/text/layers/head", "/verified", "/products"),
        *("/products/text", "/products/text/int8", "/plan_layers", "/plan_layers/text"),
        *("/islands", "/islands/text", "/islands/text/0", "/widened", "/widened/text"),
    ):
        for value in odd:
            change(put(path, value))
    for value in (None, "0.5", True, []):
        change({"op": "add", "path": "/verified/text", "value": value})
    change(
        put("/precision", "int4"),
        {"op": "remove", "path": "/compute"},
        {"op": "add", "path": "/surprise", "value": 1},
        put("/files/frame/bytes", "5"),
        put("/files/text", {"file": 1, "sha256": "x", "bytes": -1, "layers": 3, "more": 0}),
        put("/islands/text", ["a", 1]),
        put("/built_for/GPU", 3),
    )
    for file in (
        "../text.plan",
        "/etc/hosts",
        "a\\b",
        "",
        "./a",
        "a//b",
        "a:b",
        "a\0b",
        "it's/..",
        "no",
    ):
        change(put("/files/text/file", file))
    change(put("/files/text/bytes", 7), put("/files/frame/file", ".."))
    # Two engines of one file: the last entry counts, in the place of the first.
    frame = manifest["files"]["frame"] | {"bytes": 7}
    change(put("/files/text", frame | {"bytes": 8}), put("/files/frame", frame))
    for path in (
        *("/schema", "/precision", "/reference", "/limits", "/limits/score", "/engines"),
        *("/engines/text", "/engine_sets", "/engine_sets/text", "/engine_sets/text/passed"),
        *("/engine_sets/text/problems", "/engine_sets/text/problems/0", "/engine_sets/text/inputs"),
        *("/engine_sets/text/warnings", "/engine_sets/text/fp32", "/engine_sets/text/golden"),
    ):
        for value in odd:
            change(put(path, value), record="verify.json")
        if not path.endswith("/0"):
            change({"op": "remove", "path": path}, record="verify.json")
    change({"op": "add", "path": "/passed", "value": True}, record="verify.json")
    change({"op": "add", "path": "/engine_sets/text/rows", "value": 3}, record="verify.json")
    change(put("/schema", 3), record="verify.json")
    change(
        put("/precision", "int4"),
        {"op": "remove", "path": "/limits"},
        put("/engines/frame", 3),
        put("/engine_sets/text", {"passed": 1, "more": 0}),
        {"op": "add", "path": "/surprise", "value": 1},
        record="verify.json",
    )
    for name in ("manifest.json", "text.plan", "frame.plan"):
        case(delete=[f"{built}/{name}"])
    case(append=[f"{built}/text.plan"])
    case(link_out=[f"{built}/text.plan"])
    for name in ("manifest.json", "verify.json", "text.plan"):
        for how in ("link_self", "pipe", "device"):
            case(**{how: [f"{built}/{name}"]})
    for name in ("manifest.json", "verify.json"):
        case(grow=[f"{built}/{name}"])
    case(flip=[f"{built}/frame.plan"])
    return [each for each in cases if broken(each)]


def broken(case: dict[str, Any]) -> bool:
    """Say whether a case is one: some wrong values are right at some places."""
    with contextlib.suppress(SystemExit):
        return bool(refusal(case))
    return False


def refusal(case: dict[str, Any]) -> str:
    """Return what the Python runtime says of a case, its folder written as {bundle}."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(shutil.copytree(TINY, Path(parent) / "bundle"))
        harm(folder, case)
        try:
            use(folder, case["call"])
        except TrmlError as error:
            return str(error).replace(str(folder), "{bundle}")
    raise SystemExit(f"not refused: {case}")


def answers() -> list[dict[str, Any]]:
    """List calls: rows of a text and pictures (width, height, seed), and what comes of them."""
    clip = [[48, 32, seed] for seed in range(11)]
    still, small = [[64, 64, 3]], [[16, 9, seed] for seed in range(3)]
    good, bad = "What a good day.", "a bad day"
    calls: list[tuple[list[list[Any]], str, bool]] = [
        *(
            ([[text, None]], "infer", False)
            for text in (good, bad, "not good, not bad!", "good " * 99)
        ),
        *(([[text, None]], "infer", False) for text in ("\U0001f60d" * 3, "good \U0001f60d day")),
        ([["\U0001f60d" * 3, still]], "infer", False),
        ([[good, None], ["\u0e14\u0e35", small]], "batch", True),
        *(([[None, frames]], "infer", False) for frames in (clip, still, small)),
        *(([[text, frames]], "infer", False) for text, frames in ((good, clip), (bad, still))),
        (
            [[good, None], [None, clip], [bad, still], [bad, None], [None, small]] * 3,
            "batch",
            False,
        ),
        ([[" \t", clip]], "infer", True),
        ([[" \t", clip]], "infer", False),
        ([[" ", None]], "infer", True),
        ([[None, None]], "infer", False),
        ([[good, None], ["\n", None]], "batch", False),
        ([[good, [[1, 30000, 0]]]], "infer", True),
        ([[None, [[1, 300000 // 8, 0]]]], "infer", False),
        ([], "batch", False),
    ]
    rows: list[dict[str, Any]] = []
    for name, folder in BUNDLES.items():
        with trml_rt.load(folder) as rt:
            for given, kind, degrade in calls:
                row = {"bundle": name, "rows": given, "call": kind, "degrade": degrade}
                samples = [
                    Sample(text, pictures and [picture(*p) for p in pictures])
                    for text, pictures in given
                ]
                try:
                    if kind == "batch":
                        found = rt.infer_batch(samples, degrade=degrade)
                    else:
                        found = [rt.infer(samples[0].text, samples[0].video, degrade=degrade)]
                except TrmlError as error:
                    reason = getattr(error, "reason", "")
                    row["error"] = {"status": error.exit_code, "reason": reason}
                    row["error"]["message"] = str(error)
                else:
                    row["answers"] = [answer.to_dict() for answer in found]
                    for answer in row["answers"]:
                        answer["ms"] = list(answer["ms"])  # which stages ran, in order
                rows.append(row)
    return rows


if __name__ == "__main__":
    write("pixels.json", pixels())
    write("frames.json", frames())
    write("refusals.json", refusals())
    write("answers.json", answers())
