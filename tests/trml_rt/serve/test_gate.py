"""Who may ask, from where, with how many bytes."""

from __future__ import annotations

import base64
import socket
from urllib.parse import urlsplit

import pytest

import trml_rt
from tests.conftest import TINY
from tests.trml_rt.serve.callers import LiveSocket, call

TOKEN = "a-token.of~ours"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that wants a token."""
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    path = tmp_path_factory.mktemp("token") / "token.txt"
    path.write_text(f"{TOKEN}\n")
    with trml_rt.serve(TINY, port=0, token_file=path) as running:
        yield running


@pytest.mark.parametrize("bearer", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer \xff"])
def test_without_the_token_nothing_is_answered(guarded, bearer):
    reply = call(guarded, "/infer", {"text": "day"}, Authorization=bearer)
    assert (reply.status, reply.json["error"]["reason"]) == (401, "token")
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert call(guarded, "/metrics", Authorization=bearer).status == 401


def test_with_the_token_everything_is(guarded):
    reply = call(guarded, "/infer", {"text": "day"}, Authorization=f"Bearer {TOKEN}")
    assert reply.status == 200
    assert call(guarded, "/metrics", Authorization=f"bearer {TOKEN}").status == 200


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/v2/health/ready"])
def test_the_page_and_the_health_need_no_token(guarded, path):
    assert call(guarded, path).status == 200


def test_a_websocket_names_its_token_as_a_browser_can(guarded):
    named = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    with_token = LiveSocket(guarded, "/live", ("trml-rt", f"bearer.{named}"))
    assert with_token.accepted
    assert with_token.opened.subprotocol == "trml-rt"
    with_token.close()
    for protocols in ((), ("trml-rt",), ("bearer.AAAA",), ("bearer.%",)):
        assert LiveSocket(guarded, "/live", protocols).rejected


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_strangers_may_not_ask(server, origin):
    reply = call(server, "/infer", {"text": "day"}, Origin=origin)
    assert (reply.status, reply.json["error"]["reason"]) == (403, "origin")
    assert LiveSocket(server, "/live", origin=origin).rejected


def test_the_servers_own_page_may_ask(server):
    assert call(server, "/infer", {"text": "day"}, Origin=server.address).status == 200


def test_a_name_that_strangers_gave_to_this_machine_is_refused(server):
    reply = call(server, "/about", Host="rebound.example:80")
    assert (reply.status, reply.json["error"]["reason"]) == (421, "host")


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server):
    reply = call(server, "/infer", b"", method="POST", Content_Length=str(2 << 20))
    assert (reply.status, reply.json["error"]["reason"]) == (413, "too_large")
    assert reply.headers["Connection"] == "close"


def test_a_body_of_unknown_length_is_read_up_to_the_limit(server):
    place = urlsplit(server.address)
    with socket.create_connection((place.hostname, place.port), timeout=30) as caller:
        head = "POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        caller.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"40000\r\n" + b" " * 0x40000 + b"\r\n"
        for _ in range(5):
            caller.sendall(chunk)
        assert caller.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("name", ["Host", "Origin"])
def test_an_address_that_is_none_is_refused(server, name):
    assert call(server, "/about", **{name: "http://["}).status in (403, 421)


def test_a_client_that_goes_away_within_its_body_is_counted_and_no_bug(server, caplog):
    place = urlsplit(server.address)
    counted = 'trml_rt_refused_total{cause="gone"}'
    with socket.create_connection((place.hostname, place.port), timeout=30) as caller:
        head = "POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        caller.sendall(f"{head}Content-Length: 9\r\n\r\n{{".encode())
    while counted not in call(server, "/metrics").body.decode():
        pass
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_refusal_below_v2_is_the_sentence_alone(server):
    reply = call(server, "/v2", Origin="http://elsewhere.example")
    assert reply.json == {"error": "pages of http://elsewhere.example may not ask this server"}
