"""When video is needed: the threshold that rows choose, what it gives up, and who asks for it."""

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import trml_rt
from tests.conftest import TINY
from trml_rt.answer import certainty
from trml_rt.bundle.folder import default_bundle
from trml_rt.bundle.manifest import Task
from trml_rt.bundle.need import NEED
from trml_rt.cli import trml_rt as program
from trml_rt.cli.calibrate_need import points
from trml_rt.proof import need
from trml_rt.proof.need import _least_threshold, _spared, _Told

WORDS = ("good", "bad", "day", "a", "what")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """120 held-out rows whose targets are what the tiny bundle says of both inputs, most often."""
    folder = tmp_path_factory.mktemp("rows")
    make = np.random.default_rng(3)
    lines = []
    with trml_rt.load(TINY) as rt:
        for number in range(120):
            pixels = make.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            text = " ".join(make.choice(WORDS, 4))
            score = rt.infer(text, pixels[None]).score if number % 8 else 0.0
            row = {"id": str(number), "split": "valid", "text": text, "video": f"{number}.png"}
            lines.append(json.dumps(row | {"score": score}))
    (folder / "rows.jsonl").write_text("\n".join(lines))
    return folder / "rows.jsonl"


@pytest.fixture(scope="module")
def found(rows, tmp_path_factory):
    """A bundle with the record, and the report that it was made with."""
    folder = shutil.copytree(TINY, tmp_path_factory.mktemp("found") / "bundle")
    return folder, trml_rt.calibrate_need(folder, rows)


def told(*each):
    """Rows as (certainty, text right, both right)."""
    return [_Told(*row) for row in each]


@pytest.mark.parametrize(
    ("points", "threshold"),
    [(0.0, 0.8), (25.0, 0.4), (10.0, 0.8), (100.0, 0.4)],
)
def test_the_least_threshold_that_loses_no_more_is_taken(points, threshold):
    rows = told((0.9, True, True), (0.8, False, False), (0.6, False, True), (0.4, True, True))
    assert _least_threshold(rows, points) == threshold


def test_rows_of_one_certainty_are_spared_together_or_not_at_all():
    rows = told((0.9, True, True), (0.9, False, True), (0.5, True, True))
    assert _least_threshold(rows, 0.0) is None


def test_what_a_threshold_gives_up_counts_against_both_inputs_of_all_rows():
    rows = told((0.9, False, True), (0.8, True, False), (0.7, False, True), (0.1, False, True))
    spared = _spared(rows, 0.7)
    assert (spared.rows, spared.without_video, spared.accuracy) == (4, 0.75, 0.5)
    assert spared.points_lost == 25.0


def test_a_regression_is_as_sure_as_its_score_is_far_from_another_label():
    task = Task(
        kind="regression", labels=["n", "z", "p"], range=[-1.0, 1.0], thresholds=[-0.2, 0.2]
    )
    assert certainty(0.5, task) == pytest.approx(0.3)
    assert certainty(-0.1, task) == pytest.approx(0.1)
    assert certainty(0.7, Task(kind="classification", labels=["a", "b"])) == 0.7


def test_the_record_says_what_it_gives_up_on_rows_that_it_was_not_chosen_on(found):
    folder, report = found
    record = report.record
    assert (record.chosen.rows, record.checked.rows) == (60, 60)
    assert 0 < record.chosen.without_video <= 1
    assert record.chosen.points_lost <= record.max_drop_points == 1.0
    assert report.path == folder / NEED
    assert json.loads(report.path.read_text()) == report.to_dict()
    assert trml_rt.inspect(folder).need == report.to_dict()


def test_the_same_rows_give_the_same_bytes(found, rows):
    folder, report = found
    before = report.path.read_bytes()
    trml_rt.calibrate_need(folder, rows, force=True)
    assert report.path.read_bytes() == before


@pytest.fixture
def clip():
    return np.random.default_rng(5).integers(0, 256, (3, 9, 9, 3), dtype=np.uint8)


def texts(rt, threshold):
    """A text that is sure enough, and one that is not."""
    task = rt.bundle.manifest.task
    by_certainty = sorted(
        (certainty(rt.infer(text).score, task), text)
        for text in map(" ".join, itertools.product(WORDS, repeat=3))
    )
    assert by_certainty[0][0] < threshold <= by_certainty[-1][0]
    return by_certainty[-1][1], by_certainty[0][1]


