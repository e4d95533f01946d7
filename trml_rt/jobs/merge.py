"""Put the shards of a job together: each answered by a run of its own, somewhere."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trml_rt.bundle.arguments import path_of
from trml_rt.errors import UsageError
from trml_rt.jobs.folder import Job, Parts, read_job
from trml_rt.jobs.records import check_out, write_records
from trml_rt.jobs.summary import JobReport, Tally

__all__ = ["merge_jobs"]


def merge_jobs(
    shards: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    force: bool = False,
) -> JobReport:
    """Write the records of all shards of a job into one file, in the order of the rows.

    Args:
        shards: the files that the shards wrote, 1/N to N/N, their `.job` folders beside them.
        out: file to write, .jsonl, .csv or .parquet.
        force: replace `out`.

    Raises:
        UsageError: a shard is absent, given twice, not finished, or of another job.
        ArtefactMismatch: a file of a shard is damaged.
        EnvironmentUnfit: `out` cannot be written.
    """
    start = time.monotonic()
    paths = [path_of("shards", shard) for shard in shards]
    out = path_of("out", out)
    check_out(out, paths)
    if out.exists() and not force:
        raise UsageError(f"{out}: exists already; name another file, or pass --force")
    jobs = {path: read_job(path) for path in paths}
    task = _only_job(paths, {path: job for path, (job, _) in jobs.items()}).task
    tally = Tally(task)
    # Each shard has its records in the order of their lines already.
    streams = [_records(parts) for _, parts in jobs.values()]
    records = heapq.merge(*streams, key=lambda record: int(record["line"]))
    write_records(out, tally.counting(records), task)
    return tally.report(out, answered=0, seconds=time.monotonic() - start)


def _records(parts: Parts) -> Iterator[dict[str, Any]]:
    for key in parts:
        yield parts.read(key)


def _only_job(paths: Sequence[Path], jobs: Mapping[Path, Job]) -> Job:
    """Return the job that all shards are of; UsageError unless each shard of it is there once."""
    if not jobs:
        raise UsageError("no shard is named; name the file of each shard")
    first = jobs[paths[0]]
    by_shard: dict[str, Path] = {}
    for path in paths:
        for name, value in jobs[path].fingerprint.items():
            if name != "shard" and first.fingerprint.get(name) != value:
                raise UsageError(f"{path}: is of a job with another {name} than {paths[0]}")
        shard = jobs[path].fingerprint["shard"]
        if shard is None:
            raise UsageError(f"{path}: is no shard, but a whole job; leave it out")
        if shard in by_shard:
            raise UsageError(f"{path}: is shard {shard}, as {by_shard[shard]} is; name it once")
        by_shard[shard] = path
    count = int(next(iter(by_shard)).partition("/")[2])
    lacking = [f"{n}/{count}" for n in range(1, count + 1) if f"{n}/{count}" not in by_shard]
    if lacking or len(by_shard) != count:
        what = f"shard {', '.join(lacking)} is not there" if lacking else "shards of two counts"
        raise UsageError(f"{paths[0]}: {what}; name every shard of one job")
    return first
