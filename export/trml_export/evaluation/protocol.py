"""Train every method with every seed and training completeness, in parallel, and score each once.

One run is one method, one share of complete training samples and one seed. Runs share nothing but
the features, so each is a job on one core. The record of a finished run is kept in a file that is
named by a hash of all that decides its numbers. So a protocol that was stopped goes on.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trml_export.config import Config
from trml_export.device import CPU, device_name
from trml_export.evaluation.confidence import score_confidence
from trml_export.evaluation.masks import incomplete
from trml_export.evaluation.methods import Method, train_method
from trml_export.evaluation.scoring import score_cases, score_lengths, score_retrieval
from trml_export.features.features import Features
from trml_export.training.run_key import run_key
from trml_rt.bundle.atomic import write_bytes
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, cannot_write
from trml_rt.progress import time_left

__all__ = ["COMPLETENESS", "Material", "Run", "run_protocol"]

_log = logging.getLogger(__name__)

COMPLETENESS = (1.0, 0.5, 0.1)


@dataclass(frozen=True)
class Run:
    """What to train: a method by name, a share of complete training samples, and a seed."""

    method: str
    completeness: float
    seed: int


@dataclass(frozen=True)
class Material:
    """What all runs read.

    Attributes:
        features: of the splits train and valid, and of `split`.
        config: of TRML; a method changes it, and each run its seed.
        methods: by name.
        split: the split to score.
        device: what to train on.
    """

    features: dict[str, Features]
    config: Config
    methods: Mapping[str, Method]
    split: str
    device: torch.device = CPU


def run_protocol(
    material: Material,
    runs: Sequence[Run],
    *,
    identity: str,
    folder: Path,
    workers: int | None = None,
) -> list[dict[str, Any]]:
    """Return one record a run, in the order of `runs`.

    A record holds the run's fields, `training` (epochs and losses), `cases`, `retrieval`,
    `lengths` and `confidence`.
    Training loses modalities as `masks.incomplete` says; valid and test stay as they are.

    Args:
        material: what the runs are trained and scored on.
        runs: what to train.
        identity: hash of the data set and the backbone.
        folder: where finished runs are kept.
        workers: how many runs at a time; None takes one a core.

    Raises:
        UsageError: a training diverged.
        ArtefactMismatch: a finished run in `folder` is damaged.
        EnvironmentUnfit: `folder` cannot be written, or the system ended a worker.
    """
    paths = {run: folder / f"{_key(run, material, identity)}.json" for run in dict.fromkeys(runs)}
    waiting = [run for run, path in paths.items() if not path.exists()]
    _log.info("runs to train: %d; in the cache: %d", len(waiting), len(paths) - len(waiting))
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)  # before an hour of work, not after
    start = time.monotonic()
    with closing(_train_all(waiting, material, workers or os.cpu_count() or 1)) as records:
        for number, (run, record) in enumerate(records, 1):
            with _writing(folder):
                write_bytes(paths[run], json.dumps(record).encode())
            _log.info(
                "run %d of %d: %s, seed %d, training %.0f%% complete%s",
                *(number, len(waiting), run.method, run.seed, 100 * run.completeness),
                time_left(start, number, len(waiting)),
            )
    # A record is named by what was trained, which another call may have given another name.
    return [{**_read(paths[run]), "method": run.method} for run in runs]


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(folder, error, "name another folder with --cache") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtefactMismatch(
            f"{path}: this finished run is damaged ({error}); delete it to train it again"
        ) from None
    return record


def _train_all(
    runs: Sequence[Run], material: Material, workers: int
) -> Generator[tuple[Run, dict[str, Any]], None, None]:
    """Train `runs` in worker processes, and yield each with its record as it ends."""
    with ProcessPoolExecutor(
        max(1, min(workers, len(runs))),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(material,),
    ) as pool:
        try:
            with _interrupts_kept():
                jobs = {pool.submit(_train, run): run for run in runs}
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BrokenProcessPool:
            raise EnvironmentUnfit(
                "the system ended a process that trained, as it does when memory runs out; pass "
                "fewer --workers, and the finished runs are not trained again"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Keep Ctrl-C for the end of the block, and from the processes that begin in it.

    They inherit that: Ctrl-C amid their imports would end in a traceback of each. See `_prepare`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_material: Material | None = None
"""What a worker process got from its parent at its start."""


def _prepare(material: Material) -> None:
    # From now on Ctrl-C, which the parent gets too and tells of, ends this process without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    global _material
    torch.set_num_threads(1)  # one process a core
    if material.device.type != "cpu":
        torch.set_default_device(material.device)
    _material = material
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent to die, by kill -9 for instance, and leave nothing running."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _train(run: Run) -> dict[str, Any]:
    assert _material is not None
    features, split = _material.features, _material.split
    config = _material.config.model_copy(update={"seed": run.seed})
    method = _material.methods[run.method]
    predictions, training = train_method(
        method,
        incomplete(features["train"], run.completeness),
        features["valid"],
        features[split],
        config,
    )
    return {
        "method": run.method,
        "completeness": run.completeness,
        "seed": run.seed,
        "training": training,
        "cases": score_cases(predictions, features[split], config),
        "retrieval": {} if method.separate else score_retrieval(predictions, features[split]),
        "lengths": {} if method.separate else score_lengths(predictions),
        "confidence": score_confidence(predictions, features[split], config),
    }


def _key(run: Run, material: Material, identity: str) -> str:
    method = material.methods[run.method]
    config = material.config.model_copy(update={**method.changes, "seed": run.seed})
    on_gpu = [] if material.device.type == "cpu" else [device_name(material.device)]
    facts = [_SCHEMA, run.completeness, method.separate, method.average, material.split, *on_gpu]
    return run_key(config, identity, material.features, facts, threads=1)


_SCHEMA = 3  # raise it when what is scored, or how, changes