def with_threshold(folder, threshold):
    path = folder / NEED
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threshold": threshold}))


@pytest.fixture
def rt(found, tmp_path):
    """A runtime on a bundle whose threshold lies between the texts of `texts`."""
    folder = shutil.copytree(found[0], tmp_path / "bundle")
    with_threshold(folder, 0.2)
    with trml_rt.load(folder) as runtime:
        yield runtime


def test_video_is_left_out_only_where_asked_and_where_the_text_is_sure(rt, clip):
    sure, unsure = texts(rt, 0.2)
    answer = rt.infer(sure, clip, video_if_needed=True)
    assert answer.inputs["video"].reason is trml_rt.Reason.NOT_NEEDED
    assert answer.score == rt.infer(sure).score
    assert answer.engine_set == "text"
    assert rt.infer(unsure, clip, video_if_needed=True) == rt.infer(unsure, clip)
    assert rt.infer(sure, clip).inputs["video"].state == "real"
    assert rt.infer(sure, video_if_needed=True).inputs["video"].reason.value == "not_given"
    assert rt.infer(None, clip, video_if_needed=True) == rt.infer(None, clip)


def test_a_video_that_is_not_needed_is_not_opened(rt):
    sure, unsure = texts(rt, 0.2)
    assert rt.infer(sure, "absent.mp4", video_if_needed=True).engine_set == "text"
    with pytest.raises(trml_rt.InputUnusable, match=r"absent\.mp4"):
        rt.infer(unsure, "absent.mp4", video_if_needed=True)


def test_the_text_is_encoded_once_where_the_video_is_needed(rt, clip, monkeypatch):
    _, unsure = texts(rt, 0.2)
    encoded = []
    run = rt._dispatcher._run

    def counted(names, inputs):
        encoded.extend(names)
        return run(names, inputs)

    monkeypatch.setattr(rt._dispatcher, "_run", counted)
    answer = rt.infer(unsure, clip, video_if_needed=True)
    assert encoded.count("text") == 1
    assert {"text", "fuse_text", "frame", "fuse_text_video", "total"} <= answer.ms.keys()


def test_an_unusable_text_is_the_fault_that_it_is_without_asking(rt, clip):
    with pytest.raises(trml_rt.InputUnusable):
        rt.infer("", clip, video_if_needed=True)
    assert rt.infer("", clip, degrade=True, video_if_needed=True).engine_set == "video"


def test_a_stream_leaves_out_frames_that_a_sure_text_does_not_need(rt, clip, tmp_path):
    sure, unsure = texts(rt, 0.2)
    record = tmp_path / "r.jsonl"
    with rt.stream(policy="every", video_if_needed=True, hold=1e9, record=record) as stream:
        stream.push_text(unsure, t=0.0)
        found = []
        for number in range(6):
            if number == 2:
                stream.push_text(sure, t=0.2)
            if number == 4:
                stream.push_text(unsure, t=0.4)
            stream.push_frame(clip[number % 3], t=number / 10)
            found.append(stream.poll())
    reasons = [a.inputs["video"].reason and a.inputs["video"].reason.value for a in found]
    assert reasons == [None, None, "not_needed", "not_needed", None, None]
    assert [a.inputs["video"].frames for a in found] == [1, 2, None, None, 3, 4]
    totals = stream.totals
    assert (totals.seen, totals.answered, totals.dropped) == (6, 4, {"not_needed": 2})
    assert rt.replay(record).equal


def test_a_frame_beside_a_text_that_damaged_engines_cannot_answer_stays_in_the_sum(
    found, clip, tmp_path
):
    folder = shutil.copytree(found[0], tmp_path / "bundle")
    with trml_rt.load(folder) as rt, rt.stream(policy="every", video_if_needed=True) as stream:
        stream.push_frame(clip[0], t=0.0)
        assert stream.poll() is not None
        engine = folder / "onnx" / "text.onnx"
        engine.write_bytes(engine.read_bytes()[::-1])
        stream.push_text("a good day", t=0.1)
        stream.push_frame(clip[1], t=0.1)
        with pytest.raises(trml_rt.ArtefactMismatch, match="onnx"):
            stream.poll()
    assert stream.totals.dropped == {"unfinished": 1}
    assert (stream.totals.seen, stream.totals.answered, stream.totals.waiting) == (2, 1, 0)


