"""Put a bundle in service: prove it on this device, and then let a link name it.

Who reads the link opens the old bundle or the new one, whole, at every moment.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trml_rt.bundle.arguments import check_number, path_of
from trml_rt.bundle.engine_folder import Precision
from trml_rt.bundle.folder import Bundle, open_bundle
from trml_rt.bundle.signature import check_signature
from trml_rt.engines.choose import Choice, choose
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.errors import TrmlError, UsageError, VerificationFailed
from trml_rt.fleet.link import ServiceLink
from trml_rt.inputs.prepare import Sample
from trml_rt.inputs.rows import evenly, refuse_all
from trml_rt.progress import counted
from trml_rt.proof.compare import LIMITS, compare
from trml_rt.proof.fp32 import run_cases
from trml_rt.proof.golden import first_row, golden_answers
from trml_rt.runtime import Runtime, load

__all__ = ["Deployment", "deploy", "rollback"]

_log = logging.getLogger(__name__)

_CALLS = 20  # timed calls of each engine set
_SHARE = 90  # percent of the calls that must be as fast as was asked for


@dataclass(frozen=True)
class Deployment:
    """What is in service now, and what was proved of it before.

    Attributes:
        folder: the bundle in service.
        previous: the one that was in service before this call; None if there was none.
        changed: False if the bundle was in service already.
        key: sha256 of the public key in PEM, which names the signer; None if none was demanded.
        backend: what ran the engines; None for a rollback, which runs none.
        engines: their name: "portable", or that of the engine folder; None for a rollback.
        rows: number of rows of the probe that were answered.
        ms: for each engine set `p50` and `p90` of the milliseconds of its timed calls.
    """

    folder: Path
    previous: Path | None
    changed: bool
    key: str | None = None
    backend: str | None = None
    engines: str | None = None
    rows: int = 0
    ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the deployment as JSON-ready values, as `trml-rt deploy --json` prints it."""
        previous = None if self.previous is None else str(self.previous)
        return asdict(self) | {"folder": str(self.folder), "previous": previous}


def deploy(
    bundle: str | os.PathLike[str],
    current: str | os.PathLike[str],
    *,
    probe: str | os.PathLike[str] | None = None,
    signed_by: str | os.PathLike[str] | None = None,
    max_ms: float | None = None,
    backend: str = "auto",
    precision: Precision | None = None,
    threads: int | None = None,
) -> Deployment:
    """Prove a bundle on this device, and then let the link `current` name it.

    Every hash is compared, every engine set is held to its golden file, every row of the probe is
    answered, and calls of every engine set are timed. Where one of these fails, the link stays as
    it is. Ctrl-C or a kill leaves it at the old bundle or at the new one.

    Args:
        bundle: folder of the bundle.
        current: the link; it may be absent. What it named before is kept for `rollback`, in the
            folder of its name with `.d` at the end.
        probe: rows to answer, as of a job: a file, or a folder of clips and texts.
        signed_by: file of a public key; the bundle must be signed with the key that belongs to it.
        max_ms: milliseconds within which 90 of 100 calls of each engine set must be done. A call
            answers a row of the probe. Where the probe has none for an engine set, a call runs its
            engines on the first golden row, without decoding and tokenizing.
        backend: as in `load`; what serves from the link must take the same.
        precision: as in `load`.
        threads: as in `load`.

    Raises:
        UsageError: an argument makes no sense, `current` is no link or lies in the bundle, or a
            row of the probe is none.
        VerificationFailed: an answer is not that of the golden file, or calls take too long.
        InputUnusable: a row of the probe cannot be used.
        ArtefactMismatch: the bundle is damaged, or not signed as `signed_by` wants it.
        EnvironmentUnfit: the link cannot be written, or as for `load`.
    """
    if max_ms is not None:
        check_number("max_ms", max_ms)
    link, new = ServiceLink(current), open_bundle(path_of("bundle", bundle))
    folder = Path(os.path.realpath(new.folder))
    if link.path.is_relative_to(folder):
        raise UsageError(f"{link.path}: lies in the bundle; name a link outside of it")
    samples = {} if probe is None else _samples(path_of("probe", probe))
    new.verify_files()
    key = None if signed_by is None else check_signature(new, signed_by).key
    choice = choose(new, backend, precision, threads, 1)
    ms = _hold_to_golden(new, choice)
    if samples:
        with load(new, backend=backend, precision=precision, threads=threads) as runtime:
            ms |= _answer(runtime, samples)
    _refuse_slow(new, ms, max_ms)
    with link.locked():
        previous = link.target()
        if previous != folder:
            link.put(folder)
    return Deployment(
        folder,
        previous,
        previous != folder,
        key,
        backend=choice.backend.name,
        engines=choice.engines,
        rows=len(samples),
        ms=ms,
    )


