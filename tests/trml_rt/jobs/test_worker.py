"""What a worker says of its rows, and how it ends."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

import trml_rt
from tests.conftest import TINY
from trml_rt.backends.process import python_command
from trml_rt.inputs.limits import MediaLimits
from trml_rt.jobs.crew import WorkerOptions
from trml_rt.jobs.worker import answer_rows

SAMPLES = Path(__file__).parents[3] / "samples"
ROWS = [{"text": "good"}, {"text": " "}, {"video": "absent.mp4"}, {"text": "a bad day"}]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_row_that_cannot_be_used_is_an_error_among_answers(batch):
    with trml_rt.load(TINY) as rt:
        said = answer_rows(rt, ROWS, degrade=False, batch=batch)
        alone = rt.infer("a bad day").to_dict()
    assert [each.get("error") for each in said] == [None, "empty_text", "undecodable", None]
    assert said[2]["message"].startswith("absent.mp4: cannot be read")
    assert said[3]["score"] == pytest.approx(alone["score"], abs=1e-6)
    assert said[3].keys() == alone.keys() - {"ms"}


def test_a_text_file_is_read_where_the_row_is_answered(tmp_path):
    (tmp_path / "t.txt").write_text("good")
    with trml_rt.load(TINY) as rt:
        first, second = answer_rows(
            rt, [{"text": "good"}, {"text_file": str(tmp_path / "t.txt")}], degrade=False, batch=1
        )
    assert first == second


@pytest.mark.parametrize("batch", [1, 2])
def test_a_row_that_the_bundle_does_not_serve_is_an_error_of_that_row(edit_manifest, batch):
    rows = [{"text": "good"}, {"text": "good", "video": str(SAMPLES / "smiling.mp4")}]
    with trml_rt.load(edit_manifest(lambda m: m["engine_sets"].pop())) as rt:
        first, second = answer_rows(rt, rows, degrade=False, batch=batch)
    assert "error" not in first
    assert second["error"] == "not_served"


OPTIONS = asdict(
    WorkerOptions(
        bundle=str(TINY),
        backend="auto",
        precision=None,
        lanes=1,
        threads=1,
        degrade=False,
        batch=1,
        signed_by=None,
        limits=MediaLimits(),
    )
)


def worker(**changes):
    return subprocess.Popen(
        python_command("trml_rt.jobs.worker", json.dumps(OPTIONS | changes)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_says_that_it_is_ready_answers_and_ends_with_its_input():
    process = worker()
    task = json.dumps({"task": 5, "rows": [{"text": "good"}]}) + "\n"
    assert json.loads(process.stdout.readline())["ready"]["backend"] == "onnxruntime"
    process.stdin.write(task)
    process.stdin.flush()
    said = json.loads(process.stdout.readline())
    assert (said["task"], len(said["said"])) == (5, 1)
    assert process.communicate() == ("", "")
    assert process.returncode == 0


def test_what_is_wrong_with_the_bundle_is_said_and_not_printed(tmp_path):
    process = worker(bundle=str(tmp_path))
    assert json.loads(process.stdout.readline())["fault"] == "ArtefactMismatch"
    assert process.communicate() == ("", "")


def test_a_bug_ends_it_with_a_traceback():
    process = worker()
    process.stdin.write('{"task": 1, "rows": 3}\n')
    process.stdin.flush()
    assert process.wait() == 1
    assert "TypeError" in process.communicate()[1]
