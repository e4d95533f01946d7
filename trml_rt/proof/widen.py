"""Verify engines that were just compiled, and widen those that fail in half precision to FP32."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from trml_rt.bundle.engine_folder import EngineFolder, VerificationRecord
from trml_rt.bundle.manifest import Manifest
from trml_rt.engines.compile import (
    BuildJob,
    CompiledEngine,
    compile_widened,
    describe_engines,
)
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.proof.compare import Case
from trml_rt.proof.fp32 import make_record, refuse_failed, verify

__all__ = ["blame", "prove"]


def prove(
    job: BuildJob, staging: Path, compiled: dict[str, CompiledEngine], cases: Sequence[Case]
) -> VerificationRecord:
    """Verify the engines in `staging`, and compile those in FP32 that fail in half precision.

    Args:
        job: what was compiled. Only a recipe by which the compiler computes in half precision lets
            engines be compiled in FP32 instead.
        staging: the folder of the compiled engines.
        compiled: what the compiler said of each; changed for those that are compiled again.
        cases: as in `verify`.

    Raises:
        VerificationFailed: a limit is missed all the same, or no engine is left whose products
            compute in half precision.
    """
    where = str(job.bundle.folder)
    first = record = _compare(job, staging, compiled, cases)
    suspects = set(compiled) if job.recipe.half else set()
    while blamed := blame(job.bundle.manifest, record, suspects):
        suspects -= blamed.keys()
        if not any(compiled[name].report.layers for name in suspects):
            refuse_failed(first, where)  # nothing that gains by it is left in half precision
        for name, problem in blamed.items():
            compiled[name] = compile_widened(job, staging, name, problem)
        record = _compare(job, staging, compiled, cases)
    refuse_failed(record, where)
    return record


def blame(
    manifest: Manifest, record: VerificationRecord, suspects: Collection[str]
) -> dict[str, str]:
    """Return for each engine that makes an engine set miss a limit one problem that it causes.

    In an engine set it is the first suspect with a tensor that misses a limit: what comes after
    it may only inherit the fault. Where no tensor of a suspect does, and the scores do, it is the
    last suspect: a fusion is small, and loses less by another precision than an encoder.

    Args:
        manifest: of the bundle.
        record: what a verification has shown.
        suspects: the engines that may be blamed.
    """
    blamed: dict[str, str] = {}
    for engine_set in manifest.engine_sets:
        problems = record.engine_sets[engine_set.name].problems
        engines = [name for name in engine_set.engines if name in suspects]
        if not problems or not engines:
            continue
        for name in engines:
            tensors = (tensor.name for tensor in manifest.engines[name].outputs)
            words = tuple(f"{engine_set.name}/{tensor}: " for tensor in tensors)
            own = [problem for problem in problems if problem.startswith(words)]
            if own:
                blamed.setdefault(name, own[0])
                break
        else:
            blamed.setdefault(engines[-1], problems[0])
    return blamed


def _compare(
    job: BuildJob, staging: Path, compiled: dict[str, CompiledEngine], cases: Sequence[Case]
) -> VerificationRecord:
    """Hold the engines in `staging` against their references."""
    hashes = EngineFolder(staging, describe_engines(job, staging, compiled)).hashes
    backend = job.row.load().open_backend(job.row.name, None, 1, compiled=True)
    with Dispatcher(job.bundle.manifest, backend, lambda name: staging / job.file(name)) as engines:
        verdicts = verify(job.bundle, engines, job.precision, cases)
    return make_record(job.precision, hashes, verdicts)
