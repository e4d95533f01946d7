"""The GStreamer element: its answers are those of the library, on a clip and on a live source.

Needs the plugin, which CMake builds where GStreamer is installed, and gst-launch-1.0.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY
from trml_rt import native_runtime

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("TRML_RT_BUILD", ROOT / "build" / "native")) / "trml_rt" / "native"
LAUNCH = shutil.which("gst-launch-1.0")
pytestmark = pytest.mark.skipif(
    not (BUILD / "gstreamer" / "libgsttrml.so").exists() or LAUNCH is None,
    reason="CMake builds the plugin where GStreamer is installed",
)


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Return what plays a pipeline, and gives its exit code, its answers and its errors."""
    registry = tmp_path_factory.mktemp("gstreamer") / "registry.bin"

    def play(pipeline):
        environment = os.environ | {
            "GST_PLUGIN_PATH": str(BUILD / "gstreamer"),
            "GST_REGISTRY": str(registry),
            "LC_ALL": "C.UTF-8",
        }
        words = [LAUNCH, "-m", *pipeline.format(tiny=TINY, samples=ROOT / "samples").split()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
        answers = []
        for line in done.stdout.splitlines():
            if found := re.search(r"\): trmlsentiment, pts=\(guint64\)(\d+), .*json=(.*);$", line):
                text = found[2].removeprefix("(string)").strip('"')
                answers.append((int(found[1]), json.loads(re.sub(r"\\(.)", r"\1", text))))
        return done.returncode, answers, done.stderr

    return play


def test_answers_are_those_of_the_library_in_every_format(launch):
    white = np.full((40, 50, 3), 255, np.uint8)
    with native_runtime.load(TINY, library=BUILD / "libtrml_rt.so") as rt:
        expected = [rt.infer("a good day", [white] * count).to_dict() for count in (1, 2)]
    for form in ("RGB", "BGR", "GRAY8", "NV12"):
        code, answers, _ = launch(
            "videotestsrc pattern=white num-buffers=13 "
            "! video/x-raw,format=RGB,width=50,height=40,framerate=10/1 "
            f"! videoconvert ! video/x-raw,format={form} "
            "! trmlsentiment bundle={tiny} every=1 text=a\\ good\\ day ! fakesink"
        )
        assert code == 0
        assert [pts for pts, _ in answers] == [0, 10**9]
        assert [answer | {"ms": 0} for _, answer in answers] == [e | {"ms": 0} for e in expected]


def test_a_clip_is_answered_to_its_end(launch):
    if (
        shutil.which("gst-inspect-1.0") is None
        or subprocess.run(["gst-inspect-1.0", "--exists", "openh264dec"]).returncode
    ):
        pytest.skip("no decoder for H.264 here: openh264dec of gstreamer1.0-plugins-bad")
    code, answers, _ = launch(
        "filesrc location={samples}/smiling.mp4 ! qtdemux ! h264parse ! openh264dec ! videoconvert "
        "! video/x-raw,format=NV12 ! trmlsentiment bundle={tiny} every=0.5 window=2 ! fakesink"
    )
    assert code == 0
    assert 1 <= len(answers) <= 12
    assert [a["inputs"]["video"]["frames"] for _, a in answers][:2] == [1, 2][: len(answers)]
    assert all(a["inputs"]["text"]["reason"] == "not_given" for _, a in answers)
    times = [pts for pts, _ in answers]
    assert times == sorted(set(times))


def test_a_live_source_is_answered_while_it_plays(launch):
    code, answers, _ = launch(
        "videotestsrc is-live=true num-buffers=12 ! video/x-raw,format=RGB,framerate=30/1 "
        "! trmlsentiment bundle={tiny} every=0.1 ! fakesink sync=true"
    )
    assert code == 0
    assert len(answers) >= 2
    assert all(later - earlier >= 99e6 for (earlier, _), (later, _) in pairwise(answers))


def test_a_bundle_that_cannot_be_opened_is_an_error_of_the_pipeline(launch):
    code, answers, errors = launch(
        "videotestsrc num-buffers=1 ! trmlsentiment bundle=/nowhere ! fakesink"
    )
    assert code != 0
    assert answers == []
    assert "/nowhere: not a bundle: model.json cannot be read" in errors
    code, _, errors = launch(
        "videotestsrc num-buffers=1 ! trmlsentiment bundle={tiny} backend=magic ! fakesink"
    )
    assert code != 0
    assert "no back end 'magic'; choose auto, openvino or tensorrt" in errors


def test_formats_that_the_library_does_not_take_are_not_agreed_on(launch):
    code, answers, errors = launch(
        "videotestsrc num-buffers=1 ! video/x-raw,format=I420 ! trmlsentiment bundle={tiny} "
        "! fakesink"
    )
    assert code != 0
    assert answers == []
    assert "not-negotiated" in errors or "could not link" in errors
