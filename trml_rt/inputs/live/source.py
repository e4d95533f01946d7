"""A live source: a child reads it, a watchdog ends and starts the child, and states tell of it."""

from __future__ import annotations

import math
import os
import random
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Literal, get_args

from trml_rt.backends.process import usable_cores
from trml_rt.bundle.arguments import check_one_of
from trml_rt.errors import UsageError
from trml_rt.inputs.apart.process import Child, ChildEnded
from trml_rt.inputs.image import Preprocessing
from trml_rt.inputs.limits import DEFAULT_LIMITS, MediaLimits
from trml_rt.inputs.live.address import Address, parse_address
from trml_rt.inputs.live.events import Cause, Dropped, Event, Frame, State, StateName

__all__ = ["LiveSource", "Policy", "open_source"]

Policy = Literal["every", "freshest"]

_WORKER = "trml_rt.inputs.live.worker"
_SLOTS = 4  # frames on their way from the child
_CONNECT = 15.0  # seconds: a camera may answer late, and FFmpeg looks at a stream for a while
_STALLED = "stalled", "no frame came"
_FROZEN = "frozen", "the time of its frames stood still"
_UNREAD = "cannot be read"
_JITTER = 0.25  # part of a wait that chance adds, so that many devices do not come back at once


def open_source(
    source: str | os.PathLike[str],
    preprocessing: Preprocessing,
    *,
    interval: float = 0.0,
    buffer: int = 64,
    policy: Policy | None = None,
    stall_after: float = 2.0,
    restart_after: float = 5.0,
    backoff: tuple[float, float] = (1.0, 30.0),
    wait_for_source: bool = False,
    threads: int | None = None,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> LiveSource:
    """Begin to read a live source, or a file from its start to its end.

    Args:
        source: see `trml_rt.inputs.live.address.parse_address`.
        preprocessing: what is made of each frame.
        interval: seconds between two frames that are given; 0 gives all.
        buffer: frames that wait to be taken.
        policy: what happens when they are more: "every" has the source wait, "freshest" drops the
            oldest. None: "freshest" for a camera and the network, else "every".
        stall_after: seconds without a frame after which the source counts as stalled.
        restart_after: seconds without a frame after which its reader is started again.
        backoff: least and most seconds between two tries.
        wait_for_source: go on trying when the first connection fails.
        threads: that decode; None: each core that this process may use.
        limits: of which `pixels` and `memory_mib` count.

    Raises:
        UsageError: `source` names nothing that can be read, or an argument makes no sense.
    """
    least, most = backoff
    numbers = (interval, stall_after, restart_after, least, most)
    if not all(math.isfinite(number) and number >= 0 for number in numbers) or least > most:
        raise UsageError("source: its times must be seconds, 0 or more, and the least the smaller")
    if not 0 < stall_after <= restart_after:
        raise UsageError("source: stall_after must be above 0, and restart_after no smaller")
    if buffer < 1:
        raise UsageError(f"buffer: {buffer} frames cannot wait; allow at least 1")
    if policy is not None:
        check_one_of("policy", policy, get_args(Policy))
    address = parse_address(source)
    if address.target == "-" and sys.stdin is None:  # as `<&-` of a shell leaves it
        raise UsageError("video: standard input is closed; name a file")
    settings = {
        "address": asdict(address),
        "preprocessing": asdict(preprocessing),
        "interval": interval,
        "threads": threads or usable_cores(),
        "limits": asdict(limits),
    }
    shape = (preprocessing.height, preprocessing.width, 3)
    watch = _Watch(stall_after, restart_after, least, most, wait_for_source)
    return LiveSource(address, settings, shape, _Queue(buffer, policy), watch)


class _Queue:
    """What waits to be taken; of frames a bounded number.

    Attributes:
        policy: as in `open_source`; None until it is known what the source is.
    """

    def __init__(self, size: int, policy: Policy | None) -> None:
        self.policy = policy
        self._size = size
        self._events: deque[Event] = deque()
        self._frames = 0
        self._drops: Counter[Cause] = Counter()
        self._changed = threading.Condition()
        self._error: Exception | None = None
        self.over = False

    def put(self, event: Event) -> None:
        with self._changed:
            if isinstance(event, Dropped):
                self._drops[event.cause] += event.count
            elif isinstance(event, Frame):
                if self.policy == "every":
                    self._changed.wait_for(lambda: self._frames < self._size or self.over)
                elif self._frames == self._size:
                    self._events.remove(next(e for e in self._events if isinstance(e, Frame)))
                    self._frames -= 1
                    self._drops["buffer"] += 1
                self._frames += 1
            if not isinstance(event, Dropped):
                self._events.append(event)
            self._changed.notify_all()

    def end(self, error: Exception | None = None) -> None:
        """Have `take` give what is left, then None, or raise `error`."""
        with self._changed:
            self.over = True
            self._error = self._error or error
            self._changed.notify_all()

    def take(self, timeout: float | None) -> Event | None:
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._drops or self.over, timeout)
            if self._drops:
                [(cause, count), *_] = self._drops.items()
                del self._drops[cause]
                return Dropped(cause, count)
            if self._events:
                event = self._events.popleft()
                self._frames -= isinstance(event, Frame)
                self._changed.notify_all()
                return event
            error, self._error = self._error, None
        if error is not None:
            raise error
        return None


