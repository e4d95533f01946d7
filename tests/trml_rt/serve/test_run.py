"""Starting and stopping: where a server listens, and that it loses no request."""

from __future__ import annotations

import asyncio
import builtins
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

import trml_rt
from tests.conftest import TINY
from tests.trml_rt.serve.callers import call, connect

pytest.importorskip("uvicorn", reason="needs the extra serve")


def test_a_server_on_a_unix_socket_leaves_no_file_behind(tmp_path):
    path = tmp_path / "s.sock"
    with trml_rt.serve(TINY, unix=path) as server:
        assert server.address == f"unix:{path}"
        assert call(server, "/infer", {"text": "day"}).status == 200
        with pytest.raises(trml_rt.EnvironmentUnfit, match="nobody can listen there"):
            trml_rt.serve(TINY, unix=path)
    assert not path.exists()


def test_a_socket_that_a_killed_server_left_is_replaced(tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with trml_rt.serve(TINY, unix=path) as server:
        assert call(server, "/v2").status == 200


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"host": "no such host."}, trml_rt.UsageError, "is no address of a machine"),
        ({"host": "192.0.2.1"}, trml_rt.EnvironmentUnfit, "nobody can listen there"),
        ({"port": 70_000}, trml_rt.UsageError, "port: must be a whole number, 0 to 65535"),
        ({"queue": 0}, trml_rt.UsageError, "queue: must be"),
        ({"token_file": "absent"}, trml_rt.UsageError, "absent: cannot be read"),
        ({"token_file": TINY / "model.json"}, trml_rt.UsageError, "its first line is no token"),
        ({"unix": TINY / "model.json"}, trml_rt.UsageError, "is there already, and no socket"),
        ({"video": 7}, trml_rt.UsageError, "video: must be a path"),
        ({"text": "absent.srt"}, trml_rt.InputUnusable, "absent.srt"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_a_sentence(options, kind, words):
    with pytest.raises(kind, match=words):
        trml_rt.serve(TINY, **{"port": 0, **options})


def test_a_port_that_is_taken_is_named(server):
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(trml_rt.EnvironmentUnfit, match=f"127.0.0.1 port {port}: nobody can"):
        trml_rt.serve(TINY, port=port)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    real = builtins.__import__

    def importing(name, *arguments, **options):
        if name == "wsproto":
            raise ModuleNotFoundError("No module named 'wsproto'", name="wsproto")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(trml_rt.EnvironmentUnfit, match=r"needs the package wsproto.*\[serve\]"):
        trml_rt.serve(TINY, port=0)


def test_closing_answers_what_was_accepted_and_twice_is_fine():
    with trml_rt.serve(TINY, port=0) as server:
        rows = b'{"text": "day"}\n' * 300
        caller = connect(server)
        caller.request("POST", "/infer/batch", rows)
        while not server._rooms.desk.inside:
            threading.Event().wait(0.001)
        server.close()
        assert len(caller.getresponse().read().splitlines()) == 300
        assert server.wait() == trml_rt.ServeReport(accepted=1, responded=1)
        caller.close()
    with pytest.raises(OSError, match="refused"):
        call(server, "/v2")


def test_a_request_on_which_nothing_moves_does_not_keep_a_server_from_ending(monkeypatch):
    async def never(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr(sys.modules["trml_rt.serve.run"], "_BODY_SECONDS", 0.1)
    limits = trml_rt.MediaLimits(seconds=0.1)
    replies = []

    def ask():
        replies.append(call(server, "/infer", {"text": "day"}))

    with trml_rt.serve(TINY, port=0, limits=limits) as server:
        monkeypatch.setattr(server._rooms.desk, "answer", never)
        caller = threading.Thread(target=ask)
        caller.start()
        while not server._rooms.desk.inside:
            threading.Event().wait(0.001)
    caller.join(30)
    [reply] = replies
    assert (reply.status, reply.json["error"]["reason"]) == (503, "stopped")
    assert server.wait() == trml_rt.ServeReport(accepted=1, responded=0)


@pytest.fixture
def command():
    """The command, in a process of its own, which listens on a free port."""
    words = [
        sys.executable,
        "-m",
        "trml_rt",
        "serve",
        "--port",
        "0",
        "--bundle",
        str(TINY),
        "--json",
    ]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    yield process
    process.kill()
    process.communicate()


class At:
    """Where a server listens."""

    def __init__(self, address):
        self.address = address


def test_sigterm_under_load_loses_no_accepted_request(command):
    server = At(json.loads(command.stdout.readline())["address"])
    answered, refused, wrong = [], [], []

    def ask():
        while True:
            try:
                reply = call(server, "/infer", {"text": "what a day"})
            except ConnectionError:
                refused.append(1)
                return
            (answered if reply.status == 200 else wrong).append(reply.json)
            if len(answered) == 40:
                command.send_signal(signal.SIGTERM)

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for each in callers:
        each.start()
    for each in callers:
        each.join(60)
    told, complaint = command.communicate(timeout=60)
    count = len(answered)
    assert (len(refused), wrong, count > 40) == (8, [], True)
    assert json.loads(told) == {"accepted": count, "responded": count}
    assert command.returncode == 0
    assert "Traceback" not in complaint


def test_ctrl_c_ends_it_as_it_ends_every_command(command):
    command.stdout.readline()
    command.send_signal(signal.SIGINT)
    _, complaint = command.communicate(timeout=60)
    assert command.returncode == 130
    assert complaint.endswith("trml-rt: interrupted\n")


def test_a_report_has_plain_values():
    report = trml_rt.ServeReport(accepted=2, responded=2)
    assert json.dumps(report.to_dict()) == '{"accepted": 2, "responded": 2}'
