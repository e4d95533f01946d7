"""Load a bundle and answer on text and video, either of which may be absent.

This module groups rows and shapes answers; what becomes of inputs is the business of `inputs`,
which engines run that of the dispatcher, and how they run that of the back end.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, overload

from trml_rt.answer import Answer, Reason, certainty, read_prediction
from trml_rt.backends import LinkingBackend, Tensors
from trml_rt.backends.process import usable_cores
from trml_rt.backends.shaping import ReadsDeviceFrames
from trml_rt.bundle.arguments import check_one_of, check_threads, path_of
from trml_rt.bundle.engine_folder import PRECISIONS, Precision
from trml_rt.bundle.folder import Bundle, BundleLike, open_bundle
from trml_rt.bundle.modality import Modality
from trml_rt.bundle.need import read_need
from trml_rt.bundle.signature import check_signature
from trml_rt.engines.choose import Choice, choose
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.errors import InputUnusable, TrmlError, UsageError
from trml_rt.inputs.frames import Order
from trml_rt.inputs.limits import MediaLimits
from trml_rt.inputs.prepare import (
    Inputs,
    Prepared,
    Sample,
    SampleLike,
    TextLike,
    VideoLike,
    sample_of,
)

if TYPE_CHECKING:
    from trml_rt.stream.answer import StreamEvent
    from trml_rt.stream.core import Stream
    from trml_rt.stream.pull import TextSource, VideoSource
    from trml_rt.stream.record import Replay
    from trml_rt.stream.rules import Policy

__all__ = ["Runtime", "load"]


def load(
    bundle: BundleLike = None,
    *,
    backend: str = "auto",
    precision: Precision | None = None,
    threads: int | None = None,
    callers: int = 1,
    signed_by: str | os.PathLike[str] | None = None,
    limits: MediaLimits | None = None,
) -> Runtime:
    """Open a bundle for inference; use the result as a context manager.

    Args:
        bundle: folder of the bundle, or an open one; None takes `TRML_RT_BUNDLE` from the
            environment, else the bundle that ships inside the package.
        backend: `auto` takes the engines that a build found fastest on this device, else those of
            TensorRT or of another package's back end, if they fit this device and are verified,
            else ONNX Runtime; the answer records which. A back end that is named is never replaced.
        precision: engines of this precision, which `trml-rt build` made for this device; None
            takes the best that the back end takes unasked, and on ONNX Runtime the portable graphs.
        threads: CPU threads that an engine may use, or the decoding of a video; None: an engine
            what its back end chooses, and decoding each core that this process may use.
        callers: how many calls will run at once, from threads of your own. They share the cores,
            where each would else take all of them; `threads` then counts for each.
        signed_by: file of a public key; the bundle must be signed with the key that belongs to it.
        limits: of what a clip may cost; None takes those of `MediaLimits()`.

    Raises:
        ArtefactMismatch: the bundle is damaged, has no fitting engines of `precision`, or is not
            signed as `signed_by` wants it.
        BackendUnavailable: the back end that was named is not installed.
        EnvironmentUnfit: its device is not here, or the package that brings it is broken.
        UsageError: an argument makes no sense, such as a back end that is not known.
    """
    if precision is not None:
        check_one_of("precision", precision, PRECISIONS)
    check_threads(threads, callers)
    if not isinstance(limits, MediaLimits | None):
        raise UsageError(f"limits: must be a MediaLimits, not {type(limits).__name__}")
    opened = open_bundle(bundle)
    if signed_by is not None:
        check_signature(opened, path_of("signed_by", signed_by))
    choice = choose(opened, backend, precision, threads, callers)
    inputs = Inputs(
        opened,
        threads or max(1, usable_cores() // callers),
        limits or MediaLimits(),
        # A chain keeps work for each shape: one of CUDA keeps a graph.
        few_shapes=isinstance(choice.backend, LinkingBackend),
        read_device=(
            choice.backend.read_frame if isinstance(choice.backend, ReadsDeviceFrames) else None
        ),
    )
    return Runtime(opened, choice, inputs)


class Runtime:
    """One model, ready to answer; made by `load`.

    Engines load on first need. Calls may come from several threads.
    """

    def __init__(self, bundle: Bundle, choice: Choice, inputs: Inputs) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.task = manifest.task.kind
        """What is answered: "regression" or "classification"."""
        self.labels = tuple(manifest.task.labels)
        """The labels that an answer may have, in order."""
        low_high = manifest.task.range
        self.range = None if low_high is None else (low_high[0], low_high[1])
        """What scores lie in, for regression, else None."""
        self._backend_name, self._engines_name = choice.backend.name, choice.engines
        # Export and build write down what they compared; a bundle made by hand has nothing there.
        self._passed = frozenset(choice.passed)
        self._dispatcher = Dispatcher(manifest, choice.backend, choice.locate)
        self._inputs = inputs
        self.limits = inputs.limits
        """What a clip may cost."""
        self._threshold: float | None = None  # of what is sure; read when somebody asks
        self._set_names = {each.present: each.name for each in manifest.engine_sets}

    def __repr__(self) -> str:
        engines = f"{self._engines_name} engines on {self._backend_name}"
        state = ", closed" if self._dispatcher.closed else ""
        return f"<Runtime {self.bundle.manifest.name!r}: {self.task}, {engines}{state}>"

    @property
    def provenance(self) -> dict[str, str | bool]:
        """Which engines answer: `backend`, `engines`, and whether all their sets are `verified`."""
        return {
            "backend": self._backend_name,
            "engines": self._engines_name,
            "verified": self._passed.issuperset(self._set_names.values()),
        }

    def infer(
        self,
        text: TextLike | None = None,
        video: VideoLike | None = None,
        *,
        degrade: bool = False,
        order: Order = "rgb",
        isolate: bool = False,
        video_if_needed: bool = False,
    ) -> Answer:
        """Answer on one text, one video, or both.

        Args:
            text: a str is the text itself, a Path a UTF-8 file.
            video: path of a video, a picture or a folder of frame pictures; a video or picture
                as bytes or a binary file object; or frames, such as (n, height, width, 3) uint8,
                on TensorRT also in CUDA memory.
            degrade: count an unusable input as missing, and say so in the answer, where it
                would be an error otherwise. At least one input must be usable.
            order: of the colours in arrays: "rgb", or "bgr" as OpenCV has them.
            isolate: decode in a process of its own, so that a file that crashes, hangs or swells
                the decoder costs one error. The process stays for later calls.
            video_if_needed: do not look at the video where the text alone is sure, by the threshold
                that `trml-rt calibrate-need` stored in the bundle. Its reason is `not_needed`.

        Raises:
            UsageError: neither is given, the bundle does not serve the combination, or it does not
                say when video is needed and `video_if_needed` asks for that.
            InputUnusable: an input is given but cannot be used.
            ArtefactMismatch: a file of the bundle is damaged.
            EnvironmentUnfit: the machine lacks memory, threads or open files.
        """
        kept: Tensors = {}
        spent: dict[str, float] = {}
        if video_if_needed:
            from trml_rt.stream.model import Model

            model = Model(
                self._inputs, self._dispatcher, self._answer, keep=True, sure=self._sure()
            )
            if text is not None and video is not None:
                read = model.read(text)
                if model.is_sure(read):
                    return model.answer(read, (), Reason.NOT_NEEDED)
                kept, spent = read.kept, {} if read.row is None else read.row.ms
        prepared = self.prepare(text, video, degrade=degrade, order=order, isolate=isolate)
        prepared.ms = {**spent, **prepared.ms}
        return self._answer([prepared], kept)[0]

    def prepare(
        self,
        text: TextLike | None = None,
        video: VideoLike | None = None,
        *,
        degrade: bool = False,
        order: Order = "rgb",
        isolate: bool = False,
    ) -> Prepared:
        """Do what `infer` does before the engines run; `answer_prepared` does the rest.

        A program that reads clips in other threads than its engines run in calls the two apart.

        Args:
            text: as in `infer`.
            video: as in `infer`.
            degrade: as in `infer`.
            order: as in `infer`.
            isolate: as in `infer`.

        Raises:
            UsageError: neither is given.
            InputUnusable: as for `infer`.
            ArtefactMismatch: as for `infer`.
            EnvironmentUnfit: as for `infer`.
        """
        sample = Sample(text, video)
        return self._inputs.prepare(sample, degrade=degrade, order=order, isolate=isolate)

    def answer_prepared(self, rows: Sequence[Prepared]) -> list[Answer]:
        """Answer on rows that `prepare` gave, all of one presence, in groups that engines take.

        A row alone gets to the bit the answer of `infer`, and one in a group gets it to float32
        rounding.

        Raises:
            UsageError: the bundle does not serve the combination, or rows differ in it.
            ArtefactMismatch: as for `infer`.
        """
        if len({row.present for row in rows}) > 1:
            raise UsageError("rows: have not all the same inputs present; group them by present")
        answers: list[Answer] = []
        group: list[Prepared] = []
        for row in rows:
            if group and self._is_full([*group, row]):
                answers += self._answer(group)
                group = []
            group.append(row)
        return answers + (self._answer(group) if group else [])

    @overload
    def infer_batch(
        self,
        samples: Sequence[SampleLike],
        *,
        degrade: bool = False,
        order: Order = "rgb",
        isolate: bool = False,
        on_error: Literal["raise"] = "raise",
    ) -> list[Answer]: ...

    @overload
    def infer_batch(
        self,
        samples: Sequence[SampleLike],
        *,
        degrade: bool = False,
        order: Order = "rgb",
        isolate: bool = False,
        on_error: Literal["return"],
    ) -> list[Answer | InputUnusable]: ...

    def infer_batch(
        self,
        samples: Sequence[SampleLike],
        *,
        degrade: bool = False,
        order: Order = "rgb",
        isolate: bool = False,
        on_error: Literal["raise", "return"] = "raise",
    ) -> list[Answer] | list[Answer | InputUnusable]:
        """Answer on many samples, each with its own inputs present; see `infer`.

        Rows are grouped by their modalities, so every row gets the answer that it would get
        alone, to float32 rounding. A group runs as soon as it is as large as the engines
        allow, so memory does not grow with the number of samples. In a row's `ms` an engine's
        time is that of the whole group the row ran in.

        Args:
            samples: each a `Sample`, a text, a dict with the keys `text` and `video`, or a tuple
                (text, video).
            degrade: as in `infer`, for each row.
            order: as in `infer`, for each row.
            isolate: as in `infer`.
            on_error: what becomes of a row that cannot be used, with `degrade` of one that has no
                usable input: "raise" its error, or "return" it and answer on the other rows.

        Returns:
            One entry a row, in order: its `Answer`, or with "return" the `InputUnusable` that
            `infer` would raise.

        Raises:
            UsageError: a row is no sample, or as for `infer`; the message has the row's number.
            InputUnusable: as for `infer`, unless errors are returned.
            ArtefactMismatch: as for `infer`.
        """
        check_one_of("on_error", on_error, ("raise", "return"))
        if not isinstance(samples, Sequence) or isinstance(samples, str | bytes):
            raise UsageError(f"samples must be a list of Sample, not {type(samples).__name__}")
        answers: dict[int, Answer | InputUnusable] = {}
        groups: dict[Modality, dict[int, Prepared]] = {}

        def flush(group: dict[int, Prepared]) -> None:
            answers.update(zip(group, self._answer([*group.values()]), strict=True))
            group.clear()

        for number, sample in enumerate(samples):
            try:
                row = self._inputs.prepare(
                    sample_of(sample), degrade=degrade, order=order, isolate=isolate
                )
            except TrmlError as error:
                error.args = (f"sample {number}: {error}",)
                if isinstance(error, InputUnusable) and on_error == "return":
                    answers[number] = error.with_traceback(None)  # it would keep the batch alive
                    continue
                raise
            group = groups.setdefault(row.present, {})
            if self._is_full([*group.values(), row]):
                flush(group)
            group[number] = row
        for group in groups.values():
            flush(group)
        return [answers[number] for number in range(len(samples))]

    def trace(
        self,
        text: TextLike | None = None,
        video: VideoLike | None = None,
        *,
        degrade: bool = False,
    ) -> dict[str, Tensors]:
        """Run every engine set that the inputs allow, and return all tensors of each.

        For evaluation and for comparing engines: what the model would say with both inputs,
        and with each of them alone. An encoder runs once for all sets.

        Args:
            text: as in `infer`.
            video: as in `infer`.
            degrade: as in `infer`.

        Returns:
            For each set, by name ("text", "video", "text_video"), its tensors by the names of
            the bundle format, inputs and intermediate tensors, batch size 1.

        Raises:
            UsageError: as for `infer`.
            InputUnusable: as for `infer`.
            ArtefactMismatch: as for `infer`.
        """
        row = self._inputs.prepare(Sample(text, video), degrade=degrade)
        self._dispatcher.select(row.present)  # no quiet step down to fewer modalities
        return self._dispatcher.run_all(self._inputs.stack([row]))

    def stream(
        self,
        video: VideoSource | None = None,
        text: TextSource | None = None,
        *,
        window: int | None = None,
        every: float = 0.0,
        policy: Policy | None = None,
        buffer: int | None = None,
        max_staleness: float | None = None,
        hold: float = 5.0,
        offset: float = 0.0,
        stall_after: float = 2.0,
        restart_after: float = 5.0,
        freeze_after: float | None = None,
        max_gap: float = 10.0,
        deadline_ms: float | None = None,
        anytime: bool = False,
        video_if_needed: bool = False,
        keep_vectors: bool = True,
        order: Order = "rgb",
        wait_for_source: bool = False,
        isolate: bool = False,
        record: str | os.PathLike[str] | None = None,
        on_event: Callable[[StreamEvent], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Stream:
        """Open a stream of answers on frames and texts as they come; see `docs/streaming.md`.

        Iterate over one that has sources. Push to one that has none, and poll. It uses the engines
        of this runtime, and so may several streams at once. Close it before the runtime.

        Args:
            video: the path of a video, a picture or a folder of pictures; a camera, an address or
                a pipe (`docs/streaming.md`); or pairs of a time in seconds and a frame.
            text: the path of SRT, VTT or JSON lines; or texts: a str, (t, text), (t, end, text), or
                a dict with the keys `t`, `end` and `text`.
            window: the most frames of an answer; None: as many as the model takes.
            every: seconds of media time between two frames that are taken; 0 takes all.
            policy: "freshest": a frame that waits gives way to the next; "every": all are taken.
                None: "freshest" for live sources and for frames that are pushed, else "every".
            buffer: how many frames may wait; None: 1 with "freshest", 8 with "every".
            max_staleness: seconds that a frame may wait; None: 0.5 with "freshest", else any.
            hold: seconds that a text counts after its end.
            offset: seconds that are added to the times of texts.
            stall_after: seconds without a frame until a virtual video stands in.
            restart_after: seconds without one until the reader of a live source is started again.
            freeze_after: seconds of equal frames until one does; None: any.
            max_gap: a step of media time of more seconds begins a new epoch.
            deadline_ms: how old the newest input of an answer may be. Video is left out where
                it would come later, by the times that answers took here.
            anytime: answer on the text at once, and again when the frames are done.
            video_if_needed: answer on the text alone where it is sure, as in `infer`.
            keep_vectors: encode each frame once, not once a window.
            order: of the colours in arrays of `video`, as in `infer`.
            wait_for_source: go on trying where a live source cannot be opened.
            isolate: decode a video file in a process of its own, as live sources always are.
            record: a file to write answers to, for `replay`, and beside it their frames.
            on_event: is called with each change of an input, in the thread that polls.
            clock: seconds that pass; for tests.

        Raises:
            UsageError: an argument makes no sense.
            InputUnusable: the file of texts cannot be read. A video that cannot be opened is told
                when answers are polled.
        """
        # A first answer needs no stream, and its rooms take time to import.
        from trml_rt.stream.model import Model
        from trml_rt.stream.opening import open_stream
        from trml_rt.stream.pull import is_live
        from trml_rt.stream.rules import Rules

        for name, called in (("on_event", on_event), ("clock", clock)):
            if called is not None and not callable(called):
                raise UsageError(f"{name}: must be a function, not {type(called).__name__}")
        pushed = video is None and text is None
        live = pushed if video is None else is_live(video)
        rules = Rules(
            window=self.bundle.manifest.video.frames if window is None else window,
            every=every,
            policy=policy or ("freshest" if live else "every"),
            buffer=buffer,
            max_staleness=max_staleness,
            hold=hold,
            offset=offset,
            stall_after=stall_after,
            restart_after=restart_after,
            freeze_after=freeze_after,
            max_gap=max_gap,
            deadline_ms=deadline_ms,
            anytime=anytime,
            video_if_needed=video_if_needed,
            keep_vectors=keep_vectors,
        )
        return open_stream(
            rules,
            Model(
                self._inputs,
                self._dispatcher,
                self._answer,
                keep=keep_vectors,
                sure=self._sure() if video_if_needed else None,
            ),
            self.bundle,
            self.provenance,
            video,
            text,
            inputs=self._inputs,
            wait_for_source=wait_for_source,
            isolate=isolate,
            order=order,
            record=None if record is None else path_of("record", record),
            on_event=on_event,
            clock=clock,
        )

    def replay(self, record: str | os.PathLike[str]) -> Replay:
        """Answer with `infer` on the frames and texts of a recorded stream, and compare.

        Args:
            record: the file that `stream` was to record to.

        Raises:
            UsageError: it cannot be read, or was recorded with another bundle.
            ArtefactMismatch: it is damaged.
        """
        from trml_rt.stream.record import prove

        video = self.bundle.manifest.video
        return prove(
            path_of("record", record),
            self.bundle.sha256,
            (video.height, video.width, 3),
            lambda text, frames: self.infer(text, frames, degrade=True),
        )

    def warm_up(self) -> float:
        """Load every engine and run each engine set, so that no later call waits for it.

        Inputs are padding and black frames. On a GPU every length that texts are padded to runs
        twice, after which it has its CUDA graph. Decoders of videos load with the first file.

        Returns:
            The milliseconds that it took.

        Raises:
            ArtefactMismatch: as for `infer`.
        """
        start = time.perf_counter()
        for present in self._set_names:
            lengths = self._inputs.lengths if Modality.TEXT in present else [None]
            for length in lengths:
                inputs = self._inputs.stack([self._inputs.blank(present, length)])
                for _ in range(2 if self._inputs.few_shapes else 1):
                    self._dispatcher.run(present, inputs)
        return (time.perf_counter() - start) * 1e3

    def clone(self) -> Runtime:
        """Return a second runtime on the same model, for another thread; close it, too.

        Bundle, tokenizer and loaded engines are shared, and freed with the last that uses them.
        On a GPU the calls of one runtime wait in line, and those of clones do not.

        Raises:
            UsageError: the runtime is closed, or belongs to a parent process.
        """
        other = copy.copy(self)
        other._dispatcher = self._dispatcher.clone()
        return other

    def close(self) -> None:
        """Free the engines that no clone uses; closing twice is fine."""
        self._dispatcher.close()
        self._inputs.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sure(self) -> Callable[[Answer], bool]:
        """Return what says whether an answer on a text is sure enough; see `calibrate_need`."""
        if self._threshold is None:
            self._threshold = read_need(self.bundle).threshold
        threshold, task = self._threshold, self.bundle.manifest.task
        return lambda answer: certainty(answer.score, task) >= threshold

    def _is_full(self, rows: list[Prepared]) -> bool:
        """Say whether `rows` together are more than the engines' axes allow."""
        axes = self.bundle.manifest.axes
        frames = sum(len(row.pixels) for row in rows if row.pixels is not None)
        return len(rows) > axes.batch.max or frames > axes.frames.max

    def _answer(self, rows: list[Prepared], kept: Tensors | None = None) -> list[Answer]:
        """Run rows of one presence together; what encoders made of them before may be `kept`."""
        present = rows[0].present
        start = time.perf_counter()
        inputs = self._inputs.stack(rows) | (kept or {})
        shaping = (time.perf_counter() - start) * 1e3
        tensors, engines_ms = self._dispatcher.run(present, inputs)
        answers = []
        for row, prediction in zip(rows, tensors["prediction"], strict=True):
            label, score, probabilities = read_prediction(prediction, self.bundle.manifest.task)
            ms = {"decode": 0.0, "preprocess": 0.0, **row.ms}
            ms["preprocess"] += shaping
            ms |= engines_ms
            answers.append(
                Answer(
                    label=label,
                    score=score,
                    probabilities=probabilities,
                    range=self.range,
                    inputs={name: row.reports[name] for name in ("text", "video")},
                    engine_set=self._set_names[present],
                    backend=self._backend_name,
                    engines=self._engines_name,
                    verified=self._set_names[present] in self._passed,
                    ms=ms | {"total": sum(ms.values())},
                )
            )
        return answers