class _Watch:
    """The times of a watchdog, in seconds; see `open_source`."""

    def __init__(self, stall: float, restart: float, least: float, most: float, wait: bool) -> None:
        self.stall, self.restart, self.wait = stall, restart, wait
        self._least, self._most = least, most

    def delay(self, tries: int) -> float:
        """Return how long to wait before one more try, after `tries` that failed."""
        wait = min(self._most, self._least * (1 << min(tries, 16)))
        return min(self._most, wait * (1 + _JITTER * random.random()))


class LiveSource:
    """Frames, changes of state and drops of one source; made by `open_source`.

    A thread of this process listens to the child, and `poll` takes from it. Use the source as a
    context manager, or close it. `poll` may be called from one thread at a time.

    Attributes:
        name: of the source, without credentials.
    """

    def __init__(
        self,
        address: Address,
        settings: Mapping[str, Any],
        shape: tuple[int, int, int],
        queue: _Queue,
        watch: _Watch,
    ) -> None:
        self.name = address.name
        self._address = address
        self._settings = settings
        self._shape = shape
        self._queue = queue
        self._watch = watch
        self._finite = not address.live
        self._closing = threading.Event()
        self._child: Child | None = None
        self._state: StateName | None = None
        self._epoch = -1
        self._t = 0.0  # of the last frame
        self._thread = threading.Thread(target=self._run, name="trml-rt source", daemon=True)
        self._thread.start()

    @property
    def live(self) -> bool:
        """Whether it may go on for ever; of an address of http this is known once it is open."""
        return not self._finite

    def poll(self, timeout: float | None = None) -> Event | None:
        """Return the next event; None after `timeout` seconds, or when there is none any more.

        Args:
            timeout: seconds to wait; None waits for ever, 0 only looks.

        Raises:
            EnvironmentUnfit: the machine cannot start the reader.
        """
        return self._queue.take(timeout)

    def __iter__(self) -> Iterator[Event]:
        """Yield events until the source ended, failed, or was closed."""
        while (event := self.poll()) is not None:
            yield event

    def close(self) -> None:
        """End the reader; closing twice is fine."""
        self._closing.set()
        self._queue.end()
        child = self._child
        if child is not None:
            child.kill()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> LiveSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What the thread does.

    def _run(self) -> None:
        error = None
        try:
            self._change("connecting", "connecting", "waits for its first frame")
            self._read_again_and_again()
        except Exception as caught:  # noqa: BLE001 - it is raised where events are taken
            error = caught
        finally:
            self._queue.end(error)

    def _read_again_and_again(self) -> None:
        tries = 0
        while not self._closing.is_set():
            before = self._epoch
            why = self._read()
            if self._closing.is_set():
                return
            if why is None:
                self._change("ended", None, "ended")
                return
            began = self._epoch >= 0
            tries = 0 if self._epoch > before else tries
            if not (self._address.opens_again if began else self._watch.wait):
                said = "" if why.startswith(_UNREAD) else f"{_UNREAD}: "
                self._change("failed", "lost", said + why)
                return
            delay = self._watch.delay(tries)
            tries += 1
            self._change("retrying", "lost", f"{why}; trying again in {delay:.1f} s")
            self._closing.wait(delay)

    def _read(self) -> str | None:
        """Read with one child; return why that broke off, None at the end of the source."""
        size = math.prod(self._shape)
        with_stdin = 0 if self._address.target == "-" else None
        child = Child(_WORKER, self._settings, shared=_SLOTS * size, stdin=with_stdin)
        self._child = child
        try:
            return self._listen(child)
        except ChildEnded as error:
            return f"the decoder crashed ({self._address.clean(str(error))})"
        except (AttributeError, KeyError, TypeError, ValueError):
            return "the decoder sent what is no message"
        finally:
            self._child = None
            child.end()

    def _listen(self, child: Child) -> str | None:
        opened = running = False
        heard = time.monotonic()
        still = -math.inf  # when a frame last came whose time stood still
        while not self._closing.is_set():
            silent = time.monotonic() - heard
            most = self._patience(opened)
            if silent >= most:
                return f"no frame came for {most:g} s"
            if running and silent >= self._watch.stall:
                frozen = time.monotonic() - still < self._watch.stall
                reason, what = _FROZEN if frozen else _STALLED
                self._change("stalled", reason, f"{what} for {self._watch.stall:g} s")
            next_look = self._watch.stall if self._state == "running" else most
            message = child.hear(max(0.0, min(next_look - silent, 1.0)))
            if message is None:
                continue
            drops = message.get("drops", {})
            for cause, count in drops.items():
                check_one_of("cause", cause, get_args(Cause))
                self._queue.put(Dropped(cause, int(count)))
            if "opened" in message:
                opened = True
                self._finite |= bool(message["finite"])
                self._queue.policy = self._queue.policy or ("every" if self._finite else "freshest")
            elif "frame" in message:
                moved = self._take(child, message, fresh=not running)
                running = True
                if not moved:  # it is no sign of life
                    still = time.monotonic()
                    continue
            elif "end" in message:
                return None
            elif "lost" in message:
                prefix = f"{self.name}: "
                return self._address.clean(str(message["lost"])).removeprefix(prefix)
            elif running and drops:
                continue  # damaged packets alone are no sign of life
            heard = time.monotonic()
        return None

    def _patience(self, opened: bool) -> float:
        """Return how many seconds may pass without a word."""
        if self._address.kind == "pipe":  # who writes into it may take all the time there is
            return math.inf
        return self._watch.restart if opened else max(_CONNECT, self._watch.restart)

    def _take(self, child: Child, message: Mapping[str, Any], fresh: bool) -> bool:
        """Take a frame, and say whether its time is another one than that before."""
        slot = int(message["frame"]) % _SLOTS
        [pixels] = child.frames(1, self._shape, slot * math.prod(self._shape))
        child.tell({"free": slot})
        t = float(message["t"])
        moved = bool(fresh or message["jumps"] or t != self._t)
        if fresh or message["jumps"]:
            self._epoch += 1
        if self._state != "running" and moved:
            self._change("running", None, "frames come")
        self._t = t
        self._queue.put(Frame(t, pixels, self._epoch, time.monotonic()))
        return moved

    def _change(self, name: StateName, reason: str | None, what: str) -> None:
        if name != self._state:
            self._state = name
            message = f"{self.name}: {what}"
            self._queue.put(State(name, reason, max(0, self._epoch), message))
