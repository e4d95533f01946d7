"""Load a server with many mixed clients, with one, and with bad uploads.

    python benchmarks/serve.py --out benchmarks/results/serve.json
        [--clients 64] [--seconds 8] [--rounds 5] [--bad 1000] [--bundle DIR]

A third of the requests has a text, a third a picture, a third both. Clients run in a process of
their own, over loopback, and ask again as soon as they are answered. The server answers by two
schedulers in turn, in one process: by its own, with a queue for each engine set, and by one queue
whose batches are cut where the inputs change. Both learn how many rows pay to run together. The
ratio is the median over rounds. Each answer is compared with that of `infer` alone. The same is
measured without HTTP and decoding, on rows that are prepared already.

Then one client asks alone, and its time is held against `infer` in this process and against the
emptiest request. At last come bad uploads, and the memory of the server must stay.
It ends with exit code 1 where an answer differs, or a request is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

import trml_rt
from trml_rt.bundle.folder import default_bundle
from trml_rt.serve.costs import Costs, limits_of
from trml_rt.serve.lane import Kind, Lane, Waiting, kind_of

TEXTS = (
    "what a good day",
    "I did not expect much, and got less.",
    "The people were kind, and the food was excellent.",
    "no",
    "It rained all week, but we had a lovely time all the same.",
    "never again",
    "So far, so good; let us see what comes next, I am curious.",
    "This is the worst service that I have ever met with.",
)
BOUNDARY = "a-boundary"
BATCH = 16  # the default of a server
TOLERANCE = 1e-6
Row = tuple[str | None, bytes | None]


class CutLane(Lane):
    """One queue: a batch ends where the inputs change, as that of other servers does."""

    def _take(self, queues: dict[Kind, list[Waiting]]) -> list[Waiting]:
        waiting = sorted((w for queue in queues.values() for w in queue), key=lambda w: w.number)
        kind = kind_of(waiting[0].row)
        group: list[Waiting] = []
        for each in waiting[: self._costs.most(kind)]:
            if kind_of(each.row) != kind:
                break
            group.append(each)
        queues[kind] = [each for each in queues[kind] if each not in group]
        if not queues[kind]:
            del queues[kind]
        return group


LANES: dict[str, type[Lane]] = {"by_engine_set": Lane, "cut_where_inputs_change": CutLane}


def rows() -> list[Row]:
    """Return the rows that are asked, a third of each kind, in an order that mixes them."""
    make, pictures = np.random.default_rng(0), []
    for _ in TEXTS:
        pixels = make.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((320, 240)).save(file, "JPEG")
        pictures.append(file.getvalue())
    found: list[Row] = [(text, None) for text in TEXTS]
    found += [(None, picture) for picture in pictures]
    found += zip(TEXTS, pictures, strict=True)
    random.Random(0).shuffle(found)
    return found


def form(row: Row) -> bytes:
    """Return the body of a form."""
    parts = []
    for name, value in zip(("text", "video"), row, strict=True):
        if value is not None:
            data = value if isinstance(value, bytes) else value.encode()
            file = '; filename="a"' if isinstance(value, bytes) else ""
            head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
            parts.append(head.encode() + data + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def request(path: str, body: bytes | None, kind: str = "") -> bytes:
    """Return the bytes of a request."""
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body is not None:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + (body or b"")


FORM = f"multipart/form-data; boundary={BOUNDARY}"


# The clients, in a process of their own.


async def ask(address: str, message: bytes, line: list[Any]) -> tuple[int, bytes]:
    """Send a request on the connection in `line`, which is opened on need; return the response."""
    if not line:
        place = urlsplit(address)
        line += await asyncio.open_connection(place.hostname, place.port)
    reader, writer = line
    writer.write(message)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    body = await reader.readexactly(length)
    if "connection: close" in head:
        writer.close()
        line.clear()
    return int(head.split()[1]), body


async def clients(address: str, count: int, seconds: float) -> dict[str, Any]:
    """Ask for so long; return what was answered, and in which time."""
    asked = rows()
    messages = [request("/infer", form(row), FORM) for row in asked]
    answers: list[tuple[int, float, str]] = []
    times: list[float] = []
    failed: list[str] = []
    until = time.monotonic() + seconds

    async def client(number: int) -> None:
        order, line = random.Random(number), []
        while time.monotonic() < until:
            place = order.randrange(len(messages))
            start = time.perf_counter()
            status, body = await ask(address, messages[place], line)
            times.append((time.perf_counter() - start) * 1e3)
            said = json.loads(body)
            if status == 200:
                answers.append((place, said["score"], said["label"]))
            else:
                failed.append(str(said))

    start = time.perf_counter()
    await asyncio.gather(*map(client, range(count)))
    spent = time.perf_counter() - start
    return {"answers": answers, "failed": failed, "seconds": spent, "ms": percentiles(times)}


async def lone(address: str, seconds: float) -> dict[str, Any]:
    """Ask for a text, and for the health, in turn from one client; return the milliseconds."""
    messages = {
        "text": request("/infer", json.dumps({"text": TEXTS[0]}).encode(), "application/json"),
        "health": request("/v2/health/live", None),
    }
    times: dict[str, list[float]] = {name: [] for name in messages}
    line: list[Any] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for name, message in messages.items():
            start = time.perf_counter()
            await ask(address, message, line)
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: percentiles(each) for name, each in times.items()}


async def bad(address: str, count: int) -> dict[str, Any]:
    """Send bad uploads; return how many were answered by which status."""
    make = random.Random(0)
    picture = next(each for _, each in rows() if each is not None)
    kinds = [
        ("/infer", form((None, make.randbytes(200_000))), FORM),
        ("/infer", form((None, picture[: len(picture) // 3])), FORM),
        ("/infer", form((None, b"GIF89a\xff\xff\xff\xff")), FORM),
        ("/infer", form((None, b"")), FORM),
        ("/infer", form((None, picture))[:-60], FORM),
        ("/infer", b"[" * 100_000, "application/json"),
        ("/infer", b'{"video": "' + b"A" * 100_000 + b'"}', "application/json"),
        ("/infer", make.randbytes(1000), "application/octet-stream"),
        ("/v2/models/x/infer", make.randbytes(100_000), "application/octet-stream"),
    ]
    statuses: dict[str, int] = {}
    line: list[Any] = []
    for number in range(count):
        status, _ = await ask(address, request(*kinds[number % len(kinds)]), line)
        statuses[str(status)] = statuses.get(str(status), 0) + 1
    return statuses


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return p50, p90 and p99."""
    ranks = np.percentile(times, (50, 90, 99))
    return dict(zip(("p50", "p90", "p99"), (round(float(r), 2) for r in ranks), strict=True))


