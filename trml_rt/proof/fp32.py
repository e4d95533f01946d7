"""Verify engines: run them and their references on the same inputs, and compare every tensor.

There are two references: the golden files, which are the training framework's own answers, and
the bundle's portable graphs in FP32 on ONNX Runtime, on any inputs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle.engine_folder import (
    VERIFICATION_SCHEMA,
    Precision,
    SetVerdict,
    VerificationRecord,
)
from trml_rt.bundle.files import FileLike
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import EngineSet
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.errors import VerificationFailed
from trml_rt.progress import counted
from trml_rt.proof.compare import LIMITS, Answers, Case, Limits, Verdict, compare
from trml_rt.proof.golden import golden_answers

__all__ = ["make_record", "reference_answers", "refuse_failed", "run_cases", "verify"]

_log = logging.getLogger(__name__)

_GOLDEN: Literal["golden files"] = "golden files"
"""What messages and records call the training framework's own answers."""


def verify(
    bundle: Bundle, engines: Dispatcher, precision: Precision, cases: Sequence[Case] = ()
) -> dict[str, SetVerdict]:
    """Hold engines against the golden files and against FP32, each engine set for itself.

    Args:
        bundle: the bundle; its golden files and its portable graphs are the references.
        engines: what is to be verified.
        precision: whose `LIMITS` count, for both references.
        cases: inputs to compare with FP32 on. An engine set that none of them runs is compared
            on the inputs of its golden file.

    Returns:
        The verdict on each engine set of the bundle, by name. Each problem and each warning
        names its reference.
    """
    sets, limits = bundle.manifest.engine_sets, LIMITS[precision]
    _log.info("comparing with the golden files")
    golden_cases, expected = golden_answers(bundle)
    answers = run_cases(engines, golden_cases)
    golden = compare(bundle.manifest, sets, golden_cases, expected, answers, limits)
    _log.info("verifying against FP32")
    keys = [case.inputs.keys() for case in cases]
    on_data = [s for s in sets if any(each >= set(s.inputs) for each in keys)]
    on_golden = [s for s in sets if s not in on_data]
    fp32: dict[str, Verdict] = {}
    if on_data:
        given = run_cases(
            engines, counted(cases, len(cases), f"{precision} engines", _log), on_data
        )
        fp32 |= _against_fp32(bundle, on_data, cases, given, limits)
    if on_golden:
        if cases:
            names = ", ".join(each.name for each in on_golden)
            _log.info("no row has the inputs of %s: compared on those of the golden files", names)
        fp32 |= _against_fp32(bundle, on_golden, golden_cases, answers, limits)
    return {s.name: _verdict(fp32[s.name], golden[s.name], on_data=s in on_data) for s in sets}


def _verdict(fp32: Verdict, golden: Verdict, *, on_data: bool) -> SetVerdict:
    """Return the verdict on one engine set of both references."""
    by_reference = {_GOLDEN: golden, "FP32": fp32}
    problems = [f"{text} ({r})" for r, each in by_reference.items() for text in each.problems]
    return SetVerdict(
        passed=not problems,
        problems=problems,
        warnings=[f"{text} ({r})" for r, each in by_reference.items() for text in each.warnings],
        inputs="data" if on_data else _GOLDEN,
        fp32=fp32.measured,
        golden=golden.measured,
    )


def _against_fp32(
    bundle: Bundle,
    sets: Sequence[EngineSet],
    cases: Sequence[Case],
    answers: Answers,
    limits: Limits,
) -> dict[str, Verdict]:
    """Compare with FP32 what engines gave as `answers` to `cases`."""
    counted_cases = counted(cases, len(cases), "the reference", _log)
    expected = reference_answers(bundle, counted_cases, sets=sets)
    return compare(bundle.manifest, sets, cases, expected, answers, limits)


def make_record(
    precision: Precision, files: Mapping[str, str], verdicts: Mapping[str, SetVerdict]
) -> VerificationRecord:
    """Return the record of a verification.

    Args:
        precision: of the engines.
        files: the hash of the file of each engine that was compared.
        verdicts: what `verify` gives.
    """
    return VerificationRecord.model_validate(
        {
            "schema": VERIFICATION_SCHEMA,
            "precision": precision,
            "reference": "portable graphs, fp32, onnxruntime",
            "limits": asdict(LIMITS[precision]),
            "engines": dict(files),
            "engine_sets": dict(verdicts),
        }
    )


def reference_answers(
    bundle: Bundle,
    cases: Iterable[Case],
    *,
    sets: Sequence[EngineSet] | None = None,
    instead: Mapping[str, Path] | None = None,
) -> Answers:
    """Run the bundle's portable graphs, in FP32, on `cases`.

    Args:
        bundle: the bundle.
        cases: the inputs.
        sets: the engine sets to run; None means all.
        instead: graphs to take in the place of some engines' own.
    """
    files = dict(instead or {})

    def locate(name: str) -> FileLike:
        return files.get(name) or bundle.open_graph(name)

    with Dispatcher(bundle.manifest, OnnxRuntimeBackend(), locate) as reference:
        return run_cases(reference, cases, sets)


def run_cases(
    engines: Dispatcher, cases: Iterable[Case], sets: Sequence[EngineSet] | None = None
) -> Answers:
    """Run those of `sets`, or of all, that the inputs of each case allow."""
    return [engines.run_all(case.inputs, sets) for case in cases]


def refuse_failed(record: VerificationRecord, where: str) -> None:
    """Raise VerificationFailed with all problems of a record that has not passed."""
    if not record.problems:
        return
    if all(problem.endswith(f"({_GOLDEN})") for problem in record.problems):
        remedy = "the engines give what FP32 gives, so export the bundle again"
    else:
        remedy = "take another precision, or calibrate with more --samples or a smaller --max-drop"
    raise VerificationFailed(f"{where}: {'; '.join(record.problems)}; {remedy}")
