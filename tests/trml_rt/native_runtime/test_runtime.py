"""The binding of the native library: its answers are Python's, and so are its refusals."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import trml_rt
from tests.conftest import TINY
from trml_rt import native_runtime
from trml_rt.errors import ArtefactMismatch, InputUnusable, UsageError

ROOT = Path(__file__).parents[3]
BUILD = Path(os.environ.get("TRML_RT_BUILD", ROOT / "build" / "native"))
LIBRARY = BUILD / "trml_rt" / "native" / "libtrml_rt.so"
needs_library = pytest.mark.skipif(not LIBRARY.exists(), reason="make native builds the library")

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 40, 50, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def native():
    with native_runtime.load(TINY, backend="openvino", library=LIBRARY) as rt:
        yield rt


@pytest.fixture(scope="module")
def python():
    with trml_rt.load(TINY, backend="openvino") as rt:
        yield rt


def same(native, python):
    """Hold an answer to that of the Python runtime on the same back end."""
    assert native.score == pytest.approx(python.score, abs=1e-3)
    assert (native.range, list(native.ms)) == (python.range, list(python.ms))
    ours = {"score": 0, "ms": 0}
    assert native.to_dict() | ours == python.to_dict() | ours


@needs_library
def test_answers_are_those_of_the_python_runtime(native, python):
    same(native.infer("a good day"), python.infer("a good day"))
    same(native.infer(frames=FRAMES), python.infer(video=FRAMES))
    same(native.infer("a good day", FRAMES), python.infer("a good day", FRAMES))
    assert (native.task, native.labels) == (python.task, python.labels)
    assert native.range == python.range


@needs_library
def test_a_batch_gives_the_answer_of_each_row(native):
    rows = ["a good day", ("bad", FRAMES[:2]), {"frames": FRAMES}, (None, FRAMES[0])]
    alone = [
        native.infer("a good day"),
        native.infer("bad", FRAMES[:2]),
        native.infer(frames=FRAMES),
        native.infer(frames=FRAMES[0]),
    ]
    for together, single in zip(native.infer_batch(rows), alone, strict=True):
        assert together.score == pytest.approx(single.score, abs=1e-6)
        assert together.inputs == single.inputs
    assert native.infer_batch([]) == []


@needs_library
def test_layouts_and_strides_say_the_same(native):
    expected = native.infer(frames=FRAMES)
    bgr = FRAMES[..., ::-1]  # rows that go backwards, so they are copied
    assert native.infer(frames=bgr, layout="bgr") == expected
    wide = np.zeros((5, 40, 80, 3), np.uint8)
    wide[:, :, :50] = FRAMES
    assert native.infer(frames=wide[:, :, :50]) == expected  # padded rows, taken as they lie
    assert native.infer(frames=[*FRAMES]) == expected
    grey = np.repeat(FRAMES[:2, ..., :1], 3, axis=3)
    assert native.infer(frames=FRAMES[:2, ..., 0], layout="gray") == native.infer(frames=grey)
    white = np.full((60, 50), 128, np.uint8)
    white[:40] = 235
    full = np.full((40, 50, 3), 255, np.uint8)
    assert native.infer(frames=white, layout="nv12") == native.infer(frames=full)


@needs_library
def test_a_bundle_of_classes_gives_their_probabilities(edit_manifest):
    def classify(manifest):
        manifest["task"] = {"kind": "classification", "labels": ["only"]}

    with native_runtime.load(edit_manifest(classify), library=LIBRARY) as rt:
        assert (rt.task, rt.labels, rt.range) == ("classification", ("only",), None)
        assert rt.infer("good").probabilities == {"only": 1.0}


@needs_library
def test_a_score_is_not_rounded(native):
    assert native.infer("a good day").score != round(native.infer("a good day").score, 6)


@needs_library
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "neither text nor video is given; give at least one"),
        ({"text": 3}, "text: must be a str, not int"),
        ({"frames": FRAMES.astype(float)}, r"video: got float64 \(40, 50, 3\); give frames as"),
        ({"frames": np.zeros((4, 4, 4), np.uint8)}, r"got uint8 \(4, 4, 4\).*\(height, width, 3\)"),
        ({"frames": np.zeros((4, 4), np.uint8)}, r"got uint8 \(4,\)"),
        ({"frames": "v.mp4"}, "video: got str"),
        ({"frames": ["v.mp4"]}, "video: got str"),
        ({"frames": 3}, "video: got int"),
        ({"frames": np.uint8(3)}, "video: got uint8"),
        ({"frames": np.zeros((2, 0, 4, 3), np.uint8)}, "video: got uint8"),
        ({"frames": FRAMES, "layout": "rgba"}, "layout"),
        ({"frames": np.zeros((4, 4), np.uint8), "layout": "nv12"}, r"height \+ height / 2"),
    ],
)
def test_what_makes_no_sense_is_refused(native, given, words):
    with pytest.raises(UsageError, match=words):
        native.infer(**given)


@needs_library
def test_an_input_that_cannot_be_used_has_its_reason(native):
    for text, reason in (("", "empty_text"), (" \n", "empty_text"), ("ab\udcff", "undecodable")):
        with pytest.raises(InputUnusable) as caught:
            native.infer(text)
        assert caught.value.reason == reason
    with pytest.raises(InputUnusable, match="there is no frame in it") as caught:
        native.infer(frames=FRAMES[:0])
    assert caught.value.reason == "too_short"
    answer = native.infer("", FRAMES, degrade=True)
    assert str(answer.inputs["text"]) == "virtual, empty text"
    with pytest.raises(InputUnusable, match=r"^sample 1: ") as caught:
        native.infer_batch(["good", " "])


@needs_library
def test_rows_that_are_no_samples_are_refused_by_number(native):
    for bad in (3, ("a",), {"video": FRAMES}, {}):
        with pytest.raises(UsageError, match="sample 1: must be a text"):
            native.infer_batch(["good", bad])
    for bad in ("good", 3, iter(["good"])):
        with pytest.raises(UsageError, match="samples must be a list"):
            native.infer_batch(bad)


@needs_library
def test_errors_of_a_bundle_are_those_of_the_python_runtime(tmp_path):
    with pytest.raises(ArtefactMismatch, match=r"not a bundle: model\.json cannot be read"):
        native_runtime.load(tmp_path, library=LIBRARY)
    for wrong in ({"backend": "magic"}, {"backend": 3}, {"threads": 1000}, {"precision": "int4"}):
        with pytest.raises(UsageError):
            native_runtime.load(TINY, library=LIBRARY, **wrong)


@needs_library
def test_a_closed_runtime_says_so_and_clones_outlive_it(native):
    first = native.clone()
    twin = first.clone()
    first.close()
    first.close()
    assert repr(first) == "<NativeRuntime: regression on openvino, closed>"
    for call in (first.infer, first.warm_up, first.clone):
        with pytest.raises(UsageError, match="this runtime is closed"):
            call()
    assert twin.infer("good").label
    assert twin.warm_up() >= 0
    twin.close()


@needs_library
def test_threads_may_share_a_runtime(native):
    expected, answers = native.infer("a good day"), []
    threads = [
        threading.Thread(target=lambda: answers.append(native.infer("a good day")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 8


@needs_library
def test_the_log_of_the_library_is_a_log_of_python(caplog):
    with (
        caplog.at_level(logging.INFO, "trml_rt"),
        native_runtime.load(TINY, backend="openvino", library=LIBRARY) as rt,
    ):
        rt.infer("good")
    assert "loaded onnx/text.onnx on openvino" in caplog.text


@needs_library
def test_probe_says_what_is_here_in_the_words_of_doctor():
    found = {check.name: check for check in native_runtime.probe(TINY, library=LIBRARY)}
    python = {check.name: check for check in trml_rt.doctor(TINY).checks}
    for name in ("system", "bundle", "back end openvino"):
        assert (found[name].ok, found[name].found) == (python[name].ok, python[name].found)
    assert "portable engines on openvino" in found["engines"].found
    with pytest.raises(UsageError, match="no back end 'magic'"):
        native_runtime.probe(TINY, backend="magic", library=LIBRARY)


WITHOUT = """
import sys
for name in ("av", "onnxruntime", "tokenizers", "click", "filelock", "openvino"):
    sys.modules[name] = None
from trml_rt import native_runtime
with native_runtime.load(sys.argv[1], library=sys.argv[2]) as rt:
    print(rt.infer("a good day").label)
"""


@needs_library
def test_it_answers_without_pyav_and_onnx_runtime():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, TINY, LIBRARY], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("negative", "neutral", "positive")


@needs_library
def test_the_example_of_the_page_answers(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "embedding-c.md").read_text()
    [example] = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / "bundle").symlink_to(TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRML_RT_LIBRARY", str(LIBRARY))
    exec(example, {})
    shown = capsys.readouterr().out
    assert "back end openvino True" in shown
    assert shown.count("'tokens': ") == 1
