"""The Python runtime against tests/conformance, which the C++ one reads as well."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image

import trml_rt
from tests.conformance.engines import (
    here,
    lay_out,
    place_in,
    set_environment,
    taken,
    write_fastest,
)
from tests.conformance.patches import harm, use
from tests.conformance.pictures import nv12_picture, nv12_to_rgb, picture
from tests.conformance.streams import play_python
from tests.conftest import TINY
from trml_rt import Sample, TrmlError
from trml_rt.backends import cpu, row_of
from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.bundle.places import cache_folder
from trml_rt.engines.fastest import file_name, read_fastest
from trml_rt.engines.key import built_for_here
from trml_rt.errors import InputUnusable
from trml_rt.inputs.clip import choose_indices, choose_times
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.resize import shaping_of
from trml_rt.inputs.tokenizer import Tokenizer
from trml_rt.stream.answer import CAUSES

FILES = Path(__file__).parents[1] / "conformance"


def cases(name: str) -> list[Any]:
    return list(json.loads((FILES / name).read_text(encoding="ascii")))


def encoded(tokenizer: Tokenizer, text: str) -> list[int] | str:
    try:
        tokens = tokenizer.encode(text)
    except InputUnusable as error:
        return error.reason
    return [-1] * tokens.truncated + tokens.ids.tolist()


@pytest.mark.parametrize(
    ("file", "ids"),
    [
        (default_bundle() / "tokenizer.json", "tokens_word_piece.json"),
        (FILES / "byte_pair.json", "tokens_byte_pair.json"),
    ],
    ids=["word_piece", "byte_pair"],
)
def test_tokens(file, ids):
    tokenizer = Tokenizer.from_file(file)
    rows = list(zip(cases("texts.json"), cases(ids), strict=True))
    assert len(rows) > 2000
    assert [text for text, expected in rows if encoded(tokenizer, text) != expected] == []


@pytest.mark.parametrize("case", cases("pixels.json"), ids=lambda case: f"{case['format']}")
def test_pixels(case):
    size = case["width"], case["height"]
    if case["format"] == "nv12":
        given = nv12_to_rgb(nv12_picture(*size), case["matrix"])
    else:
        given = picture(*size, format="gray" if case["format"] == "gray" else "rgb")
    settings = {key: value for key, value in case["video"].items() if key != "frames"}
    pixels = to_pixels(Image.fromarray(given), Preprocessing(**settings))
    expected = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8)
    difference = np.abs(np.subtract(pixels.ravel(), expected, dtype=np.int16)).max()
    # Pillow 12, the newest on Python 3.10, resizes one of these pictures one step away from 13.
    assert difference <= (1 if int(PIL.__version__.partition(".")[0]) < 13 else 0)


def shaped(frame, shaping):
    """Return what the weights make of a frame, as the kernels of frames.cu do."""
    down = shaping.down_first
    axes = [shaping.across, shaping.down]
    picture = frame.transpose(1, 0, 2) if down else frame
    for weights in axes[::-1] if down else axes:
        lines = [
            (picture[:, first : first + count] * values[:count, None]).sum(axis=1)
            for first, count, values in zip(
                weights.first, weights.count, weights.values.astype(np.int64), strict=True
            )
        ]
        levels = np.clip((np.stack(lines, axis=1) + (1 << 21)) >> 22, 0, 255)
        picture = levels.transpose(1, 0, 2)
    height, width = (weights.length for weights in axes[::-1])
    pixels = np.full((height, width, 3), shaping.fill)
    left, top = (weights.begin for weights in axes)
    shown = picture.transpose(1, 0, 2) if down else picture
    pixels[top : top + len(shown), left : left + len(shown[0])] = shown
    return pixels


RGB = [case for case in cases("pixels.json") if case["format"] == "rgb"]


@pytest.mark.parametrize("case", RGB, ids=lambda case: f"{case['width']}x{case['height']}")
def test_weights_for_a_gpu_give_these_pixels(case):
    frame = picture(case["width"], case["height"]).astype(np.int64)
    settings = {key: value for key, value in case["video"].items() if key != "frames"}
    shaping = shaping_of(*frame.shape[:2], Preprocessing(**settings))
    pixels = shaped(frame, shaping)
    expected = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8)
    assert (pixels.ravel() == expected).all()


@pytest.mark.parametrize(
    ("matrix", "kr", "kb"), [("bt601", 0.299, 0.114), ("bt709", 0.2126, 0.0722)]
)
def test_nv12_is_what_itu_defines(matrix, kr, kb):
    """BT.601 and BT.709 in real numbers, with U and V where MPEG-2 and H.264 have them."""
    luma, chroma = (plane.astype(np.float64) for plane in nv12_picture(52, 38))
    v, u = np.linspace(-0.25, 18.25, 38).clip(0, 18), (np.arange(52) / 2).clip(0, 25)
    rows = [np.interp(v, range(19), column) for column in chroma.transpose(1, 2, 0).reshape(52, 19)]
    rows = np.array(rows).reshape(26, 2, 38)
    cb, cr = (np.array([np.interp(u, range(26), rows[:, c, y]) for y in range(38)]) for c in (0, 1))
    y, cb, cr = (luma - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    exact = (np.stack([red, green, blue], axis=2) * 255).clip(0, 255)
    given = nv12_to_rgb(nv12_picture(52, 38), matrix)
    assert np.abs(given - exact).max() < 0.501


@pytest.mark.parametrize("case", cases("frames.json"), ids=str)
def test_frames(case):
    if "indices" in case:
        assert choose_indices(case["total"], case["count"]) == case["indices"]
    else:
        times = choose_times(case["start"], case["duration"], case["count"])
        assert times == case["times"]


@pytest.mark.parametrize("case", cases("refusals.json"), ids=lambda case: case["rule"])
def test_refusals(case, tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "bundle"))
    harm(folder, case)
    with pytest.raises(TrmlError) as caught:
        use(folder, case["call"])
    said, expected = str(caught.value), case["message"].replace("{bundle}", str(folder))
    if case.get("own_words"):  # what a JSON parser says of bad syntax differs between versions
        said, expected = (text.partition("not valid JSON: ")[:2] for text in (said, expected))
    assert said == expected


ENGINES = json.loads((FILES / "engines.json").read_text(encoding="ascii"))


def test_which_engines_a_call_takes(device, bundle_copy):
    fields = here(ENGINES["built_for"])
    assert len(ENGINES["choices"]) > 5**3
    for case in ENGINES["choices"]:
        lay_out(bundle_copy, case["engines"], fields)
        found = {call: taken(bundle_copy, call) for call in case["taken"]}
        refused = dict.fromkeys((c for c, text in found.items() if ": " in text), "refused")
        assert found | refused == case["taken"], case["engines"]


def test_the_table_of_engines_is_rule_e4():
    for case in ENGINES["choices"]:
        engines, found = case["engines"], case["taken"]
        fitting = {name for name, state in engines.items() if not state.endswith("elsewhere")}
        fitting_order = [name for name in ("fp16", "fp32", "int8") if name in fitting]
        verified = [name for name in ("fp16", "fp32") if engines.get(name) == "verified"]
        assert found["auto"] == [*verified, "portable"][0]
        if "damaged" in engines.values():  # whoever names a back end is told of the damage
            continue
        assert found["tensorrt"] == [*fitting_order, "refused"][0]
        for name in ("fp32", "fp16", "int8"):
            takes = engines.get(name) == "verified"
            assert found[f"auto {name}"] == (name if takes else "refused")
            assert found[f"tensorrt {name}"] == (name if name in fitting else "refused")


def test_engines_that_no_call_takes_are_refused_in_these_words(device, bundle_copy):
    fields = here(ENGINES["built_for"])
    for case in ENGINES["messages"]:
        parts = (case["engines"], fields, case.get("change"), case.get("without"))
        lay_out(bundle_copy, *parts)
        expected = case["message"].replace("{bundle}", str(bundle_copy))
        expected = expected.replace("{system}", fields["fp32"]["system"])
        assert taken(bundle_copy, case["call"]) == expected


def test_which_of_two_places_a_call_takes_engines_from(device, bundle_copy, tmp_path, monkeypatch):
    monkeypatch.setenv("TRML_RT_CACHE", str(tmp_path / "cache"))
    fields = here(ENGINES["built_for"])
    assert len(ENGINES["places"]) > 5**2
    for case in ENGINES["places"]:
        lay_out(bundle_copy, case["own"], fields)
        lay_out(bundle_copy, case["cache"], fields, place=place_in(tmp_path / "cache", bundle_copy))
        found = {call: taken(bundle_copy, call) for call in case["taken"]}
        refused = dict.fromkeys((c for c, text in found.items() if ": " in text), "refused")
        assert found | refused == case["taken"], case


def test_which_engines_a_call_takes_where_some_were_found_fastest(device, bundle_copy):
    fields = here(ENGINES["built_for"])
    assert len(ENGINES["fastest"]) > 100
    for case in ENGINES["fastest"]:
        lay_out(bundle_copy, case["engines"], fields)
        write_fastest(bundle_copy, case["record"])
        found = {call: taken(bundle_copy, call) for call in case["taken"]}
        refused = dict.fromkeys((c for c, text in found.items() if ": " in text), "refused")
        assert found | refused == case["taken"], case


def test_the_table_of_what_was_fastest_is_rule_e6():
    for case in ENGINES["fastest"]:
        verified = [name for name, state in case["engines"].items() if state == "verified"]
        without = [*(name for name in ("fp16", "fp32") if name in verified), "portable"][0]
        record = case["record"]
        counts = record["schema"] == 1 and record["device"] == {}
        counts = counts and record["engines"] in verified
        counts = counts and without in ("portable", *record["compared"])
        assert case["taken"]["auto"] == (record["engines"] if counts else without)


@pytest.mark.parametrize("case", ENGINES["damage"], ids=lambda case: case["message"])
def test_damaged_records_of_what_was_fastest(bundle_copy, case):
    path = write_fastest(bundle_copy, case["record"])
    with pytest.raises(TrmlError) as caught:
        read_fastest(Bundle(bundle_copy))
    assert str(caught.value) == case["message"].replace("{path}", str(path))


def test_what_engines_for_openvino_are_built_for(bundle_copy, monkeypatch):
    options = {"builder options": ENGINES["openvino"]["fp32"]["builder options"]}
    facts = ENGINES["openvino"]["here"] | options
    monkeypatch.setattr("trml_rt.backends.openvino.built_for", lambda *_: dict(facts))
    row, system = row_of("openvino"), here(ENGINES["built_for"])["fp32"]["system"]
    for name in ("fp32", "fp16", "int8"):
        expected = ENGINES["openvino"][name] | {"system": system}
        assert built_for_here(Bundle(bundle_copy), name, row) == expected


@pytest.mark.parametrize("case", ENGINES["cpus"], ids=lambda case: case["text"][-40:])
def test_what_is_told_of_a_cpu(tmp_path, monkeypatch, case):
    (tmp_path / "cpuinfo").write_text(case["text"], encoding="ascii", newline="")
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "cpuinfo")
    told = {"name": cpu.describe_device()["CPU"], "features": cpu.cpu_features()}
    assert told | {"half precision": cpu.half_type() or "none"} == case["told"]


@pytest.mark.parametrize("case", ENGINES["devices"], ids=lambda case: case["name"])
def test_the_name_of_what_was_found_fastest_on_a_device(case):
    assert file_name(case["device"]) == case["name"]


@pytest.mark.parametrize("case", ENGINES["caches"], ids=lambda case: str(case["environment"]))
def test_which_folder_is_the_cache(case, monkeypatch):
    set_environment(monkeypatch, case["environment"])
    assert cache_folder() == (case["folder"] and Path(case["folder"]))


def answered(rt: trml_rt.Runtime, case: dict[str, Any]) -> dict[str, Any]:
    samples = [
        Sample(text, pictures and [picture(*p) for p in pictures])
        for text, pictures in case["rows"]
    ]
    try:
        if case["call"] == "batch":
            answers = rt.infer_batch(samples, degrade=case["degrade"])
        else:
            [row] = samples
            answers = [rt.infer(row.text, row.video, degrade=case["degrade"])]
    except TrmlError as error:
        told = {"status": error.exit_code, "reason": getattr(error, "reason", "")}
        return {"error": told | {"message": str(error)}}
    return {"answers": [answer.to_dict() for answer in answers]}


@pytest.mark.parametrize("name", ["tiny", "default"])
def test_answers(name):
    folder = TINY if name == "tiny" else default_bundle()
    with trml_rt.load(folder) as rt:
        for case in (case for case in cases("answers.json") if case["bundle"] == name):
            given = answered(rt, case)
            assert given.get("error") == case.get("error")
            expected_answers = case.get("answers", [])
            for answer, expected in zip(given.get("answers", []), expected_answers, strict=True):
                assert answer["score"] == pytest.approx(expected["score"], abs=1e-4)
                assert list(answer["ms"]) == expected["ms"]
                assert answer | {"ms": 0, "score": 0} == expected | {"ms": 0, "score": 0}


@pytest.fixture(scope="module")
def runtimes():
    bundles = {"tiny": TINY, "default": default_bundle()}
    opened = {name: trml_rt.load(folder, backend="onnxruntime") for name, folder in bundles.items()}
    yield opened
    for rt in opened.values():
        rt.close()


@pytest.mark.parametrize("case", cases("streams.json"), ids=lambda case: case["name"])
def test_streams(runtimes, case):
    given = play_python(runtimes[case["bundle"]], case)
    for mine, expected in zip(scores_of(given), scores_of(case), strict=True):
        assert mine == pytest.approx(expected, abs=1e-4)
    assert given == {name: case[name] for name in given}


def scores_of(played: dict[str, Any]) -> list[float]:
    """Take the scores out of what was played, and return them."""
    steps = [step for step in played.get("gives", []) if isinstance(step, list)]
    return [record.pop("score") for step in steps for record in step if "score" in record]


def test_the_streams_of_the_conformance_file_cover_what_can_become_of_a_frame_and_an_input():
    played = [case for case in cases("streams.json") if "totals" in case]
    steps = [step for case in played for step in case["gives"] if isinstance(step, list)]
    records = [record for step in steps for record in step]
    # Only who reads a source himself knows the first; C has no threshold, so never the second.
    pushed = set(CAUSES) - {"before_keyframe", "not_needed"}
    assert {cause for case in played for cause in case["totals"]["dropped"]} == pushed
    told = {(r["event"], r["state"], r.get("reason")) for r in records if "event" in r}
    states = ("connecting", "running", "stalled", "retrying", "ended", "failed")
    assert {state for kind, state, _ in told if kind == "video"} == set(states)
    assert {state for kind, state, _ in told if kind == "text"} == {"running", "ended"}
    answers = [record for record in records if "seq" in record]
    reasons = {answer["inputs"]["video"].get("reason") for answer in answers}
    late = {"stalled", "lost", "frozen", "black", "ended", "stale", "deadline", "connecting"}
    assert reasons == late | {"not_given", None}
    assert {answer["epoch"] for answer in answers} >= {0, 1, 2}
    assert all(
        case["totals"]["seen"]
        == case["totals"]["answered"] + sum(case["totals"]["dropped"].values())
        for case in played
    )
