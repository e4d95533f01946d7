"""The native library against the Python runtime on the same machine: samples, golden files, tokens.

`make native` builds the library and runs this; elsewhere it is skipped where nothing is built.
"""

from __future__ import annotations

import base64
import csv
import gzip
import json
import os
import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trml_rt
from tests.conftest import TINY
from tests.native.binding import Library, NativeError
from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.engines.fastest import record_fastest
from trml_rt.errors import InputUnusable
from trml_rt.inputs.tokenizer import Tokenizer
from trml_rt.inputs.video import read_frames
from trml_rt.proof.compare import LIMITS, compare
from trml_rt.proof.golden import golden_answers

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("TRML_RT_BUILD", ROOT / "build" / "native"))
LIBRARY = BUILD / "trml_rt" / "native" / "libtrml_rt.so"
DATA = Path(os.environ.get("TRML_RT_DATA", ROOT.parent / "shared" / "data"))
BUNDLES = {"tiny": TINY, "default": default_bundle()}
SAMPLES = ROOT / "samples"
pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="make native builds the library")


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(LIBRARY)


@pytest.fixture(params=BUNDLES, scope="module")
def pair(request, library):
    """Both runtimes on one bundle."""
    folder = BUNDLES[request.param]
    with library.open(folder, backend=b"openvino") as native, trml_rt.load(folder) as python:
        yield native, python


def same(native: dict[str, Any], python: dict[str, Any]) -> None:
    assert native["score"] == pytest.approx(python["score"], abs=1e-3)
    assert native["backend"] == "openvino"
    assert list(native["ms"]) == list(python["ms"])
    ours = {"score": 0, "backend": 0, "ms": 0}
    assert native | ours == python | ours


@pytest.mark.parametrize(
    ("words", "video"),
    [("glad.txt", None)]
    + [(words, video) for words in ("glad.txt", None) for video in ("smiling.mp4", "upset.mp4")],
)
def test_answers_on_the_samples_are_equal(pair, words, video):
    native, python = pair
    text = None
    if words:  # the first sentence holds no word that the tiny bundle knows
        text = "What a day. " + (SAMPLES / words).read_text(encoding="utf-8")
    frames = []
    if video is not None:
        clip = read_frames(SAMPLES / video, python.bundle.manifest.video.frames)
        frames = [np.ascontiguousarray(frame) for frame in clip.frames]
    path = SAMPLES / video if video else None
    same(native.infer(text, frames), python.infer(text=text, video=path).to_dict())


def test_a_whole_clip_is_thinned_to_the_same_frames(pair):
    native, python = pair
    frames = np.random.default_rng(0).integers(0, 256, (37, 40, 50, 3), dtype=np.uint8)
    same(native.infer(None, list(frames)), python.infer(video=frames).to_dict())


@pytest.mark.parametrize("name", BUNDLES)
def test_engines_that_python_compiled_for_openvino_answer_alike(library, tmp_path, name):
    pytest.importorskip("openvino")
    folder = shutil.copytree(BUNDLES[name], tmp_path / "bundle")
    built = trml_rt.build(folder, "fp32", backend="openvino").folder.name
    frames = list(np.random.default_rng(0).integers(0, 256, (5, 40, 50, 3), dtype=np.uint8))
    for backend, precision in ((b"openvino", b"fp32"), (b"auto", b"fp32")):
        with (
            library.open(folder, backend=backend, precision=precision) as native,
            trml_rt.load(folder, backend="openvino", precision="fp32") as python,
        ):
            answer = native.infer("a good day", frames)
            same(answer, python.infer("a good day", frames).to_dict())
            assert (answer["engines"], answer["verified"]) == (built, True)
    # Without a precision they are taken only where they were found fastest on this device.
    for fastest in (None, "portable", built):
        if fastest is not None:
            record_fastest(Bundle(folder), fastest, {built: {"text": 1.5}})
        with library.open(folder) as native, trml_rt.load(folder) as python:
            expected = built if fastest == built else "portable"
            assert native.infer("a good day")["engines"] == expected
            assert python.infer("a good day").engines == expected
        with library.open(folder, backend=b"openvino") as native:
            assert native.infer("a good day")["engines"] == "portable"


def test_a_record_of_when_video_is_needed_changes_no_answer(library, tmp_path):
    folder = shutil.copytree(TINY, tmp_path / "bundle")
    (folder / "need.json").write_text('{"schema": 1}')  # of no use to a call that does not ask
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), dtype=np.uint8))
    with library.open(folder, backend=b"openvino") as native, trml_rt.load(folder) as python:
        same(native.infer("a good day", frames), python.infer("a good day", frames).to_dict())


