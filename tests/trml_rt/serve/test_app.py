"""The addresses of a server, and what each answers."""

from __future__ import annotations

import json

import pytest

from tests.trml_rt.serve.callers import call, encoded
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, InputUnusable, UsageError
from trml_rt.serve.refusals import Refused, status_of


def without_times(answer):
    return {name: value for name, value in answer.items() if name != "ms"}


def test_json_is_answered_as_infer_answers(server, rt, picture):
    reply = call(server, "/infer", {"text": "what a day", "video": encoded(picture)})
    assert reply.headers["Content-Type"] == "application/json"
    expected = rt.infer("what a day", picture).to_dict()
    assert without_times(reply.json) == without_times(expected)
    assert reply.json["ms"].keys() == expected["ms"].keys()


def test_an_input_that_cannot_be_used_is_told_in_the_words_of_infer(server, rt):
    reply = call(server, "/infer", {"video": encoded(b"no clip")})
    with pytest.raises(InputUnusable) as error:
        rt.infer(video=b"no clip")
    record = {"kind": "InputUnusable", "message": str(error.value), "reason": "undecodable"}
    assert (reply.status, reply.json) == (422, {"error": record})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputUnusable("", reason="undecodable"), 422),
        (UsageError(""), 400),
        (EnvironmentUnfit(""), 503),
        (ArtefactMismatch(""), 500),
        (Refused(429, "queue_full", ""), 429),
    ],
)
def test_a_fault_of_the_machine_is_no_fault_of_the_request(error, status):
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/infer", "GET", 405),
        ("/infer/batch", "GET", 405),
        ("/v2/models/other", "GET", 404),
        ("/../page.html", "GET", 404),
        ("/stream", "GET", 404),
    ],
)
def test_an_address_that_answers_nothing_says_so_in_json(server, path, method, status):
    reply = call(server, path, method=method)
    assert reply.status == status
    error = reply.json["error"]
    assert error if path.startswith("/v2") else error["message"]


def test_a_text_that_is_no_text_is_no_bug(server):
    for text in ("\ud800", "\0", "\u202e", "a\n" * 1000):
        assert call(server, "/infer", {"text": text}).status in (200, 400, 422)


def test_a_batch_has_a_line_for_each_row_in_order_and_an_error_costs_its_row(server, rt, picture):
    rows = [
        {"id": "\ud800", "text": "what a day"},
        {"id": 2, "video": encoded(picture)},
        {"video": encoded(b"no clip")},
        {"id": "d", "words": "x"},
        {"text": "bad", "video": encoded(picture)},
    ]
    lines = [json.dumps(row) for row in rows]
    body = "\n".join([*lines[:3], "", "[]", *lines[3:]]).encode()
    reply = call(server, "/infer/batch", body)
    assert reply.headers["Content-Type"].startswith("application/jsonl")
    said = [json.loads(line) for line in reply.body.splitlines()]
    assert [each.get("id") for each in said] == ["\ud800", 2, None, None, "d", None]
    kinds = [each["error"]["kind"] if "error" in each else None for each in said]
    assert kinds == [None, None, "InputUnusable", "Refused", "Refused", None]
    assert said[0]["score"] == rt.infer("what a day").to_dict()["score"]
    assert said[5]["score"] == rt.infer("bad", picture).to_dict()["score"]


def test_a_batch_is_answered_while_it_is_larger_than_what_is_worked_on_at_once(server):
    body = b'{"text": "day"}\n' * 50
    said = [json.loads(line) for line in call(server, "/infer/batch", body).body.splitlines()]
    assert {each["label"] for each in said} == {said[0]["label"]}
    assert len(said) == 50


def test_a_batch_of_too_many_rows_is_refused_before_one_is_answered(server):
    reply = call(server, "/infer/batch", b'{"text": "day"}\n' * 51)
    assert (reply.status, reply.json["error"]["reason"]) == (413, "too_many_rows")


def test_an_empty_batch_is_answered_by_nothing(server):
    reply = call(server, "/infer/batch", b"")
    assert (reply.status, reply.body) == (200, b"")


def test_what_the_page_shows_of_the_model_is_told(server, rt):
    about = call(server, "/about").json
    assert about["labels"] == list(rt.labels)
    assert about["backend"] == "onnxruntime"


def test_health_is_told(server):
    assert call(server, "/v2/health/live").json == {"live": True}
    assert call(server, "/v2/health/ready").json == {"ready": True}
