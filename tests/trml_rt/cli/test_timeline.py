"""The command `trml-rt timeline`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tests import media
from tests.conftest import TINY
from trml_rt.cli import trml_rt as program


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("TRML_RT_BUNDLE", str(TINY))
    monkeypatch.chdir(tmp_path)
    media.write_video(tmp_path / "v.mp4", 40, rate=10)
    (tmp_path / "v.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\na good day\n")
    return lambda line: CliRunner().invoke(program, ["timeline", *line.split()])


def test_people_are_told_what_follows_from_all_segments(run):
    result = run("v.mp4 --text v.srt")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith("over 0:04.0 in 3 segments")
    assert lines[1].split() == ["present", "text_video", "25", "%,", "video", "75", "%"]
    assert [line.split()[:3] for line in lines[2:6]] == [
        [f"0:0{second}.0", "to", f"0:0{second + 1}.0"] for second in range(4)
    ]


def test_json_has_the_head_and_the_rows_and_so_has_the_file(run, tmp_path):
    result = run("v.mp4 --text v.srt --segment 2 --json --out t.json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["options"] == {"text": "v.srt", "segment": 2.0}
    assert [row["text"] for row in content["rows"]] == ["a good day", None]
    assert json.loads((tmp_path / "t.json").read_text()) == content


def test_a_page_is_written_beside_the_video(run, tmp_path):
    assert run("v.mp4 --text v.srt --out v.html").stdout.endswith("written: v.html\n")
    assert 'src="v.mp4"' in (tmp_path / "v.html").read_text()
    again = run("v.mp4 --out v.html")
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    assert run("v.mp4 --out v.html --force").exit_code == 0


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("absent.mp4 --out t.txt", 2, "t.txt: names no format"),  # before the video is looked at
        ("v.mp4 --max-pixels 100", 6, "v.mp4: its 64 x 48 pixels are too many"),
        ("v.mp4 --max-memory 0", 2, "--max-memory: must be a whole number above 0"),
        ("v.mp4 --require-signature v.srt", 2, "v.srt: is not a public key"),
        ("v.mp4 --segment word", 2, "trml-rt: --segment: must be cue, or 0.1 seconds or more"),
        ("v.mp4 --force", 2, "--force: has no meaning without --out"),
        ("v.mp4 --text v.mp4", 6, "v.mp4"),
        ("v.mp4 --text absent.srt", 6, "absent.srt"),
        ("v.mp4 --text embedded", 6, "has no track of texts"),
        ("v.srt", 6, "v.srt: not a video or picture"),
        ("absent.mp4", 6, "absent.mp4: cannot be read"),
    ],
)
def test_bad_input_ends_in_one_sentence(run, line, code, words):
    result = run(line)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