def test_a_precision_that_python_compiled_none_for_is_refused_in_the_same_words(library, tmp_path):
    pytest.importorskip("openvino")
    folder = shutil.copytree(TINY, tmp_path / "bundle")
    with pytest.raises(trml_rt.ArtefactMismatch) as refused:
        trml_rt.load(folder, backend="openvino", precision="int8")
    with pytest.raises(NativeError) as caught:
        library.open(folder, backend=b"openvino", precision=b"int8")
    assert (str(caught.value), caught.value.status) == (str(refused.value), 5)


def test_tensors_on_the_golden_files_pass_the_gates():
    for folder in BUNDLES.values():
        bundle = Bundle(folder)
        cases, golden = golden_answers(bundle)
        sets = bundle.manifest.engine_sets
        given = [
            {each.name: trace(folder, each.present.value, answer[each.name], each.inputs)}
            for each, answer in zip(sets, golden, strict=True)
        ]
        verdicts = compare(bundle.manifest, sets, cases, golden, given, LIMITS["fp32"])
        assert [(v.problems, v.warnings) for v in verdicts.values()] == [([], [])] * len(sets)


def trace(folder: Path, present: int, tensors: dict[str, Any], names: list[str]) -> dict[str, Any]:
    request = {
        name: {
            "type": str(tensors[name].dtype),
            "shape": tensors[name].shape,
            "data": base64.b64encode(tensors[name].tobytes()).decode(),
        }
        for name in names
    }
    done = subprocess.run(
        [BUILD / "tests" / "native" / "trml_rt_trace", folder],
        input=json.dumps({"present": present, "tensors": request}),
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name: np.frombuffer(base64.b64decode(t["data"]), t["type"]).reshape(t["shape"])
        for name, t in json.loads(done.stdout).items()
    }