WORK = {"clients": clients, "lone": lone, "bad": bad}


def in_a_process(work: str, *arguments: Any) -> dict[str, Any]:
    """Run clients in a process of their own."""
    words = [sys.executable, __file__, "--work", json.dumps([work, *arguments])]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# The server, in this process.


def costs_of(runtime: trml_rt.Runtime) -> Costs:
    """Return what learns how many rows pay to run together; each scheduler has its own."""
    return Costs(limits_of(runtime.bundle.manifest, BATCH))


@contextlib.contextmanager
def scheduled(desk: Any, kind: type[Lane]) -> Iterator[None]:
    """Let a desk answer by another scheduler."""
    before = desk._lane
    desk._lane = kind(before._answer, costs_of(desk._runtime), before._on_group)
    try:
        yield
    finally:
        desk._lane.close()
        desk._lane = before


def loaded(server: trml_rt.Server, options: argparse.Namespace) -> dict[str, Any]:
    """Measure both schedulers in turn, over HTTP."""
    runtime, desk = server._rooms.runtime, server._rooms.desk
    alone = [runtime.infer(text, video) for text, video in rows()]
    in_a_process("clients", server.address, options.clients, 2.0)  # decoders start
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in LANES}
    largest, wrong, lost = 0.0, 0, 0
    for _ in range(options.rounds):
        for name, kind in LANES.items():
            with scheduled(desk, kind):
                arguments = (server.address, options.clients, options.seconds)
                found = in_a_process("clients", *arguments)
            lost += len(found["failed"])
            for place, score, label in found["answers"]:
                difference = abs(score - alone[place].to_dict()["score"])
                largest = max(largest, difference)
                wrong += difference > 1.5 * TOLERANCE or label != alone[place].label
            rate = len(found["answers"]) / found["seconds"]
            rounds[name].append({"answers_a_second": round(rate, 1), "ms": found["ms"]})
    rates = {name: [each["answers_a_second"] for each in rounds[name]] for name in rounds}
    return {
        "ratio": ratio_of(rates),
        "wrong": wrong,
        "lost": lost,
        "largest_difference": round(largest, 9),
        "rounds": rounds,
    }


