"""Where a server listens, and by which names it is called."""

from __future__ import annotations

import socket

import pytest

from trml_rt.errors import EnvironmentUnfit, UsageError
from trml_rt.serve.listening import address_of, hosts_of, is_loopback, listen, token_in


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_only_a_server_for_this_machine_holds_callers_to_its_names(host, loopback):
    assert is_loopback(host) == loopback
    assert (hosts_of(host) is not None) == loopback


def test_port_0_takes_a_port_that_is_free():
    with listen("127.0.0.1", 0, None) as one, listen("127.0.0.1", 0, None) as other:
        assert address_of(one).startswith("http://127.0.0.1:")
        assert address_of(one) != address_of(other)


def test_small_parts_of_a_response_are_sent_at_once():
    # As asyncio does for TCP alone; else each response waits 40 ms for a packet of its client.
    with listen("127.0.0.1", 0, None) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_a_path_that_no_socket_can_have_is_refused(tmp_path):
    with pytest.raises(EnvironmentUnfit, match="AF_UNIX path too long"):
        listen("", 0, tmp_path / ("s" * 200))


@pytest.mark.parametrize(
    ("content", "token"),
    [(b"abc", "abc"), (b" a.b-c~d+e/f== \r\nmore", "a.b-c~d+e/f=="), (b"abc\n", "abc")],
)
def test_the_token_is_the_first_line_of_its_file(tmp_path, content, token):
    (tmp_path / "t").write_bytes(content)
    assert token_in(tmp_path / "t") == token


@pytest.mark.parametrize("content", [b"", b"\n", b"a b", b"\xff", "schlüssel".encode(), b"a\0"])
def test_what_no_header_can_bear_is_no_token(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(UsageError, match="its first line is no token"):
        token_in(tmp_path / "t")
