"""Verify engines: run them and the FP32 graphs on the same inputs, and compare every tensor.

The reference is the bundle's portable graphs on ONNX Runtime.
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
from trml_rt.proof.cases import Case, golden_cases
from trml_rt.proof.compare import LIMITS, Answers, compare
from trml_rt.proof.golden import GATES, check_golden

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
    sets = bundle.manifest.engine_sets
    expected = reference_answers(bundle, counted(cases, len(cases), "the reference", _log))
    given = run_cases(engines, sets, counted(cases, len(cases), f"{precision} engines", _log))
    return {
        "schema": 1,
        "precision": precision,
        "reference": "portable graphs, fp32, onnxruntime",
        **compare(bundle.manifest, sets, cases, expected, given, LIMITS[precision]),
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
        return run_cases(reference, bundle.manifest.engine_sets if sets is None else sets, cases)


def run_cases(engines: Dispatcher, sets: Sequence[EngineSet], cases: Iterable[Case]) -> Answers:
    """Run those of `sets` that the inputs of each case allow; encoders run once a case."""
    largest_first = sorted(sets, key=lambda engine_set: -len(engine_set.engines))
    answers: Answers = []
    for case in cases:
        known, made = dict(case.inputs), {}
        for engine_set in largest_first:
            if case.inputs.keys() >= set(engine_set.inputs):
                inputs = {n: t for n, t in known.items() if n not in engine_set.outputs}
                made[engine_set.name], _ = engines.run(engine_set.present, inputs)
                known |= {
                    n: t for n, t in made[engine_set.name].items() if n not in engine_set.outputs
                }
        answers.append(made)
    return answers


def verify_new(
    bundle: Bundle,
    engines: Dispatcher,
    precision: str,
    cases: Sequence[Case],
) -> dict[str, Any]:
    """Hold engines that were just built against the golden files and FP32.

    Raises:
        VerificationFailed: the engines miss a gate or a limit.
    """
    _log.info("comparing with the golden files")
    check_golden(bundle, engines, GATES[precision])
    _log.info("verifying against FP32")
    record = verify(bundle, engines, precision, cases or golden_cases(bundle))
    refuse_failed(record, str(bundle.folder))
    for warning in record["warnings"]:
        _log.warning("%s", warning)
    return record


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
