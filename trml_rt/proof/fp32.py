"""Verify engines: run them and their references on the same inputs, and compare every tensor.

The reference of every verification is the bundle's portable graphs in FP32 on ONNX Runtime. New
engines are also held against the golden files, the training framework's own answers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import EngineSet
from trml_rt.dispatch import Dispatcher
from trml_rt.errors import VerificationFailed
from trml_rt.progress import counted
from trml_rt.proof.compare import LIMITS, Answers, Case, compare
from trml_rt.proof.golden import golden_answers

__all__ = [
    "reference_answers",
    "refuse_failed",
    "run_cases",
    "to_json",
    "verify",
    "verify_new",
]

_log = logging.getLogger(__name__)


def verify(
    bundle: Bundle,
    engines: Dispatcher,
    precision: str,
    cases: Sequence[Case],
) -> dict[str, Any]:
    """Compare `engines` with the bundle's FP32 graphs and return the record of verify.json.

    Args:
        bundle: the bundle, whose portable graphs are the reference.
        engines: what is to be verified.
        precision: whose `LIMITS` count.
        cases: the inputs; a case runs every engine set that its inputs allow.

    Returns:
        What `compare` gives, with the precision and what the reference was.
    """
    answers = run_cases(engines, counted(cases, len(cases), f"{precision} engines", _log))
    return _against_fp32(bundle, cases, answers, precision)


def _against_fp32(
    bundle: Bundle, cases: Sequence[Case], answers: Answers, precision: str
) -> dict[str, Any]:
    """Return the record of engines that gave `answers` to `cases`."""
    expected = reference_answers(bundle, counted(cases, len(cases), "the reference", _log))
    sets, limits = bundle.manifest.engine_sets, LIMITS[precision]
    return {
        "schema": 1,
        "precision": precision,
        "reference": "portable graphs, fp32, onnxruntime",
        **compare(bundle.manifest, sets, cases, expected, answers, limits),
    }


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

    def locate(name: str) -> Path:
        return files.get(name) or bundle.path(bundle.manifest.engines[name].file)

    with Dispatcher(bundle.manifest, OnnxRuntimeBackend(), locate) as reference:
        return run_cases(reference, cases, sets)


def run_cases(
    engines: Dispatcher, cases: Iterable[Case], sets: Sequence[EngineSet] | None = None
) -> Answers:
    """Run those of `sets`, or of all, that the inputs of each case allow."""
    return [engines.run_all(case.inputs, sets) for case in cases]


def verify_new(
    bundle: Bundle, engines: Dispatcher, precision: str, cases: Sequence[Case]
) -> dict[str, Any]:
    """Hold engines that were just built against the golden files, and against FP32.

    Args:
        bundle: the bundle that they were built from.
        engines: what is to be verified.
        precision: whose `LIMITS` count, for both references.
        cases: the inputs for FP32; an empty list takes those of the golden files.

    Returns:
        What `verify` gives, with the comparison with the golden files as `golden`.

    Raises:
        VerificationFailed: the engines miss a limit. Every problem is named with its reference.
    """
    _log.info("comparing with the golden files")
    golden_cases, expected = golden_answers(bundle)
    answers = run_cases(engines, golden_cases)
    sets, limits = bundle.manifest.engine_sets, LIMITS[precision]
    golden = compare(bundle.manifest, sets, golden_cases, expected, answers, limits)
    _log.info("verifying against FP32")
    if cases:
        record = verify(bundle, engines, precision, cases)
    else:
        record = _against_fp32(bundle, golden_cases, answers, precision)
    by_reference = {"golden files": golden, "FP32": record}
    problems = [f"{text} ({r})" for r, each in by_reference.items() for text in each["problems"]]
    refuse_failed({"passed": not problems, "problems": problems}, str(bundle.folder))
    for reference, each in by_reference.items():
        for warning in each["warnings"]:
            _log.warning("%s (%s)", warning, reference)
    return record | {"golden": golden}


def refuse_failed(record: dict[str, Any], where: str) -> None:
    """Raise VerificationFailed with all problems of a record that has not passed."""
    if not record["passed"]:
        raise VerificationFailed(
            f"{where}: {'; '.join(record['problems'])}; take another precision, or calibrate with "
            "more --samples or a smaller --max-drop"
        )


def to_json(record: dict[str, Any]) -> bytes:
    """Return the bytes of `verify.json`."""
    return (json.dumps(record, indent=1) + "\n").encode()
