"""What a request may say, and what is refused in a sentence."""

from __future__ import annotations

import json

import pytest

from tests.trml_rt.serve.callers import BOUNDARY, call, encoded, form
from trml_rt.serve.asked import ask_of, parsed
from trml_rt.serve.refusals import Refused


def test_json_becomes_a_row(picture):
    ask = ask_of({"text": "a", "video": encoded(picture), "degrade": True, "deadline_ms": 5})
    assert (ask.text, ask.video, ask.degrade, ask.deadline_ms) == ("a", picture, True, 5.0)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"txt": "a"}, "unknown keys txt; a row has text, video, degrade, deadline_ms"),
        ({"text": 1}, "text: must be a string"),
        ({"text": "a" * 1_000_001}, "text: has more than 1000000 characters"),
        ({"video": [1]}, "video: must be the bytes"),
        ({"video": "/etc/passwd!"}, "video: is no base64"),
        ({"text": "a", "degrade": "yes"}, "degrade: must be true or false"),
        ({"text": "a", "deadline_ms": 0}, "deadline_ms: must be a number"),
        ({"text": "a", "deadline_ms": float("nan")}, "deadline_ms: must be a number"),
        ({"text": "a", "deadline_ms": True}, "deadline_ms: must be a number"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(row, words):
    with pytest.raises(Refused, match=words) as refused:
        ask_of(row)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"\xff", b'{"text": NaN}', b"[" * 100_000]
)
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(Refused, match="the body is"):
        parsed(body)


def test_a_form_is_answered_as_infer_answers(server, rt, picture):
    reply = call(server, "/infer", **form(text=b"what a day", video=picture))
    expected = rt.infer("what a day", picture).to_dict()
    assert {**reply.json, "ms": 0} == {**expected, "ms": 0}


def test_words_of_a_form_are_understood(server):
    reply = call(server, "/infer", **form(text=" ", video=b"no clip", degrade="true"))
    assert (reply.status, reply.json["error"]["reason"]) == (422, "empty_text")
    assert call(server, "/infer", **form(text="day", deadline_ms="60000")).status == 200


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"words": "a"}, 400, "unknown fields words"),
        ({"text": "a", "degrade": "perhaps"}, 400, "degrade: must be true or false"),
        ({"text": "a", "deadline_ms": "soon"}, 400, "deadline_ms: must be a number"),
        ({"video": "clip.mp4"}, 400, "video: must be a file"),
        ({"text": b"\xff\xfe"}, 422, "text: not UTF-8"),
        ({}, 400, "neither text nor video is given"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(server, fields, status, words):
    reply = call(server, "/infer", **form(**fields))
    assert reply.status == status
    assert words in reply.json["error"]["message"]


def test_a_form_that_gives_a_field_twice_is_refused(server):
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="text"\r\n\r\na\r\n'
    body = form()
    body["body"] = (2 * part).encode() + body["body"]
    assert "is given twice" in call(server, "/infer", **body).json["error"]["message"]


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_another_kind_of_body_is_refused(server, kind):
    reply = call(server, "/infer", b"text=a", Content_Type=kind)
    assert (reply.status, reply.json["error"]["reason"]) == (415, "media_type")


@pytest.mark.parametrize(
    "body",
    [b"", b"no part", f"--{BOUNDARY}\r\n".encode(), f"--{BOUNDARY}\r\nA: b\r\n\r\nc".encode()],
)
def test_a_broken_form_is_refused(server, body):
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    reply = call(server, "/infer", body, Content_Type=kind)
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["message"]
