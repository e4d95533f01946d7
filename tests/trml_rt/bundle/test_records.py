"""Faults of a record are told in our words, one message for one fault."""

from __future__ import annotations

import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TINY
from trml_rt.bundle.engine_folder import EngineManifest
from trml_rt.bundle.manifest import read_manifest
from trml_rt.bundle.records import parse_json, shown, validate
from trml_rt.errors import ArtefactMismatch

MANIFEST = json.loads((TINY / "model.json").read_text())
# What pydantic says, and names of our classes, which are nobody's business.
FOREIGN = re.compile(
    r"Input should|validation error|Extra inputs|Field required|valid (string|integer|dict)"
    r"|[A-Z][a-z]+(Spec|Input|Set|Entry)\b|constrained-int|literal\["
)
WRONG = [None, True, -1, 0, 1.5, "x", "", [], {}, [None], {"x": 1}]
ENGINES = {
    **{"schema": 1, "backend": "onnxruntime", "precision": "fp32", "weights": "fp32"},
    **{"compute": "fp32", "built_for": {"a": "b"}, "verified": {}},
    "files": {
        "text": {"file": "text.onnx", "sha256": "0" * 64, "bytes": 3, "layers": {"a": "int8"}}
    },
}


def places(content, way=()):
    """Yield the way to every value of a JSON document."""
    yield way
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from places(value, (*way, key))


def changed(content, way, value):
    content = copy.deepcopy(content)
    place = content
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = value
    return content


def refusal(read, content):
    try:
        read(content)
    except ArtefactMismatch as error:
        return str(error)
    return ""


def read_bundle(content):
    read_manifest(json.dumps(content).encode(), "model.json")


def read_engines(content):
    validate(EngineManifest, content, "manifest.json", 1)


@pytest.mark.parametrize(
    ("read", "content"),
    [(read_bundle, MANIFEST), (read_engines, ENGINES)],
    ids=["model", "engines"],
)
def test_every_wrong_value_anywhere_is_told_in_our_words(read, content):
    refusals = [
        refusal(read, changed(content, way, value))
        for way in places(content)
        if way and way[0] != "training"
        for value in WRONG
    ]
    assert sum(map(bool, refusals)) > 0.9 * len(refusals)
    assert [text for text in refusals if FOREIGN.search(text)] == []


def test_one_wrong_size_is_one_message():
    way = ("engines", "text", "inputs", 0, "shape", 1)
    text = refusal(read_bundle, changed(MANIFEST, way, 0))
    assert text == (
        "model.json: engines.text.inputs.0.shape.1: a positive size or batch, tokens, frames "
        "expected, 0 found"
    )


def test_values_are_shown_as_json_has_them():
    values = [None, True, 3, 1.5, "it's", [1], {"a": 1}]
    assert [shown(v) for v in values] == [
        *("null", "true", "3", "1.5", '"it\'s"', "a list", "an object")
    ]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=6)
WAYS = [way for way in places(MANIFEST) if way]


@given(st.sampled_from(WAYS), VALUES)
def test_any_change_of_a_manifest_loads_or_is_refused_in_our_words(way, value):
    text = refusal(read_bundle, changed(MANIFEST, way, value))
    # What somebody else wrote may be quoted; our own words hold no foreign phrase.
    assert not FOREIGN.search(text.replace(json.dumps(value), "")) or isinstance(value, str)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_sentence(data):
    try:
        assert isinstance(parse_json(data, "x.json"), dict)
    except ArtefactMismatch as error:
        assert str(error).startswith("x.json: not")  # noqa: PT017


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("1" + "0" * 5000, "1" + "0" * 29 + "... (5001 characters)"),
        ("-" + "9" * 40 + "e999", "-" + "9" * 29 + "... (45 characters)"),
    ],
)
def test_a_number_beyond_64_bits_is_shown_short(number, shown):
    with pytest.raises(ArtefactMismatch) as caught:
        parse_json(f'{{"a": {number}}}'.encode(), "x.json")
    assert str(caught.value) == f"x.json: not valid JSON: {shown} is too large"