def native_tokens(file: Path, texts: list[str]) -> list[Any]:
    done = subprocess.run(
        [BUILD / "tests" / "native" / "trml_rt_tokens", file],
        input="".join(json.dumps(text) + "\n" for text in texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def differing(file: Path, texts: list[str]) -> list[str]:
    reader = Tokenizer.from_file(file)
    wrong = []
    for text, native in zip(texts, native_tokens(file, texts), strict=True):
        if native != outcome(reader, text):
            wrong.append(text)
    return wrong


def outcome(reader: Tokenizer, text: str) -> dict[str, Any]:
    try:
        tokens = reader.encode(text)
    except InputUnusable as error:
        return {"reason": error.reason}
    ids = tokens.ids.tolist()
    return {"ids": ids, "truncated": tokens.truncated, "unknown": tokens.unknown}


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not here; TRML_RT_DATA names its folder")
@pytest.mark.parametrize("name", ["vader/sentences.tsv.gz", "goemotions/comments.tsv.gz"])
@pytest.mark.parametrize("kind", ["word_piece", "byte_pair"])
def test_tokens_of_all_real_sentences_are_equal(name, kind):
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        texts = [r["text"] for r in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    conformance = ROOT / "tests" / "conformance" / "byte_pair.json"
    file = conformance if kind == "byte_pair" else default_bundle() / "tokenizer.json"
    assert differing(file, texts) == []


@pytest.mark.parametrize("kind", ["word_piece", "byte_pair"])
def test_every_character_that_both_know_gives_the_same_tokens(kind):
    # ICU 72, of Debian 12, knows Unicode 15.0; later characters would be of another kind to it.
    newest = tuple(map(int, unicodedata.unidata_version.split(".")))
    known = unicodedata if newest <= (15, 0, 0) else unicodedata.ucd_3_2_0
    texts = [
        f"a{chr(c)}b day"
        for c in range(1, 0x110000)
        if known.category(chr(c)) not in ("Cs", "Cn", "Co")
    ]
    conformance = ROOT / "tests" / "conformance" / "byte_pair.json"
    file = conformance if kind == "byte_pair" else default_bundle() / "tokenizer.json"
    assert differing(file, texts) == []


def test_clip_ids_are_those_of_open_clip(tmp_path):
    open_clip = pytest.importorskip("open_clip.tokenizer", reason="needs the training extra")
    from trml_export.to_bundle.tokenizer import write_tokenizer

    write_tokenizer(open_clip.SimpleTokenizer(), 77, tmp_path / "tokenizer.json")
    document = json.loads((ROOT / "tests" / "conformance" / "clip_tokens.json").read_text())
    cases = document["cases"]
    given = native_tokens(tmp_path / "tokenizer.json", [case["text"] for case in cases])
    assert [row["ids"] for row in given] == [case["ids"] for case in cases]


def test_errors_carry_status_and_reason(pair):
    native, _ = pair
    with pytest.raises(NativeError, match="empty") as caught:
        native.infer(" \n")
    assert (caught.value.status, caught.value.reason) == (6, "empty_text")
    with pytest.raises(NativeError, match="not valid Unicode at byte 2") as caught:
        native.infer(b"ab\xff")
    assert caught.value.reason == "undecodable"


def test_only_its_own_names_are_exported():
    found = subprocess.run(
        ["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True
    ).stdout
    names = [line.split()[-1].partition("@")[0] for line in found.splitlines()]
    assert [name for name in names if not name.lower().startswith("trml_rt_")] == []
    assert "trml_rt_infer" in names


def test_the_library_is_under_two_megabytes():
    assert LIBRARY.stat().st_size < 2_000_000


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    pytest.importorskip("cryptography", reason="signs the bundles that the library checks")
    from cryptography.hazmat.primitives.asymmetric import ec

    from tests.signing import write_keys

    folder = tmp_path_factory.mktemp("keys")
    pairs = {name: write_keys(folder / name, ec.SECP256R1()) for name in ("signer", "other")}
    return pairs | {"curve": write_keys(folder / "curve", ec.SECP384R1())}


def reword(signature, change):
    """Change the text of a signature's JSON."""
    signature.write_text(change(signature.read_text()))


BREAKS = {
    "nothing": lambda bundle: None,
    "unsigned": lambda bundle: (bundle / "model.sig").unlink(),
    "a file": lambda bundle: (bundle / "MODEL_CARD.md").write_text("altered"),
    "a file more": lambda bundle: (bundle / "engines").mkdir() or (bundle / "engines/x").touch(),
    "a file less": lambda bundle: (bundle / "notes.txt").unlink(),
    "a link": lambda bundle: (bundle / "link").symlink_to("model.json"),
    "a link to a folder": lambda bundle: (bundle / "link").symlink_to("/usr"),
    "a pipe": lambda bundle: os.mkfifo(bundle / "pipe"),
    "git": lambda bundle: (bundle / ".git").mkdir() or (bundle / ".git" / "x").touch(),
    "no JSON": lambda bundle: (bundle / "model.sig").write_text("["),
    "no signature": lambda bundle: (bundle / "model.sig").write_text("{}"),
    "a large one": lambda bundle: (bundle / "model.sig").write_bytes(b" " * (17 << 20)),
    "a linked one": lambda bundle: (
        (bundle / "model.sig").rename(bundle.parent / "s")
        and (bundle / "model.sig").symlink_to(bundle.parent / "s")
    ),
    "another type": lambda b: reword(b / "model.sig", lambda s: s.replace("bundle.v0.3", "x")),
    "bad base64": lambda b: reword(
        b / "model.sig", lambda s: s.replace('"payload": "', '"payload": "=')
    ),
    "short base64": lambda b: reword(b / "model.sig", lambda s: s.replace('"sig": "', '"sig": "M')),
    "altered": lambda b: reword(b / "model.sig", lambda s: s.replace('"sig": "M', '"sig": "N')),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_signature_is_held_to_as_in_python(library, keys, tmp_path, what):
    bundle = Path(shutil.copytree(TINY, tmp_path / "bundle"))
    (bundle / "notes.txt").write_text("of the signer")
    trml_rt.sign(bundle, keys["signer"][0])
    BREAKS[what](bundle)
    same_verdict(library, bundle, keys["signer"][1], refused=what not in ("nothing", "git"))


@pytest.mark.parametrize("whose", ["other", "curve", "private"])
def test_another_key_is_refused_as_in_python(library, keys, tmp_path, whose):
    bundle = Path(shutil.copytree(TINY, tmp_path / "bundle"))
    trml_rt.sign(bundle, keys["signer"][0])
    key = keys["signer"][0] if whose == "private" else keys[whose][1]
    same_verdict(library, bundle, key, refused=True)


def same_verdict(library, bundle, key, *, refused):
    """Hold the library's refusal, or that it opens, to Python's: the words and the status."""
    try:
        trml_rt.check_signature(bundle, key)
        expected = None
    except trml_rt.TrmlError as error:
        expected = (str(error), error.exit_code)
    assert (expected is not None) == refused
    try:
        with library.open(bundle, backend=b"openvino", signed_by=str(key).encode()):
            found = None
    except NativeError as error:
        found = (str(error), error.status)
    if expected is not None and "not valid JSON" in expected[0]:
        expected = (expected[0].split(":")[0], expected[1])  # each parser has its own words
        found = found and (found[0].split(":")[0], found[1])
    assert found == expected


def test_an_empty_name_of_a_key_is_no_leave_to_open_any_bundle(library):
    with pytest.raises(NativeError, match="signed_by is empty"):
        library.open(TINY, signed_by=b"")
