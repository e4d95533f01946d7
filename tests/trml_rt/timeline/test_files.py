"""What is written of a timeline: JSON, CSV, VTT and a page; whole, and nothing replaced unasked."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from trml_rt import EnvironmentUnfit, UsageError
from trml_rt.inputs.subtitles import read_cues


def test_json_is_the_dictionary(of_scores, tmp_path):
    of_scores.write(tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    assert content == of_scores.to_dict()
    assert {name: value for name, value in content.items() if name != "rows"} == of_scores.head()
    assert content["overall"]["score"] == pytest.approx((0.5 - 0.25 + 2 - 2) / 6, abs=1e-6)
    assert content["options"] == {"text": "s.srt", "segment": "cue"}
    assert content["rows"][0] == {
        **{"start": 0.0, "end": 1.0, "text": None, "score": 0.5, "label": "positive"},
        **{"presence": "video", "reasons": {"text": "no_speech"}, "frames": 2},
    }


def test_a_table_has_a_line_a_segment(of_classes, tmp_path):
    of_classes.write(tmp_path / "t.CSV")
    with (tmp_path / "t.CSV").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert rows[2]["text"] == of_classes.rows[2].text
    assert (rows[1]["label"], rows[1]["probability_glad"], rows[1]["score"]) == (
        "glad",
        *2 * ("0.7",),
    )
    assert (rows[4]["label"], rows[4]["score"], rows[4]["probability_sad"]) == ("", "", "")
    assert (rows[4]["text_reason"], rows[4]["video_reason"]) == ("unknown_text", "ended")


def test_subtitles_carry_the_answers_and_no_markup_of_the_text(of_scores, tmp_path):
    of_scores.write(tmp_path / "t.vtt")
    content = (tmp_path / "t.vtt").read_text()
    assert content.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\npositive +0.50 (text: no")
    assert "<" not in content
    cues = read_cues(tmp_path / "t.vtt")
    assert [(cue.start, cue.end) for cue in cues] == [(r.start, r.end) for r in of_scores.rows]
    assert cues[3].text == "negative -1.00 (video: ended) so far, so good"
    assert cues[4].text.startswith("no answer (text: unknown text) (video: ended)")


def test_half_of_a_surrogate_pair_can_be_written(of_scores, tmp_path):
    rows = (replace(of_scores.rows[2], text="a\ud800b"),)
    for ending in ("json", "csv", "vtt", "html"):
        replace(of_scores, rows=rows).write(tmp_path / f"t.{ending}")
    assert json.loads((tmp_path / "t.json").read_text())["rows"][0]["text"] == "a\ud800b"


def test_a_file_that_is_there_is_replaced_only_by_force(of_scores, tmp_path):
    path = tmp_path / "t.json"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already; name another file, or pass --force"):
        of_scores.write(path)
    assert path.read_text() == "mine"
    of_scores.write(path, force=True)
    assert json.loads(path.read_text())["video"] == str(of_scores.video)


def test_what_a_timeline_is_made_from_is_never_replaced(of_scores, tmp_path):
    subtitles = tmp_path / "s.vtt"
    subtitles.write_text("WEBVTT")
    with pytest.raises(UsageError, match="the timeline is made from it"):
        replace(of_scores, text=str(subtitles)).write(subtitles, force=True)
    assert subtitles.read_text() == "WEBVTT"


def test_a_file_that_cannot_be_written_is_refused(of_scores, tmp_path):
    with pytest.raises(UsageError, match=r"names no format; let it end in \.json, \.csv"):
        of_scores.write(tmp_path / "t.txt")
    with pytest.raises(EnvironmentUnfit, match="cannot be written"):
        of_scores.write(tmp_path / "absent" / "t.json")
    (tmp_path / "d.json").mkdir()
    with pytest.raises(UsageError, match="is no file; name another file"):
        of_scores.write(tmp_path / "d.json", force=True)
    assert not list(tmp_path.glob(".partial*"))
