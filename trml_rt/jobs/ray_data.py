"""Jobs beyond one machine, on Ray Data: each actor has a worker of its own, as a local job has.

So a clip that crashes a decoder costs its row a second try alone there, too, and no actor. Only
texts and paths travel, and answers; clips are read where they are answered.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trml_rt import errors
from trml_rt.bundle.arguments import check_whole, path_of
from trml_rt.bundle.engine_folder import Precision
from trml_rt.bundle.folder import BundleLike
from trml_rt.errors import EnvironmentUnfit, TrmlError, lacks_package
from trml_rt.jobs.crew import Crew, Said, WorkerOptions
from trml_rt.jobs.records import bad_row, columns, flat, record_of, schema_of
from trml_rt.jobs.rows import JobRow, row_of
from trml_rt.runtime import load

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Answers", "RayCrew"]

_SECONDS = 10.0  # to wait for a cluster
_BLOCK = 64  # rows that travel together, at least
_BLOCKS = 1000  # at most, however many rows there are


class _Actor:
    """A worker that lives as long as this object."""

    def __init__(self, options: WorkerOptions, provenance: Mapping[str, str | bool]) -> None:
        self._crew = Crew(options, 1, provenance)

    def say(self, rows: Sequence[JobRow]) -> list[dict[str, Any]]:
        """Return what is said of each row."""
        said = {id(row): each for group in self._crew.answers(rows) for row, each in group}
        return [said[id(row)] for row in rows]

    def close(self) -> None:
        """End the worker; it also ends with this process."""
        self._crew.close()


class Answers:
    """Answers on tables of rows, for an actor pool of Ray Data, or for Spark.

        rows.map_batches(Answers, batch_format="pyarrow", concurrency=8)

    A table has the columns that a file of rows may have: `id`, `text`, `video`, `score`, `label`.
    The table that comes back has the columns of a job's CSV and Parquet, without `line`.

    Args:
        bundle: as in `trml_rt.load`; the folder must be there on each machine.
        backend: as in `trml_rt.load`.
        precision: as in `trml_rt.load`.
        threads: CPU threads of the worker; give Ray as many `num_cpus`.
        degrade: as in `Runtime.infer`.
        batch: as in `run_job`.
        folder: what the paths of videos are relative to.
        key: as in `run_job`.

    Raises:
        ArtefactMismatch: as for `trml_rt.load`.
        EnvironmentUnfit: as for `trml_rt.load`, or pyarrow is lacking.
    """

    def __init__(
        self,
        bundle: BundleLike = None,
        *,
        backend: str = "auto",
        precision: Precision | None = None,
        threads: int = 1,
        degrade: bool = False,
        batch: int = 1,
        folder: str | os.PathLike[str] = ".",
        key: str = "id",
    ) -> None:
        for name, value in {"threads": threads, "batch": batch}.items():
            check_whole(name, value)
        self._folder, self._key = path_of("folder", folder), key
        with load(bundle, backend=backend, precision=precision, threads=threads) as runtime:
            self._task = runtime.bundle.manifest.task
            self._actor = _Actor(
                WorkerOptions(
                    bundle=str(runtime.bundle.folder),
                    backend=backend,
                    precision=precision,
                    lanes=1,
                    threads=threads,
                    degrade=degrade,
                    batch=batch,
                ),
                runtime.provenance,
            )

        weakref.finalize(self, self._actor.close)

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker; it also ends with this object."""
        self._actor.close()

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns of the answers, as Spark wants to be told."""
        return schema_of({k: v for k, v in columns(self._task).items() if k != "line"})

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """Return the answers of a table of rows, in its order."""
        rows = [
            row_of({k: v for k, v in cells.items() if v is not None}, 0, self._folder, self._key)
            for cells in table.to_pylist()
        ]
        sound = [row for row in rows if row.fault is None]
        said = iter(self._actor.say(sound))
        records = [
            record_of(row, next(said) if row.fault is None else bad_row(row), self._task)
            for row in rows
        ]
        import pyarrow

        return pyarrow.Table.from_pylist([flat(record) for record in records], self.schema)


class _Texts:
    """What an actor of a job does: rows come, and what is said goes, as texts of JSON."""

    def __init__(self, options: dict[str, Any], provenance: dict[str, str | bool]) -> None:
        self._actor = _Actor(WorkerOptions(**options), provenance)

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        rows = [
            JobRow(number, Path("/"), **json.loads(row))
            for number, row in zip(
                table["number"].to_pylist(), table["row"].to_pylist(), strict=True
            )
        ]
        try:
            said = [json.dumps(each) for each in self._actor.say(rows)]
        except TrmlError as error:  # as data: of an error, Ray passes on little more than words
            said = [json.dumps({"fault": type(error).__name__, "message": str(error)})] * len(rows)
        return table.drop_columns(["row"]).append_column("said", [said])


class RayCrew:
    """The actors of a job; to a job they are what a `Crew` is.

    Args:
        options: of each worker.
        workers: how many actors there are; None: as many as the CPUs of the cluster allow.
        provenance: of the engines that must answer.
        address: of a running cluster, or "local" for one that lives as long as the job.
    """

    def __init__(
        self,
        options: WorkerOptions,
        workers: int | None,
        provenance: Mapping[str, str | bool],
        address: str,
    ) -> None:
        _ray()  # its lack is told before --force clears anything
        self._options = options
        self._workers = workers
        self._provenance = dict(provenance)
        self._address = address

    def __enter__(self) -> RayCrew:
        ray = _ray()
        options: dict[str, Any] = {"include_dashboard": False} if self._address == "local" else {}
        try:
            _knock(self._address)
            ray.init(self._address, log_to_driver=False, logging_level="WARNING", **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise EnvironmentUnfit(
                f"no cluster of Ray at {self._address} ({error}); start it, or pass --ray local"
            ) from None
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)  # the job tells how far it is
        return self

    def __exit__(self, *_: object) -> None:
        _ray().shutdown()

    def answers(self, rows: Sequence[JobRow]) -> Iterator[list[Said]]:
        """Yield what is said of `rows`, each row once, as it comes."""
        import pyarrow

        ray = _ray()
        cpus = self._options.lanes * self._options.threads
        size = max(_BLOCK, len(rows) // _BLOCKS)
        texts = [json.dumps(_absolute(row.inputs())) for row in rows]
        blocks = [
            pyarrow.table(
                {
                    "number": range(start, min(start + size, len(rows))),
                    "row": texts[start : start + size],
                }
            )
            for start in range(0, len(rows), size)
        ]
        most = self._workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus)
        answered = ray.data.from_arrow(blocks).map_batches(
            _Texts,
            fn_constructor_kwargs={
                "options": asdict(self._options),
                "provenance": self._provenance,
            },
            batch_size=_BLOCK,
            batch_format="pyarrow",
            concurrency=min(most, len(blocks)),
            num_cpus=cpus,
        )
        try:
            for table in answered.iter_batches(batch_size=None, batch_format="pyarrow"):
                said = [json.loads(text) for text in table["said"].to_pylist()]
                if said and "fault" in said[0]:
                    raise getattr(errors, said[0]["fault"])(said[0]["message"])
                yield [*zip((rows[n] for n in table["number"].to_pylist()), said, strict=True)]
        except ray.exceptions.RayError as error:
            first = str(error).strip().partition("\n")[0]
            raise EnvironmentUnfit(
                f"Ray gave up ({first}); look into the logs of the cluster, and start the job again"
            ) from None


def _ray() -> Any:
    """Return the package Ray, with its reports to its vendor turned off.

    Raises:
        EnvironmentUnfit: it is lacking.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise lacks_package("--ray", error, "ray") from None
    return ray


def _knock(address: str) -> None:
    """Raise OSError where nobody listens: Ray would wait for minutes, and end the process."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()


def _absolute(inputs: dict[str, str]) -> dict[str, str]:
    """Return inputs whose paths mean the same in every process."""
    return {k: v if k == "text" else str(Path(v).absolute()) for k, v in inputs.items()}