def ratio_of(rates: dict[str, list[float]]) -> float:
    """Return the median over rounds of our rate to the other one."""
    ours, others = rates.values()
    return round(statistics.median(a / b for a, b in zip(ours, others, strict=True)), 3)


def without_http(server: trml_rt.Server, options: argparse.Namespace) -> dict[str, Any]:
    """Measure both schedulers in turn on prepared rows, from as many callers."""
    runtime = server._rooms.runtime
    prepared = [runtime.prepare(text, video) for text, video in rows()]
    rates: dict[str, list[float]] = {name: [] for name in LANES}
    for _ in range(options.rounds):
        for name, kind in LANES.items():
            lane = kind(runtime.answer_prepared, costs_of(runtime))
            until, done = time.monotonic() + options.seconds / 2, [0] * options.clients

            def caller(number: int, lane: Lane = lane, until: float = until, done=done) -> None:
                order = random.Random(number)
                while time.monotonic() < until:
                    lane.put(order.choice(prepared)).result()
                    done[number] += 1

            start = time.perf_counter()
            callers = [threading.Thread(target=caller, args=(n,)) for n in range(options.clients)]
            for each in callers:
                each.start()
            for each in callers:
                each.join()
            rates[name].append(round(sum(done) / (time.perf_counter() - start), 1))
            lane.close()
    return {"ratio": ratio_of(rates), "answers_a_second": rates}


def alone(server: trml_rt.Server, seconds: float) -> dict[str, Any]:
    """Measure one client alone, and `infer` in this process just before and after."""
    runtime = server._rooms.runtime
    here: list[float] = []

    def infer() -> None:
        until = time.monotonic() + seconds / 2
        while time.monotonic() < until:
            start = time.perf_counter()
            runtime.infer(TEXTS[0])
            here.append((time.perf_counter() - start) * 1e3)

    infer()
    found = in_a_process("lone", server.address, seconds)
    infer()
    found["infer"] = percentiles(here)
    spent = found["text"]["p50"] - found["health"]["p50"] - found["infer"]["p50"]
    return {"ms": found, "more_than_infer_and_an_empty_request_ms": round(spent, 2)}


def uploads(server: trml_rt.Server, count: int) -> dict[str, Any]:
    """Send bad uploads in ten parts, and look at the memory after each."""
    statuses: dict[str, int] = {}
    memory = []
    for _ in range(10):
        for status, number in in_a_process("bad", server.address, count // 10).items():
            statuses[status] = statuses.get(status, 0) + number
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory.append(round(pages * 4096 / 2**20, 1))
    return {"statuses": statuses, "resident_mib": memory}


def main() -> None:
    """Measure, print and write the record; or be the clients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each scheduler in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bad", type=int, default=1000, help="uploads")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work, *arguments = json.loads(options.work)
        print(json.dumps(asyncio.run(WORK[work](*arguments))))
        return
    load = Path("/proc/loadavg").read_text().split()[:3]
    with trml_rt.serve(options.bundle, port=0) as server:
        result = {
            "what": "answers a second of a server with a queue for each engine set, against one "
            "queue whose batches are cut where the inputs change; both in this process, in turn",
            "bundle": server.name,
            "clients": options.clients,
            "load_average_at_start": load,
            "over_http": loaded(server, options),
            "prepared_rows": without_http(server, options),
            "one_client": alone(server, options.seconds),
            "bad_uploads": uploads(server, options.bad),
            "machine": describe(("numpy", "onnxruntime", "starlette", "uvicorn", "trml-rt")),
        }
    report(result, options.out)
    faults = result["over_http"]
    sys.exit(1 if faults["wrong"] or faults["lost"] else 0)


if __name__ == "__main__":
    main()
