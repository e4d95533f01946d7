"""One stream that many watch, and what becomes of one who is slow."""

from __future__ import annotations

import asyncio
import json

import pytest

import trml_rt
from tests import media
from tests.conftest import TINY
from tests.trml_rt.serve.callers import call
from trml_rt.serve.feed import Feed
from trml_rt.serve.mailbox import Mailbox


@pytest.fixture
def source(tmp_path):
    return media.write_video(tmp_path / "v.mp4", 10, rate=10)


def events(body):
    """Return each server-sent event: its kind and its content."""
    parts = [part.split("\n") for part in body.decode().split("\n\n") if part.startswith("event")]
    return [(part[0].split(": ")[1], json.loads(part[1].split(": ", 1)[1])) for part in parts]


def test_the_stream_of_a_server_is_told_to_its_end(source):
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    texts = [(0.0, 1.0, "what a good day")]
    with trml_rt.serve(TINY, port=0, video=source, text=texts, every=0.5) as server:
        first, second = (events(call(server, "/stream").body) for _ in range(2))
        metrics = call(server, "/metrics").body.decode()
    kind, totals = first[-1]
    assert kind == "end"
    assert totals["answered"] >= 2
    [*_, (_, answer)] = [each for each in first if each[0] == "answer"]
    assert answer["inputs"]["video"]["state"] == "real"
    # Who comes late hears the last of each kind.
    assert {each[0] for each in second} == {"answer", "event", "end"}
    assert second[-1] == first[-1]
    assert f"trml_rt_stream_frames_seen {totals['seen']}" in metrics


def test_a_source_that_cannot_be_opened_is_told(rt, tmp_path):
    def opened(on_event):
        return rt.stream(tmp_path / "absent.mp4", on_event=on_event)

    async def heard(feed):
        return [each async for each in feed.messages()]

    feed = Feed(opened, [].append)
    messages = asyncio.run(heard(feed))
    feed.close()
    [(_, error)] = [each for each in events("".join(messages).encode()) if each[0] == "failed"]
    assert error["kind"] == "InputUnusable"
    assert "absent.mp4" in error["message"]


def test_who_is_slow_misses_the_oldest_messages_and_that_is_counted():
    dropped = []

    async def slow():
        box = Mailbox(dropped.append)
        for number in range(100):
            box.put(str(number))
        box.put(None)
        await asyncio.sleep(0)
        heard = []
        while (message := await box.next()) is not None:
            heard.append(message)
        return heard

    heard = asyncio.run(slow())
    assert heard[-1] == "99"
    assert dropped == ["slow_client"] * (100 - len(heard))
    assert len(heard) < 70