def rollback(
    current: str | os.PathLike[str], *, signed_by: str | os.PathLike[str] | None = None
) -> Deployment:
    """Let the link `current` name the bundle again that was in service before.

    Its hashes are compared, and no engine is run. Called again, it goes one bundle further back.

    Args:
        current: the link, as in `deploy`.
        signed_by: file of a public key; the bundle must be signed with the key that belongs to it.

    Raises:
        UsageError: `current` is no link, or no other bundle was in service before.
        ArtefactMismatch: that bundle is gone, damaged, or not signed as `signed_by` wants it.
        EnvironmentUnfit: the link cannot be written.
    """
    link = ServiceLink(current)
    link.before()  # refuses a link without one, before a lock is made
    with link.locked():
        number, folder = link.before()
        old = open_bundle(folder)
        old.verify_files()
        key = None if signed_by is None else check_signature(old, signed_by).key
        previous = link.target()
        link.back(number)
    return Deployment(folder, previous, changed=True, key=key)


def _samples(probe: Path) -> dict[str, Sample]:
    """Return what the rows of the probe hold, by what a message calls them."""
    from trml_rt.jobs.rows import read_job_rows  # here: `import trml_rt` needs no jobs

    rows = read_job_rows(probe)
    refuse_all(probe, [f"line {row.line}: {row.fault}" for row in rows if row.fault is not None])
    samples = {}
    for row in rows:
        given = row.inputs()
        text = Path(given["text_file"]) if "text_file" in given else given.get("text")
        samples[f"{probe}: row {row.id or row.line}"] = Sample(text, given.get("video"))
    return samples


def _hold_to_golden(bundle: Bundle, choice: Choice) -> dict[str, dict[str, float]]:
    """Raise VerificationFailed unless the engines give what the golden files hold; time calls."""
    manifest, (cases, expected) = bundle.manifest, golden_answers(bundle)
    sets, limits = manifest.engine_sets, LIMITS[choice.precision]
    with Dispatcher(manifest, choice.backend, choice.locate) as engines:
        answers = run_cases(engines, cases)
        verdicts = compare(manifest, sets, cases, expected, answers, limits)
        if problems := [text for verdict in verdicts.values() for text in verdict.problems]:
            raise VerificationFailed(
                f"{bundle.folder}: {'; '.join(problems)} ({choice.engines} engines, golden files); "
                "build its engines again, or export it again"
            )
        return {
            each.name: _time_calls([partial(engines.run, each.present, first_row(case.inputs))])
            for each, case in zip(sets, cases, strict=True)
        }


def _answer(runtime: Runtime, samples: Mapping[str, Sample]) -> dict[str, dict[str, float]]:
    """Answer every sample, then time calls of each engine set that some of them ran."""
    calls: dict[str, list[Callable[[], Any]]] = {}
    for name, sample in counted(samples.items(), len(samples), "the probe", _log):
        call = partial(runtime.infer, sample.text, sample.video)
        try:
            answer = call()
        except TrmlError as error:
            error.args = (f"{name}: {error}",)
            raise
        calls.setdefault(answer.engine_set, []).append(call)
    return {name: _time_calls(evenly(each, _CALLS)) for name, each in calls.items()}


def _time_calls(calls: Sequence[Callable[[], Any]]) -> dict[str, float]:
    """Return the milliseconds of calls in turn, the first of them left out."""
    calls[0]()
    times = []
    for number in range(_CALLS):
        start = time.perf_counter()
        calls[number % len(calls)]()
        times.append((time.perf_counter() - start) * 1e3)
    middle, most = np.percentile(times, [50, _SHARE])
    return {"p50": round(float(middle), 3), f"p{_SHARE}": round(float(most), 3)}


def _refuse_slow(
    bundle: Bundle, ms: Mapping[str, Mapping[str, float]], max_ms: float | None
) -> None:
    slow = [
        f"{name} takes {each[f'p{_SHARE}']:g} ms"
        for name, each in ms.items()
        if max_ms is not None and each[f"p{_SHARE}"] > max_ms
    ]
    if slow:
        raise VerificationFailed(
            f"{bundle.folder}: {', '.join(slow)} ({_SHARE} of 100 calls are faster), and "
            f"{max_ms:g} ms were asked for; build faster engines, or allow more"
        )
