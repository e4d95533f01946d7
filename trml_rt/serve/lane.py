"""One thread that runs the engines, on rows that other threads have prepared.

Rows wait in a queue for each kind: an engine set, and how many frames they show. A row that comes
while nothing runs is run at once, alone. While the engines are busy rows gather, and then as many
of one kind run together as pay on this device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trml_rt.answer import Answer
from trml_rt.bundle.modality import Modality
from trml_rt.errors import TrmlError
from trml_rt.inputs.prepare import Prepared
from trml_rt.serve.refusals import Refused

if TYPE_CHECKING:
    from trml_rt.serve.costs import Costs

__all__ = ["Kind", "Lane", "kind_of", "too_late"]

Kind = tuple[Modality, int]
"""What is present, and how many frames there are."""


def kind_of(row: Prepared) -> Kind:
    """Return the kind of a row."""
    return row.present, 0 if row.pixels is None else len(row.pixels)


def too_late(seconds: float) -> Refused:
    """Return the refusal of a deadline that is not met; later, after so many seconds, it may be."""
    return Refused(
        503,
        "deadline",
        "the answer would come after the deadline; ask again later, or allow more milliseconds",
        retry_after=seconds,
    )


@dataclass(eq=False)
class Waiting:
    """A row that waits, since when, and until when its answer is wanted."""

    row: Prepared
    number: int
    until: float | None
    future: Future[Answer] = field(default_factory=Future)

    @property
    def length(self) -> int:
        """Tokens of the text: a shorter text in a group is padded to the longest."""
        return 0 if self.row.tokens is None else len(self.row.tokens)


class Lane:
    """Runs rows; `put` may be called from any thread.

    Args:
        answer: answers on rows of one presence, as `Runtime.answer_prepared`.
        costs: says how many rows of a kind may run together, and is told what that took.
        on_group: is told, in the lane's thread, the answers on what ran together.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Prepared]], list[Answer]],
        costs: Costs,
        on_group: Callable[[list[Answer]], None] = lambda _: None,
    ) -> None:
        self._answer, self._costs, self._on_group = answer, costs, on_group
        self._queues: dict[Kind, list[Waiting]] = {}
        self._changed = threading.Condition()
        self._count = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="trml-rt engines")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        with self._changed:
            return sum(map(len, self._queues.values()))

    def put(self, row: Prepared, until: float | None = None) -> Future[Answer]:
        """Let a row wait for the engines.

        Args:
            row: the row.
            until: the time of `time.monotonic` after which its answer is worth nothing.

        Returns:
            What will have its answer, or the error that `Runtime.infer` would raise, or `Refused`
            where it was too late when the row's turn came.
        """
        with self._changed:
            waiting = Waiting(row, self._count, until)
            self._count += 1
            self._queues.setdefault(kind_of(row), []).append(waiting)
            self._changed.notify()
        return waiting.future

    def close(self) -> None:
        """Run what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (group := self._next()) is not None:
            wanted = [each for each in group if each.future.set_running_or_notify_cancel()]
            now = time.monotonic()
            in_time = [each for each in wanted if each.until is None or each.until >= now]
            for each in wanted:
                if each not in in_time:
                    each.future.set_exception(too_late(1.0))
            if in_time:
                self._run(in_time)

    def _next(self) -> list[Waiting] | None:
        """Wait for a group, and return it; None at the end."""
        with self._changed:
            while not self._queues:
                if self._closed:
                    return None
                self._changed.wait()
            return self._take(self._queues)

    def _take(self, queues: dict[Kind, list[Waiting]]) -> list[Waiting]:
        """Take the row that waits longest, and of its kind those that are nearest to its length."""
        kind = min(queues, key=lambda each: queues[each][0].number)
        queue = queues[kind]
        first = queue[0]
        by_length = sorted(queue, key=lambda each: abs(each.length - first.length))
        others = [each for each in by_length if each is not first]
        group = [first, *others[: self._costs.most(kind) - 1]]
        left = [each for each in queue if each not in group]
        if left:
            queues[kind] = left
        else:
            del queues[kind]
        return group

    def _run(self, group: Sequence[Waiting]) -> None:
        start = time.perf_counter()
        try:
            answers = self._answer([each.row for each in group])
        except TrmlError as error:
            if len(group) == 1:
                group[0].future.set_exception(error)
            else:  # of one row, and of which one is found alone
                for each in group:
                    self._run([each])
            return
        except BaseException as error:  # noqa: BLE001 - a bug; who asked gets it with its traceback
            for each in group:
                each.future.set_exception(error)
            return
        self._costs.add(kind_of(group[0].row), len(group), time.perf_counter() - start)
        self._on_group(answers)
        for each, answer in zip(group, answers, strict=True):
            each.future.set_result(answer)
