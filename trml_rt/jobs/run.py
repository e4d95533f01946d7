"""Run a job: answer every row of an archive once, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from trml_rt._version import __version__
from trml_rt.backends.process import available_memory, usable_cores
from trml_rt.bundle.arguments import check_one_of, check_whole, path_of
from trml_rt.bundle.engine_folder import Precision
from trml_rt.bundle.folder import Bundle, BundleLike
from trml_rt.bundle.manifest import Task
from trml_rt.errors import UsageError
from trml_rt.inputs.limits import MediaLimits
from trml_rt.jobs.crew import Crew, Said, WorkerOptions
from trml_rt.jobs.folder import Parts, opened
from trml_rt.jobs.ray_data import RayCrew
from trml_rt.jobs.records import bad_row, check_out, record_of, said_of, write_records
from trml_rt.jobs.rows import KEY_KINDS, JobRow, Shard, read_job_rows
from trml_rt.jobs.summary import JobReport, Tally
from trml_rt.progress import counted
from trml_rt.runtime import load

__all__ = ["run_job"]

_log = logging.getLogger(__name__)

_ON_CPU = ("onnxruntime", "openvino")  # elsewhere workers would share one device
_WORKER_BYTES = 300 << 20  # of a worker, beside twice the bundle: its file and its session


def run_job(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    bundle: BundleLike = None,
    *,
    backend: str = "auto",
    precision: Precision | None = None,
    threads: int | None = None,
    workers: int | None = None,
    batch: int = 1,
    degrade: bool = False,
    key: str = "id",
    shard: str | None = None,
    ray: str | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    force: bool = False,
    signed_by: str | os.PathLike[str] | None = None,
    limits: MediaLimits | None = None,
) -> JobReport:
    """Answer every row of `data` into `out`; a job that was killed goes on where it was.

    Args:
        data: rows (.jsonl, .csv, .tsv, .parquet), or a folder of clips and texts.
        out: file to write, .jsonl, .csv or .parquet: a record a row, in the order of the rows.
            What is done so far lies beside it, in a folder with ".job" at the end of its name.
        bundle: as in `trml_rt.load`.
        backend: as in `trml_rt.load`.
        precision: as in `trml_rt.load`.
        threads: CPU threads of one worker; None: its share of the cores.
        workers: processes that answer, each with a session of its own; None: one a core on a CPU,
            as far as the memory goes, and one on any other device.
        batch: rows that go into the engines together. With 1 a row's answer is to the bit the one
            that it gets alone; with more it is that to float32 rounding, and texts are faster.
        degrade: as in `Runtime.infer`.
        key: "id": a row is known by its id, else by its words and the path, size and time of its
            files. "content": by the content of its files, too.
        shard: "i/N": only part i of N of the rows; `merge_jobs` puts the parts together.
        ray: answer on this cluster of Ray, or on a "local" one; workers are its actors then.
        resume: work on a job that is finished: answer rows that are new or changed.
        retry_failed: answer rows with an error again.
        force: answer every row anew, and replace `out`.
        signed_by: as in `trml_rt.load`.
        limits: as in `trml_rt.load`.

    Raises:
        UsageError: an argument makes no sense, the data cannot be read, or `out` is of another
            job or finished.
        EnvironmentUnfit: the machine lacks something.
        ArtefactMismatch: the bundle or a file of the job is damaged.
    """
    start = time.monotonic()
    data, out = path_of("data", data), path_of("out", out)
    for name, value in {"workers": workers, "threads": threads, "batch": batch}.items():
        if value is not None:
            check_whole(name, value)
    check_one_of("key", key, KEY_KINDS)
    part = None if shard is None else _shard(shard)
    check_out(out, [data])
    signer = None if signed_by is None else path_of("signed_by", signed_by)
    with load(
        bundle, backend=backend, precision=precision, threads=threads, signed_by=signer
    ) as runtime:
        opened_bundle, provenance = runtime.bundle, runtime.provenance
    task = opened_bundle.manifest.task
    rows = read_job_rows(data, key=key, shard=part)
    count = workers or _workers(opened_bundle, str(provenance["backend"]))
    cores = threads or (max(1, usable_cores() // count) if ray is None else 1)
    lanes = min(2, cores)  # so that one decodes while the other one's rows are in the engines
    options = WorkerOptions(
        bundle=str(opened_bundle.folder.absolute()),
        backend=backend,
        precision=precision,
        lanes=lanes,
        threads=max(1, cores // lanes),
        degrade=degrade,
        batch=batch,
        signed_by=None if signer is None else str(signer),
        limits=limits or MediaLimits(),
    )
    crew: Crew | RayCrew = Crew(options, count, provenance)
    if ray is not None:
        crew = RayCrew(options, workers, provenance, ray)
    fingerprint = {
        "version": __version__,
        "bundle": opened_bundle.sha256,
        "backend": provenance["backend"],
        "engines": provenance["engines"],
        **{"degrade": degrade, "batch": batch, "key": key, "limits": asdict(options.limits)},
        "shard": None if part is None else str(part),
    }
    with opened(out, fingerprint, task, go_on=resume or retry_failed, force=force) as job:
        answered = _answer_all(rows, crew, job.parts, task, retry_failed=retry_failed)
        job.parts.compact(_records(rows, job.parts, task))
        tally = Tally(task)
        write_records(out, tally.counting(_records(rows, job.parts, task)), task)
        job.finish()
    return tally.report(out, answered=answered, seconds=time.monotonic() - start)


def _answer_all(
    rows: Sequence[JobRow], crew: Crew | RayCrew, parts: Parts, task: Task, *, retry_failed: bool
) -> int:
    """Put a record of each row into `parts` that has none there; return how many those were."""
    todo = [
        row for row in rows if not parts.has(row.key) or (retry_failed and parts.failed(row.key))
    ]
    if done := len(rows) - len(todo):
        _log.info("%d of %d rows are answered already", done, len(rows))
    try:
        with contextlib.closing(_answered(todo, crew)) as answered:
            for row, said in answered:
                parts.add(record_of(row, said, task))
    finally:
        parts.flush()
    return len(todo)


def _answered(todo: Sequence[JobRow], crew: Crew | RayCrew) -> Generator[Said, None, None]:
    """Yield what is said of each row, those with a fault first, and log how far it is."""
    for row in todo:
        if row.fault is not None:
            yield row, bad_row(row)
    sound = [row for row in todo if row.fault is None]
    if sound:
        with crew:
            said = crew.answers(sound)
            for group in counted(said, len(sound), "answering rows", _log, size=len):
                yield from group


def _records(rows: Iterable[JobRow], parts: Parts, task: Task) -> Iterator[dict[str, Any]]:
    """Yield the record of each row in order; what names it now is told by the row."""
    for row in rows:
        yield record_of(row, said_of(parts.read(row.key)), task)


def _shard(text: str) -> Shard:
    """Return the shard that "i/N" names.

    Raises:
        UsageError: it names none.
    """
    number, _, count = text.partition("/") if isinstance(text, str) else ("", "", "")
    if number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count):
        return Shard(int(number), int(count))
    raise UsageError(f"shard: must be i/N with i from 1 to N, such as 2/8, not {text!r}")


def _workers(bundle: Bundle, backend: str) -> int:
    """Return one worker a core on a CPU, as far as the memory goes, and one elsewhere."""
    if backend not in _ON_CPU:
        return 1
    size = sum(entry.bytes for entry in bundle.manifest.files.values())
    memory = available_memory()
    most = usable_cores() if memory is None else memory // (2 * size + _WORKER_BYTES)
    return max(1, min(usable_cores(), most))
