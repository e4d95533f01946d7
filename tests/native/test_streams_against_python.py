"""Streams of the native library against those of Python on the same engines: the same bits.

Both run the portable graphs on OpenVINO. `make native` builds the library and runs this; elsewhere
it is skipped where nothing is built.
"""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

import trml_rt
from tests.conformance.streams import Clock, play, play_python
from tests.native.binding import Library, NativeError
from tests.native.test_against_python import BUNDLES, LIBRARY, ROOT
from trml_rt.backends.openvino import open_backend
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import exported_sets
from trml_rt.engines.choose import Choice
from trml_rt.inputs.prepare import Inputs

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="make native builds the library")
CASES = json.loads((ROOT / "tests" / "conformance" / "streams.json").read_text(encoding="ascii"))


@pytest.fixture(scope="module")
def pairs():
    """Both runtimes on the same engines, by bundle."""
    pytest.importorskip("openvino")
    library, opened = Library(LIBRARY), {}
    for name, folder in BUNDLES.items():
        bundle = Bundle(folder)
        # The front door of Python takes none but compiled engines on OpenVINO.
        backend = open_backend("openvino", None, 1, compiled=False)
        sets = exported_sets(bundle.manifest)
        choice = Choice(backend, "portable", "fp32", bundle.open_graph, sets)
        native = library.open(folder, backend=b"openvino")
        opened[name] = native, trml_rt.Runtime(bundle, choice, Inputs(bundle))
    yield opened
    for native, python in opened.values():
        python.close()
        native.__exit__()


def play_native(native, case):
    clock = Clock()
    try:
        stream = native.stream(clock=clock, **case["rules"])
    except NativeError as error:
        return {"error": [error.status, str(error)]}
    played = play(stream, case, clock)
    stream.free()
    return played


@pytest.mark.parametrize(
    "case", [case for case in CASES if "takes" not in case], ids=lambda case: case["name"]
)
def test_a_stream_of_the_library_gives_the_bits_of_pythons(pairs, case):
    native, python = pairs[case["bundle"]]
    assert play_native(native, case) == play_python(python, case, bits=True)


@pytest.mark.parametrize(
    ("window", "every", "whole"),
    [(1, 0.0, False), (2, 0.0, False), (4, 0.0, False), (3, 0.1, False), (4, 0.25, True)],
)
def test_300_frames_give_the_bits_of_infer_and_of_pythons_stream(pairs, window, every, whole):
    native, python = pairs["tiny"]
    rules = {"window": window, "every": every, "policy": "every", "keep_vectors": not whole}
    stream = native.stream(**rules)
    frames = np.random.default_rng(7).integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    taken = []
    with python.stream(**rules) as other:
        for number, frame in enumerate(frames):
            for each in (stream, other):
                assert each.push_frame(frame, number / 25)
            answer, expected = stream.poll(), other.poll()
            assert (answer is None) == (expected is None)
            if answer is None:
                continue
            taken.append(frame)
            offline = python.infer(video=taken[-window:])
            assert answer["bits"]["score"] == expected.score.hex() == offline.score.hex()
            assert [answer[name] for name in ("seq", "t0", "t1")] == [
                round(each, 6) for each in (expected.seq, expected.t0, expected.t1)
            ]
        places = {int(n / 25 / every + 1e-6) for n in range(300)} if every else range(300)
        assert len(taken) == len(places)
    stream.close()
    assert stream.totals() == other.totals.to_dict()
    stream.free()


def test_a_window_with_one_new_frame_encodes_one_frame(pairs):
    stream = pairs["tiny"][0].stream(window=4)
    stream.push_text("a good day", 0.0, 9.0)
    stages = []
    for number in range(3):
        stream.push_frame(np.full((8, 8, 3), number, np.uint8), number / 10)
        stages.append(stream.poll()["ms"])
    stream.free()
    first, *later = stages
    assert first == ["decode", "preprocess", "text", "frame", "fuse_text_video", "total"]
    assert later == 2 * [[name for name in first if name != "text"]]


def test_one_who_waits_gets_the_answer_when_a_frame_comes(pairs):
    stream = pairs["tiny"][0].stream(max_staleness=60.0)
    frame = np.zeros((8, 8, 3), np.uint8)
    teller = threading.Timer(0.05, lambda: stream.push_frame(frame, 0.0))
    teller.start()
    assert stream.poll(timeout=30)["engine_set"] == "video"
    teller.join()
    closer = threading.Timer(0.05, stream.close)
    closer.start()
    assert stream.poll(timeout=-1) is None
    closer.join()
    stream.free()


def test_a_stream_outlives_its_handle_and_two_share_its_engines(pairs):
    library = Library(LIBRARY)
    with library.open(BUNDLES["tiny"], backend=b"openvino") as native:
        streams = [native.stream(window=n, clock=lambda: 0.0) for n in (1, 2)]
    for number in range(3):
        for stream in streams:
            stream.push_frame(np.full((8, 8, 3), 80 * number, np.uint8), number / 10)
    answers = [stream.poll() for stream in streams]
    assert [answer["inputs"]["video"]["frames"] for answer in answers] == [1, 1]
    for stream in streams:
        stream.close()
        assert stream.totals()["dropped"] == {"buffer": 2}
        stream.free()
