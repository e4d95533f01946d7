"""A stream of one client over a WebSocket."""

from __future__ import annotations

import threading

import pytest

from tests.trml_rt.serve.callers import LiveSocket
from tests.trml_rt.serve.conftest import picture_of


def opened(server, query):
    while server._rooms.watching:  # the client of the test before
        threading.Event().wait(0.001)
    return LiveSocket(server, f"/live?{query}")


@pytest.fixture
def live(server):
    socket = opened(server, "every=0.1&stall_after=60")
    assert socket.accepted
    yield socket
    socket.close()


def is_answer(message):
    return "seq" in message


def test_pictures_and_texts_are_answered_as_they_come(live, rt, picture):
    live.frame(picture, 1.0)
    first = live.hear_until(is_answer)
    assert (first["t1"], first["inputs"]["video"]["state"]) == (1.0, "real")
    assert first["score"] == rt.infer(video=picture).to_dict()["score"]
    live.say(text="what a day", t=1.5)
    live.frame(picture_of((0, 0, 90)), 2.0)
    second = live.hear_until(is_answer)
    assert (second["spoken"], second["engine_set"]) == ("what a day", "text_video")
    live.say(stop=True)
    end = live.hear_until(lambda message: message.get("event") == "end")
    assert end["answered"] >= 1
    assert live.hear() == 1000


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (lambda live: live.frame(b"no picture", 1.0), "the bytes of the video"),
        (lambda live: live.frame(b"", 1.0), "a frame: must be eight bytes"),
        (lambda live: live.frame(b"x", float("nan")), "its time must be a number"),
        (lambda live: live.say(words="x"), "unknown keys words"),
        (lambda live: live.say(text=7), "text: must be a string"),
        (lambda live: live.say(text="x", t="soon"), "t"),
    ],
)
def test_what_makes_no_sense_is_told_and_the_stream_goes_on(live, picture, send, words):
    send(live)
    assert words in live.hear_until(lambda message: "error" in message)["error"]["message"]
    live.frame(picture, 5.0)
    assert live.hear_until(is_answer)["t1"] == 5.0


def test_one_client_more_than_may_watch_is_sent_away(live, server):
    other = LiveSocket(server, "/live")
    assert other.rejected or other.hear() == 1013


@pytest.mark.parametrize("query", ["every=soon", "every=-1", "every=inf"])
def test_an_option_that_makes_no_sense_is_told(server, query):
    socket = opened(server, query)
    assert "every" in socket.hear()["error"]["message"]
    assert socket.hear() == 1008
