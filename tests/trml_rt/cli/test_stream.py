"""The command `trml-rt stream`: what it prints, how it ends, and what SIGTERM does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

import trml_rt
from tests import media
from tests.conftest import TINY
from trml_rt.answer import Reason
from trml_rt.cli import logs, stream_view
from trml_rt.cli import trml_rt as program
from trml_rt.stream.answer import StreamEvent, Totals


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("TRML_RT_BUNDLE", str(TINY))
    monkeypatch.chdir(tmp_path)
    media.write_video(tmp_path / "v.mp4", 20, rate=10)
    (tmp_path / "buffer").touch()
    (tmp_path / "v.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\na good day\n")
    return lambda line: CliRunner().invoke(program, ["stream", *line.split()])


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_answer_and_event_is_a_line_and_the_last_has_the_sum(run):
    result = run("--video v.mp4 --text v.srt --every 0.5 --text-hold 0 --window 2")
    assert result.exit_code == 0, result.output
    told = [(line.get("event"), line.get("state")) for line in lines(result)]
    assert told == [
        *(("video", "connecting"), ("video", "running"), (None, None), ("text", "running")),
        *((None, None), (None, None), ("text", "ended"), (None, None)),
        *(("video", "ended"), ("end", None)),
    ]
    answers = [line for line in lines(result) if "seq" in line]
    assert [answer["spoken"] for answer in answers] == [None, "a good day", "a good day", None]
    assert [answer["t0"] for answer in answers] == [0.0, 0.0, 0.5, 1.0]
    assert lines(result)[-1] == {
        **{"event": "end", "seen": 20, "answered": 4, "waiting": 0},
        "dropped": {"between": 16},
    }


def test_a_recorded_stream_is_proved_by_its_replay(run, tmp_path):
    assert run("--video v.mp4 --record r.jsonl").exit_code == 0
    result = run("--replay r.jsonl --json")
    assert result.exit_code == 0
    assert lines(result) == [
        {"answers": 20, "differing": 0, "largest_difference": 0.0, "equal": True, "cut": False}
    ]
    assert run("--replay r.jsonl").stdout == "20 answers are those of infer, bit for bit\n"
    whole = (tmp_path / "r.jsonl").read_bytes()
    (tmp_path / "r.jsonl").write_bytes(whole[:-9])
    assert run("--replay r.jsonl").stdout.splitlines() == [
        "19 answers are those of infer, bit for bit",
        "the record breaks off in its last line, which is left out",
    ]
    (tmp_path / "r.jsonl").write_bytes(whole)
    frames = tmp_path / "r.jsonl.frames"
    frames.write_bytes(bytes(frames.stat().st_size))
    result = run("--replay r.jsonl --json")
    assert result.exit_code == 4
    assert lines(result)[0]["equal"] is False
    assert "recorded answers are not those of infer" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("", 2, "neither --video nor --text is given"),
        ("--replay r --video v.mp4", 2, "--video"),
        ("--replay r --every 1", 2, "--every"),
        ("--replay absent", 2, "absent: cannot be read"),
        ("--video - --text -", 2, "cannot both be standard input"),
        ("--video ftp://x/y", 2, "trml-rt: --video: the scheme ftp: is not read"),
        ("--video absent.mp4", 6, "absent.mp4: cannot be read"),
        ("--video v.mp4 --text v.mp4", 6, "v.mp4: not UTF-8"),
        ("--video v.mp4 --window 9", 2, "takes at most 4 frames, not 9"),
        ("--video v.mp4 --max-pixels 100", 6, "v.mp4: its 64 x 48 pixels are too many"),
        ("--video v.mp4 --max-memory 0", 2, "--max-memory: must be a whole number above 0"),
        ("--replay r --max-file 1", 2, "--max-file: has no meaning with --replay"),
        ("--video v.mp4 --require-signature v.srt", 2, "v.srt: is not a public key"),
        ("--video v.mp4 --window 0", 2, "trml-rt: --window: must be a whole number"),
        ("--video v.mp4 --every nan", 2, "trml-rt: --every: must be a number"),
        ("--video v.mp4 --text-hold nan", 2, "trml-rt: --text-hold: must be a number"),
        ("--video v.mp4 --record v.srt", 2, "v.srt: exists"),
        ("--video v.mp4 --record ./buffer", 2, "trml-rt: buffer: exists"),  # not --buffer
        ("--video v.mp4 --record=buffer", 2, "trml-rt: buffer: exists"),
        ("--video v.mp4 --buffer 0", 2, "trml-rt: --buffer: must be a whole number"),
        ("--video v.mp4 --record no/r", 3, "no/r: cannot be written"),
    ],
)
def test_what_cannot_be_done_ends_in_one_sentence_and_its_code(run, words, code, sentence):
    result = run(words)
    assert result.exit_code == code, result.output
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_a_video_that_cannot_be_opened_says_why_in_its_event(run):
    last = lines(run("--video absent.mp4 --json"))[-1]
    assert (last["state"], last["reason"]) == ("failed", "lost")
    assert "absent.mp4: cannot be read" in last["message"]


def test_a_camera_that_cannot_be_reached_ends_in_6_and_its_credentials_are_nowhere(run):
    result = run("--video rtsp://user:geheim@127.0.0.1:9/x?token=abcdef --json")
    assert result.exit_code == 6
    assert "rtsp://127.0.0.1:9/x: cannot be read" in result.stderr
    assert lines(result)[-1]["state"] == "failed"
    for secret in ("geheim", "abcdef", "user"):
        assert secret not in result.output


def test_a_disk_that_is_full_is_told_and_the_stream_goes_on(run, monkeypatch):
    from trml_rt.stream import record

    written = record._write_all

    def full(file, data):
        if b'"seq": 3' in bytes(data):
            raise OSError(28, "No space left on device")
        written(file, data)

    monkeypatch.setattr(record, "_write_all", full)
    result = run("--video v.mp4 --record r.jsonl --json")
    assert result.exit_code == 3
    assert [line["event"] for line in lines(result) if line.get("state") == "failed"] == ["record"]
    assert lines(result)[-1]["answered"] == 20
    assert "No space left on device" in result.stderr


def start(*words):
    environment = os.environ | {
        "TRML_RT_BUNDLE": str(TINY),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "trml_rt", "stream", *words],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_texts_are_answered_as_they_come_and_a_signal_ends_the_wait(number, code):
    with start("--text", "-") as process:
        process.stdin.write(b'{"text": "a good day"}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["state"] == "running"
        assert json.loads(process.stdout.readline())["spoken"] == "a good day"
        process.stdin.write(b"a bad day\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["spoken"] == "a bad day"
        process.send_signal(number)
        rest, complaints = process.stdout.read(), process.stderr.read()
        assert process.wait(30) == code, complaints
    if code == 0:
        assert json.loads(rest.splitlines()[-1])["event"] == "end"
        assert complaints == b""
    else:
        assert complaints.strip() == b"trml-rt: interrupted"


def test_lines_that_are_no_texts_are_told_and_counted_and_the_stream_goes_on():
    wrong = (b"\xff", b"a" * 1_100_000, b'{"text": 3}', b"{" * 5000)
    with start("--text", "-") as process:
        out, complaints = process.communicate(b"\n".join((*wrong, b"a good day")), timeout=60)
    assert (process.returncode, complaints) == (0, b"")
    told = [json.loads(line) for line in out.splitlines()]
    refused = [line for line in told if line.get("state") == "refused"]
    assert [line["reason"] for line in refused] == ["undecodable"] * 4
    for number, sentence in enumerate(
        ("is not UTF-8 at byte 0", "is longer than 1 MB", "has no text", "is no JSON"), 1
    ):
        assert refused[number - 1]["message"].startswith(f"text {number}: {sentence}")
    assert [line["spoken"] for line in told if "seq" in line] == ["a good day"]
    assert told[-1]["refused_texts"] == 4


def test_a_stream_that_waits_is_not_told_to_be_working_still(run):
    assert run("--replay absent").exit_code == 2
    assert not logs._silence_expected.is_set()
    assert run("--video v.mp4").exit_code == 0
    assert logs._silence_expected.is_set()


def test_the_live_line_shows_the_newest_answer_cut_to_the_terminal(rt, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    line = stream_view.LiveLine()
    line.event(StreamEvent("video", "retrying", Reason.LOST, 0, "camera\x1b[31m is gone"))
    with rt.stream(text=["a good day", "\x1b[2J" + "a bad day " * 20]) as opened:
        for answer in opened:
            line.answer(answer)
    line.end(Totals(5, 3, 0, {"buffer": 2}))
    shown = capsys.readouterr().out
    assert shown.count("\x1b") == shown.count("\x1b[K") == 3
    pieces = [piece.strip("\r\n") for piece in shown.split("\x1b[K")]
    assert pieces[1] == r"video retrying (lost) camera\x1b[31m is gone"
    assert pieces[2].startswith("     0.00 s  negative  -0.")
    assert len(pieces[3].split("\n")[0]) == 59
    assert pieces[3].endswith("5 frames: 3 answered, 2 dropped (2 buffer)")


@pytest.fixture
def rt():
    with trml_rt.load(TINY) as runtime:
        yield runtime
