"""Texts with times: what is read of SRT, VTT and JSON lines, and what is said aloud."""

from __future__ import annotations

import pytest

from trml_rt import InputUnusable
from trml_rt.inputs.subtitles import Cue, cue_of_line, read_cues, spoken

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>What</i> a day,
and what a night.

2
00:00:03,000 --> 00:00:04,000
[door closes]

3
01:00:00,5 --> 01:00:01,000 X1:40 X2:600
{\\an8}- Good.
- (laughs)
"""

VTT = """WEBVTT - of a test
Kind: captions

NOTE a comment
that says 00:00 --> nothing

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.500 align:start
<v Ann>Tom &amp; I</v>

00:03.000 --> 00:04.000
♪ la la ♪
"""


def read(tmp_path, content, name="s"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_cues(path)


@pytest.mark.parametrize("change", [str, lambda s: s.replace("\n", "\r\n"), lambda s: "\ufeff" + s])
def test_srt_gives_times_and_what_is_said(tmp_path, change):
    assert read(tmp_path, change(SRT)) == [
        Cue("What a day, and what a night.", 1.0, 2.5),
        Cue("Good.", 3600.5, 3601.0),
    ]


def test_vtt_gives_times_and_what_is_said(tmp_path):
    assert read(tmp_path, VTT) == [Cue("Tom & I", 1.0, 2.5)]


def test_a_cue_without_an_empty_line_before_it_is_its_own(tmp_path):
    content = "1\n00:01.0 --> 00:02.0\na\n2\n00:03.0 --> 00:04.0\nb\n"
    assert [cue.text for cue in read(tmp_path, content)] == ["a", "b"]


def test_json_lines_give_what_times_they_have(tmp_path):
    content = '{"t": 1, "end": 2.5, "text": "a  day"}\n\n{"t": 3, "text": "b"}\n{"text": "c"}\n'
    assert read(tmp_path, content) == [Cue("a day", 1, 2.5), Cue("b", 3, None), Cue("c")]


def test_a_line_that_is_no_json_is_the_text_itself():
    assert cue_of_line("  what a \t day\n", "line 1") == Cue("what a day")
    assert cue_of_line(" \n", "line 1") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<b>a</b> <font color='red'>day</font>", "a day"),
        ("[music] a day [applause]", "a day"),
        ("(sighs)\na day (or so)", "a day (or so)"),
        ("♪ a song\nno song", "no song"),
        (">> a\n- b -c", "a b -c"),
        ("a &lt; b&nbsp;c", "a < b c"),
        ("[music]", ""),
    ],
)
def test_markup_and_sounds_are_not_said(text, said):
    assert spoken(text) == said


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("a text without times", "neither SRT, VTT nor JSON lines"),
        ("", "holds no text"),
        (b"\xff\xfea", "not UTF-8 at byte 0"),
        ("1\n00:00:03,0 --> 00:00:02,0\na\n", "line 2: ends before it begins"),
        ("1\n00:00:01,0 --> 00:00:02,0\na\n\n2\n00:00:x --> 1\nb\n", "line 6: has times that"),
        ('{"t": 1, "text": "a"}\n{"t"', "line 2: is no JSON"),
        ('{"t": 1}', "line 1: has no text"),
        ('{"t": true, "text": "a"}', "True is no time in seconds"),
        ('{"t": 1e999, "text": "a"}', "inf is no time"),
        ('{"t": 1' + "0" * 400 + ', "text": "a"}', r"line 1: 10{39} is no time in seconds"),
        ('{"t": ' * 100_000, "line 1: is no JSON"),  # nested deeper than Python reads
        ('{"end": 1, "text": "a"}', "ends before it begins"),
        ('{"start": 1, "text": "a"}', "has the key 'start'"),
    ],
)
def test_a_wrong_file_is_refused_with_the_line(tmp_path, content, match):
    with pytest.raises(InputUnusable, match=match):
        read(tmp_path, content)


def test_a_file_that_is_absent_is_refused(tmp_path):
    with pytest.raises(InputUnusable, match="does not exist"):
        read_cues(tmp_path / "absent.srt")


@pytest.mark.parametrize("mark", ["<", "[", "{\\", "("])
def test_marks_that_never_end_take_time_that_grows_with_the_length(mark):
    assert len(spoken(mark * 500_000)) >= 500_000
