"""One worker of a job, in a process of its own.

    python -m trml_rt.jobs.worker JSON, with the fields of `WorkerOptions`

It reads a task a line and says its answers on a line. Rows come as texts and paths, so no frame
travels between processes. Where a worker has two cores or more, two lanes share its session: one
decodes while the other one's rows are in the engines.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trml_rt.answer import Answer
from trml_rt.errors import (
    EnvironmentUnfit,
    InputUnusable,
    TrmlError,
    UsageError,
    VerificationFailed,
)
from trml_rt.inputs.limits import MediaLimits
from trml_rt.runtime import Runtime, load

__all__ = ["answer_rows", "serve"]


def answer_rows(
    runtime: Runtime, rows: Sequence[Mapping[str, str]], *, degrade: bool, batch: int
) -> list[dict[str, Any]]:
    """Return for each row its answer without times, or `error` and `message`.

    Args:
        runtime: answers.
        rows: each with `text`, or the paths `text_file` and `video`.
        degrade: as in `Runtime.infer`.
        batch: rows that go into the engines together. With 1 a row's answer is to the bit the one
            that `Runtime.infer` gives; with more, to float32 rounding.
    """
    if batch == 1:
        return [_one(runtime, row, degrade) for row in rows]
    # Texts of one length make the fullest batches, and rows of one presence run together.
    order = sorted(
        range(len(rows)), key=lambda at: (sorted(rows[at]), len(rows[at].get("text", "")))
    )
    said: dict[int, dict[str, Any]] = {}
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        said |= zip(places, _together(runtime, [rows[at] for at in places], degrade), strict=True)
    return [said[at] for at in range(len(rows))]


def _one(runtime: Runtime, row: Mapping[str, str], degrade: bool) -> dict[str, Any]:
    try:
        return _said(runtime.infer(**_sample(row), degrade=degrade))
    except (InputUnusable, UsageError, VerificationFailed) as error:
        return _said(error)


def _together(
    runtime: Runtime, rows: Sequence[Mapping[str, str]], degrade: bool
) -> list[dict[str, Any]]:
    try:
        samples = [_sample(row) for row in rows]
        answers = [*map(_said, runtime.infer_batch(samples, degrade=degrade, on_error="return"))]
    except (UsageError, VerificationFailed):  # of one row, and of which one is found alone
        return [_one(runtime, row, degrade) for row in rows]
    for number, said in enumerate(answers):
        if "message" in said:  # the number is that in the batch, which nobody knows
            said["message"] = said["message"].removeprefix(f"sample {number}: ")
    return answers


def _sample(row: Mapping[str, str]) -> dict[str, Any]:
    text = Path(row["text_file"]) if "text_file" in row else row.get("text")
    return {"text": text, "video": row.get("video")}


def _said(answer: Answer | TrmlError) -> dict[str, Any]:
    if isinstance(answer, Answer):
        said = answer.to_dict()
        del said["ms"]
        return said
    if isinstance(answer, InputUnusable):
        error = answer.reason
    else:
        error = "not_served" if isinstance(answer, UsageError) else "not_finite"
    return {"error": str(error), "message": str(answer)}


def serve(arguments: Mapping[str, Any]) -> None:
    """Answer the tasks on standard input until it ends, which ends this process."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a decoder prints must not stand between the answers
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    lock = threading.Lock()

    def say(content: Mapping[str, Any]) -> None:
        with lock:
            out.write(json.dumps(content) + "\n")
            out.flush()

    def listen() -> None:
        for line in sys.stdin:
            tasks.put(json.loads(line))
        os._exit(0)  # whoever asked is done, or was killed; no answer is awaited

    def lane(runtime: Runtime) -> None:
        options = {"degrade": arguments["degrade"], "batch": arguments["batch"]}
        while True:
            task = tasks.get()
            try:
                say({"task": task["task"], "said": answer_rows(runtime, task["rows"], **options)})
            except TrmlError as error:
                say(_fault(error))
            except BrokenPipeError:
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a bug ends this process, with its traceback
                sys.excepthook(*sys.exc_info())
                os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    try:
        runtime = load(
            arguments["bundle"],
            backend=arguments["backend"],
            precision=arguments["precision"],
            threads=arguments["threads"],
            callers=arguments["lanes"],
            signed_by=arguments["signed_by"],
            limits=MediaLimits(**arguments["limits"]),
        )
    except TrmlError as error:
        say(_fault(error))
        return
    say({"ready": runtime.provenance})
    others = [threading.Thread(target=lane, args=(runtime,)) for _ in range(arguments["lanes"])]
    for each in others:
        each.start()
    for each in others:
        each.join()


def _fault(error: TrmlError) -> dict[str, Any]:
    """Return what ends the whole job: the machine's fault, or the bundle's."""
    kind = type(error).__name__
    kinds = ("ArtefactMismatch", "BackendUnavailable", "UsageError", "VerificationFailed")
    return {"fault": kind if kind in kinds else EnvironmentUnfit.__name__, "message": str(error)}


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