def test_who_asks_a_bundle_that_does_not_say_is_told_what_to_do(tiny_bundle, clip):
    with trml_rt.load(tiny_bundle) as rt:
        for ask in (
            lambda: rt.infer("a good day", clip, video_if_needed=True),
            lambda: rt.stream(video_if_needed=True),
        ):
            with pytest.raises(trml_rt.UsageError, match="trml-rt calibrate-need"):
                ask()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bundle_sha256": "0" * 64}, "is of another model; find out anew"),
        ({"threshold": -1.0}, "threshold: at least 0.0 expected"),
        ({"threshold": "0.5"}, "threshold: a number expected"),
        ({"schema": 2}, "schema 2 is newer than this runtime reads"),
        ({"surprise": 1}, "surprise: unknown key"),
    ],
)
def test_a_record_that_is_wrong_is_refused_by_who_reads_it(found, tmp_path, change, sentence):
    folder = shutil.copytree(found[0], tmp_path / "bundle")
    path = folder / NEED
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with trml_rt.load(folder) as rt:
        assert rt.infer("a good day").label
        with pytest.raises(trml_rt.ArtefactMismatch, match=sentence):
            rt.infer("a good day", video_if_needed=True)
    with pytest.raises(trml_rt.ArtefactMismatch, match=sentence):
        trml_rt.inspect(folder)


def test_a_copy_of_the_bundle_has_the_record(found, tmp_path):
    copied = trml_rt.copy_bundle(tmp_path / "copy", found[0]).folder
    assert (copied / NEED).read_bytes() == found[1].path.read_bytes()


def run(*words):
    return CliRunner().invoke(program, [*map(str, words)])


def test_the_command_finds_the_threshold_and_infer_asks_for_it(bundle_copy, rows):
    result = run("calibrate-need", bundle_copy, "--data", rows)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("a text is enough from a certainty of ")
    assert lines[2].startswith("  checked  on 60 rows: ")
    assert lines[2].endswith(" points lost")
    assert [points(lost) for lost in (1.0, -2.5)] == ["1.00 points lost", "2.50 points gained"]
    assert lines[3] == f"written: {bundle_copy / NEED}"
    with_threshold(bundle_copy, 0.0)
    words = ("--bundle", bundle_copy, "--text", "a good day", "--video", "absent.mp4", "--json")
    result = run("infer", *words, "--video-if-needed")
    assert json.loads(result.stdout)["inputs"]["video"] == {
        "state": "virtual",
        "reason": "not_needed",
    }
    result = run("inspect", "--bundle", bundle_copy)
    assert "video not needed from a certainty of 0.0000 on" in result.stdout


def few(rows, folder, count, **change):
    lines = [json.loads(line) | change for line in rows.read_text().splitlines()[:count]]
    for line in lines:
        line["video"] = str(rows.parent / line["video"])
    path = folder / "few.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_what_cannot_be_done_ends_in_one_sentence(found, rows, bundle_copy, tmp_path):
    def refusal(bundle, data, *words):
        result = run("calibrate-need", bundle, "--data", data, *words)
        assert "Traceback" not in result.output
        assert result.stderr.count("\n") == 1
        return result.exit_code, result.stderr

    def ends(told, code, sentence):
        assert (told[0], sentence in told[1]) == (code, True), told

    ends(refusal(found[0], rows), 2, "exists already; pass --force")
    ends(refusal(bundle_copy, few(rows, tmp_path, 99)), 2, "99 rows of the split 'valid' have")
    ends(refusal(bundle_copy, rows, "--split", "test"), 2, "0 rows of the split 'test' have")
    ends(refusal(bundle_copy, rows, "--max-drop-points", "101"), 2, "--max-drop-points: must be")
    ends(refusal(trml_rt.Bundle(TINY).folder.parent / "no", rows), 5, "not a bundle")
    shipped = default_bundle()
    ends(refusal(shipped, rows), 2, "copy it first: trml-rt bundle copy")
    (bundle_copy / "model.sig").touch()
    ends(refusal(bundle_copy, rows), 2, "is signed")


def test_rows_on_which_no_text_may_stand_alone_are_a_failed_verification(
    bundle_copy, rows, monkeypatch
):
    monkeypatch.setattr(need, "_answered", lambda *_: told(*[(0.5, False, True)] * 100))
    with pytest.raises(trml_rt.VerificationFailed, match="no text is sure enough"):
        trml_rt.calibrate_need(bundle_copy, rows)
    assert not (bundle_copy / NEED).exists()
