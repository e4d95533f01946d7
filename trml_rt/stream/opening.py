"""Put a stream together: its rules against the model, its sources, its record."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from trml_rt.bundle.arguments import check_one_of
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import UsageError
from trml_rt.inputs.frames import ORDERS, Order
from trml_rt.inputs.live import open_source
from trml_rt.inputs.prepare import Inputs
from trml_rt.stream.answer import StreamEvent
from trml_rt.stream.core import Stream
from trml_rt.stream.intake import Intake
from trml_rt.stream.model import Model
from trml_rt.stream.pull import Pumps, TextSource, VideoSource, cues_of, frames_of
from trml_rt.stream.record import Recorder
from trml_rt.stream.rules import Rules

__all__ = ["open_stream"]


def open_stream(
    rules: Rules,
    model: Model,
    bundle: Bundle,
    provenance: dict[str, str | bool],
    video: VideoSource | None,
    text: TextSource | None,
    *,
    inputs: Inputs,
    wait_for_source: bool,
    isolate: bool,
    order: Order,
    record: Path | None,
    on_event: Callable[[StreamEvent], None] | None,
    clock: Callable[[], float],
) -> Stream:
    """Open a stream; see `Runtime.stream`.

    Args:
        rules: how it answers.
        model: answers.
        bundle: the model's.
        provenance: what a record says of the engines.
        video: where frames come from; None: they are pushed.
        text: where texts come from; None: they are pushed.
        inputs: how the model takes frames.
        wait_for_source: go on trying where a live source cannot be opened.
        isolate: decode a file in a process of its own.
        order: of the colours in arrays of `video`.
        record: the file to record to.
        on_event: is called with each event.
        clock: in seconds.
    """
    most = bundle.manifest.video.frames
    if rules.window > most:
        raise UsageError(
            f"window: this model takes at most {most} frames, not {rules.window}; to span more "
            "time, take fewer frames of it with every"
        )
    check_one_of("order", order, ORDERS)
    cues = None if text is None else cues_of(text)
    open_live = partial(
        open_source,
        preprocessing=inputs.preprocessing,
        interval=rules.every,
        buffer=rules.buffer or 1,
        policy=rules.policy,
        stall_after=rules.stall_after,
        restart_after=max(rules.restart_after, rules.stall_after),
        wait_for_source=wait_for_source,
        threads=inputs.threads,
        limits=inputs.limits,
    )

    def feed(intake: Intake) -> Pumps:
        frames = None
        if video is not None:
            frames = frames_of(video, inputs.threads, inputs.limits, open_live, isolate=isolate)
        return Pumps(intake, frames, cues, order)

    recorder = None
    if record is not None:
        head = {"bundle": bundle.manifest.name, "bundle_sha256": bundle.sha256}
        recorder = Recorder(record, head | provenance)
    pushed = video is None and text is None
    try:
        return Stream(
            rules,
            model,
            on_event=on_event,
            clock=clock,
            recorder=recorder,
            feed=None if pushed else feed,
        )
    except Exception:
        if recorder is not None:
            recorder.discard()
        raise
