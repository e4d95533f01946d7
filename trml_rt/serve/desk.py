"""Take a request in or refuse it, have its clip decoded and its row answered, and count it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from trml_rt.answer import Answer, InputReport, Reason
from trml_rt.bundle.modality import Modality
from trml_rt.errors import InputUnusable, TrmlError
from trml_rt.inputs.prepare import Prepared
from trml_rt.runtime import Runtime
from trml_rt.serve.costs import Costs
from trml_rt.serve.lane import Lane, too_late
from trml_rt.serve.metrics import Metrics
from trml_rt.serve.refusals import Refused
from trml_rt.stream.times import Times

__all__ = ["Ask", "Desk"]

_SHORT = 2000  # characters of a text that is not worth another thread
_RECENT = 0.1  # of the mean time of answers, what the newest one counts


@dataclass(frozen=True)
class Ask:
    """One row that is asked for.

    Attributes:
        text: the text.
        video: a clip or picture as its bytes or an open file; or frames, (n, height, width, 3).
        degrade: count an unusable input as missing; with a deadline that a clip cannot meet, the
            clip, too.
        deadline_ms: how long the answer may take from the arrival of the request on.
    """

    text: str | None = None
    video: bytes | BinaryIO | NDArray[np.uint8] | None = None
    degrade: bool = False
    deadline_ms: float | None = None

    @property
    def given(self) -> Modality:
        """What is there, usable or not."""
        given = Modality(0)
        given |= Modality(0) if self.text is None else Modality.TEXT
        return given | (Modality(0) if self.video is None else Modality.VIDEO)


class Desk:
    """Answers what is asked, on the event loop; clips are decoded in processes of their own.

    Args:
        runtime: answers.
        costs: says how many rows of a kind run together.
        metrics: count.
        queue: how many requests may be here at once.
        decoders: how many clips may be decoded at once.
    """

    def __init__(
        self,
        runtime: Runtime,
        costs: Costs,
        metrics: Metrics,
        *,
        queue: int,
        decoders: int,
    ) -> None:
        self._runtime, self._metrics, self._queue = runtime, metrics, queue
        self._lane = Lane(
            runtime.answer_prepared,
            costs,
            lambda answers: metrics.groups.add(answers[0].engine_set, len(answers)),
        )
        self._clips = ThreadPoolExecutor(decoders, "trml-rt clips")
        self._texts = ThreadPoolExecutor(
            1, "trml-rt texts"
        )  # long ones, which must not wait behind clips
        self._times = Times()
        self._mean = 1.0  # seconds that an answer took of late
        self.inside = 0
        """How many requests are here."""
        self.accepted = 0
        """How many were taken in."""
        self._cut = 0

    @property
    def responded(self) -> int:
        """How many have their answer, or an error that tells what is wrong with them."""
        return self.accepted - self.inside - self._cut

    @property
    def waiting(self) -> int:
        """How many rows wait for the engines."""
        return self._lane.waiting

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place for a request, from before its body is read until it is answered.

        Raises:
            Refused: there is none.
        """
        if self.inside >= self._queue:
            raise Refused(
                429,
                "queue_full",
                f"{self._queue} requests are here already; ask again later",
                retry_after=self._mean,
            )
        self.inside += 1
        self.accepted += 1
        try:
            yield
        except asyncio.CancelledError:
            self._cut += 1
            raise
        finally:
            self.inside -= 1

    async def answer(self, ask: Ask, arrived: float) -> Answer:
        """Answer one row.

        Args:
            ask: what is asked.
            arrived: when its request came, of `time.monotonic`.

        Raises:
            Refused: its deadline cannot be met.
            TrmlError: as `Runtime.infer`.
        """
        try:
            answer = await self._answer(ask, arrived)
        except Refused as error:
            self._metrics.rows.add("", error.reason)
            raise
        except TrmlError as error:
            reason = error.reason if isinstance(error, InputUnusable) else type(error).__name__
            self._metrics.rows.add("", str(reason))
            raise
        seconds = time.monotonic() - arrived
        self._mean += _RECENT * (seconds - self._mean)
        self._metrics.answered(answer, seconds)
        return answer

    async def _answer(self, ask: Ask, arrived: float) -> Answer:
        late: Reason | None = None
        until = None if ask.deadline_ms is None else arrived + ask.deadline_ms / 1e3
        crowd = self.inside.bit_length()  # how long an answer takes depends on that
        if until is not None and not self._in_time(ask, crowd, until):
            alone = replace(ask, video=None)
            if not (ask.degrade and ask.text and ask.video is not None):
                raise too_late(self._mean)
            if not self._in_time(alone, crowd, until):
                raise too_late(self._mean)
            ask, late = alone, Reason.DEADLINE
        row = await self._prepared(ask)
        if late is not None:
            row.reports["video"] = InputReport("virtual", late)
        answer = await asyncio.wrap_future(self._lane.put(row, until))
        self._times.add(ask.given, crowd, (time.monotonic() - arrived) * 1e3)
        return answer

    def _in_time(self, ask: Ask, crowd: int, until: float) -> bool:
        """Say whether an answer is expected in time, by what others took in such a crowd."""
        budget = (until - time.monotonic()) * 1e3
        return budget > 0 and self._times.fits(ask.given, crowd, budget)

    async def _prepared(self, ask: Ask) -> Prepared:
        prepare = partial(
            self._runtime.prepare,
            *(ask.text, ask.video),
            degrade=ask.degrade,
            isolate=not isinstance(ask.video, np.ndarray),
        )
        if ask.video is None and len(ask.text or "") <= _SHORT:
            return prepare()
        pool = self._texts if ask.video is None else self._clips
        return await asyncio.get_running_loop().run_in_executor(pool, prepare)

    async def picture(self, data: bytes) -> NDArray[np.uint8]:
        """Return a picture as the model takes it, (height, width, 3).

        Raises:
            InputUnusable: it is none.
        """
        row = await self._prepared(Ask(video=data))
        assert row.pixels is not None  # or it had been refused
        pixels: NDArray[np.uint8] = row.pixels[0]
        return pixels

    def gauges(self) -> Mapping[str, tuple[str, float]]:
        """Return what is here now, by the names of the metrics."""
        return {
            "trml_rt_requests_inside": ("Requests that are being answered.", self.inside),
            "trml_rt_queue_rows": ("Rows that wait for the engines.", self.waiting),
        }

    def close(self) -> None:
        """Finish what is here, and end the threads."""
        self._clips.shutdown()
        self._texts.shutdown()
        self._lane.close()
