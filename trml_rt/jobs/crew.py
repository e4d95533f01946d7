"""The workers of a job: start them, hand them rows, and outlive the crash of one.

Whatever tasks a worker that crashes had in hand, each of their rows is tried once more, alone in a
worker. Only a row that ends its worker then is to blame.
"""

from __future__ import annotations

import collections
import contextlib
import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trml_rt import errors
from trml_rt.backends.process import python_command
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit
from trml_rt.inputs.limits import DEFAULT_LIMITS, MediaLimits
from trml_rt.jobs.rows import JobRow

__all__ = ["Crew", "Said", "WorkerOptions"]

_TASK = 16  # rows; few, since a crash means to try them one by one
_BATCHES = 4  # that are sorted by length together
_IN_A_ROW = 20  # rows that crash alone, one after another: then no row is to blame
# What ends a process from outside, and tells nothing of a decoder.
_KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Said = tuple[JobRow, dict[str, Any]]
"""A row and what was said of it: an answer, or `error` and `message`."""


@dataclass(frozen=True)
class WorkerOptions:
    """What each worker is started with.

    Attributes:
        bundle: folder of the bundle.
        backend: as in `trml_rt.load`.
        precision: as in `trml_rt.load`.
        lanes: tasks that it works on at a time, in one session.
        threads: CPU threads of a lane.
        degrade: as in `Runtime.infer`.
        batch: rows that go into the engines together.
        signed_by: as in `trml_rt.load`.
        limits: as in `trml_rt.load`.
    """

    bundle: str
    backend: str
    precision: str | None
    lanes: int
    threads: int
    degrade: bool
    batch: int
    signed_by: str | None = None
    limits: MediaLimits = DEFAULT_LIMITS


@dataclass
class _Task:
    rows: Sequence[JobRow]
    alone: bool = False


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[str]
    listener: threading.Thread = field(default_factory=threading.Thread)
    ready: bool = False
    tasks: dict[int, _Task] = field(default_factory=dict)

    def takes(self, task: _Task, lanes: int) -> bool:
        """Say whether it may have `task` now, beside those that it has."""
        if task.alone:
            return self.ready and not self.tasks
        return (
            self.ready and len(self.tasks) < lanes and not any(t.alone for t in self.tasks.values())
        )

    def end(self) -> int:
        """End the process, free its pipes, and return how it ended."""
        self.process.kill()  # of one that is gone already, nothing
        code = self.process.wait()
        self.listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # of what it had not read yet
                pipe.close()
        return code

    def give(self, number: int, task: _Task) -> None:
        self.tasks[number] = task
        rows = [row.inputs() for row in task.rows]
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has crashed, and its end is on the way
            self.process.stdin.write(json.dumps({"task": number, "rows": rows}) + "\n")
            self.process.stdin.flush()


class Crew:
    """Workers that are started with the first rows, and end with the context.

    Args:
        options: of each worker.
        workers: how many there are at a time.
        provenance: of the engines that must answer.
    """

    def __init__(
        self, options: WorkerOptions, workers: int, provenance: Mapping[str, str | bool]
    ) -> None:
        self._options = options
        self._most = workers
        self._provenance = provenance
        self._workers: list[_Worker] = []
        self._heard: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = queue.SimpleQueue()
        self._number = 0
        self._in_a_row = 0

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; closing twice is fine."""
        while self._workers:
            self._workers.pop().end()

    def answers(self, rows: Sequence[JobRow]) -> Iterator[list[Said]]:
        """Yield what is said of `rows`, each row once, in any order.

        Raises:
            EnvironmentUnfit: the machine lacks something, or ends one worker after another.
            ArtefactMismatch: a file of the bundle is damaged, or its engines were changed
                meanwhile.
        """
        batch = self._options.batch
        size = _TASK if batch == 1 else _BATCHES * batch
        cuts = range(0, len(rows), size)
        todo = collections.deque(_Task(rows[start : start + size]) for start in cuts)
        while len(self._workers) < min(self._most, len(todo)):
            self._start()
        self._hand_out(todo)
        while todo or any(worker.tasks for worker in self._workers):
            yield from self._hear(todo)
            self._hand_out(todo)

    def _start(self) -> None:
        """Start one more worker, in a session of its own: Ctrl-C is for this process alone."""
        arguments = json.dumps(asdict(self._options))
        try:
            process = subprocess.Popen(
                python_command("trml_rt.jobs.worker", arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentUnfit(
                f"a worker cannot be started ({error.strerror}); give fewer --workers"
            ) from None
        worker = _Worker(process)
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        worker.listener.start()
        self._workers.append(worker)

    def _hear(self, todo: collections.deque[_Task]) -> Iterator[list[Said]]:
        """Wait for what one worker says next, and yield the answers that are in it."""
        worker, heard = self._heard.get()
        if heard is None:
            yield from self._crashed(worker, todo)
        elif "fault" in heard:
            raise getattr(errors, heard["fault"])(heard["message"])
        elif "ready" not in heard:
            task = worker.tasks.pop(heard["task"])
            self._in_a_row = 0
            yield [*zip(task.rows, heard["said"], strict=True)]
        elif heard["ready"] == self._provenance:
            worker.ready = True
        else:
            raise ArtefactMismatch(
                f"{self._options.bundle}: its engines were changed while a job began; "
                "start the job again"
            )

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        with contextlib.suppress(ValueError):  # a line that was cut off
            for line in worker.process.stdout:
                self._heard.put((worker, json.loads(line)))
        self._heard.put((worker, None))

    def _hand_out(self, todo: collections.deque[_Task]) -> None:
        for worker in self._workers:
            while todo and worker.takes(todo[0], self._options.lanes):
                self._number += 1
                worker.give(self._number, todo.popleft())

    def _crashed(self, worker: _Worker, todo: collections.deque[_Task]) -> Iterator[list[Said]]:
        """Give the rows of a worker that is gone to others, or blame the one that was alone."""
        code = worker.process.wait()
        worker.end()
        self._workers.remove(worker)
        if code >= 0:
            raise RuntimeError(f"a worker ended with code {code}; its traceback stands above")
        name = signal.Signals(-code).name
        if not worker.ready:
            raise EnvironmentUnfit(
                f"a worker was ended by {name} while it loaded the bundle; "
                "run `trml-rt doctor`, and give fewer --workers where memory is short"
            )
        for task in worker.tasks.values():
            if not task.alone:
                todo.extendleft(_Task([row], alone=True) for row in reversed(task.rows))
                continue
            self._in_a_row += 1
            if self._in_a_row == _IN_A_ROW:
                raise EnvironmentUnfit(
                    f"{_IN_A_ROW} rows one after another ended their worker by {name}; it is not "
                    "the rows: run `trml-rt doctor`, and give fewer --workers"
                )
            yield [(task.rows[0], _crash(-code, name))]
        if todo or any(each.tasks for each in self._workers):
            self._start()


def _crash(number: int, name: str) -> dict[str, Any]:
    if number in _KILLS:
        error, why = "worker_killed", "as the system does where memory is short; run it again"
    else:
        error, why = "decoder_crash", "the second time alone; convert its clip, or leave it out"
    return {"error": error, "message": f"the row ended its worker by {name} twice, {why}"}
