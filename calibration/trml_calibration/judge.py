"""Judge an INT8 encoder by what it does to the answers of the whole model.

The judge says whether a graph holds the gate. `search` decides which layers stay in FP32 for that.
The measures are those of `trml-rt verify`, so that what passes here passes there: cosines of
encoder outputs and virtual vectors, scores, labels, and the task metric where rows have labels.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from trml_calibration.search import Judged
from trml_rt.backends import Tensors
from trml_rt.bundle.calibration import encoders
from trml_rt.bundle.folder import Bundle
from trml_rt.progress import counted
from trml_rt.proof.compare import LIMITS, Case, Limits, compare
from trml_rt.proof.fp32 import reference_answers

__all__ = ["Check", "MaxDrop"]

# Other rows than those of the check will be verified, and more of them. The largest difference
# grows with their number (0.018 on 1,032 rows, 0.035 on 4,241 others was seen), and a share of
# labels that was met exactly would be missed every other time.
_MARGIN = 0.6
_FEW = 32  # cases, and at most as many hard ones; enough for an order of layers
_HARD = 16  # cases of a graph that are worth a look first in the next one

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaxDrop:
    """What INT8 may lose against FP32."""

    cosine: float = 0.01
    """Of the worst row of an encoder's output or a virtual vector."""

    points: float = 1.0
    """Of the task metric, in percent, on each engine set."""

    @property
    def limits(self) -> Limits:
        """The gate of the check: that of verification, with a margin for other rows."""
        allowed = LIMITS["int8"]
        return replace(
            allowed,
            cosine=1 - self.cosine,
            cosine_fails=1 - self.cosine,
            score=allowed.score * _MARGIN,
            flips=allowed.flips * _MARGIN,
            points=self.points,
        )


class Check:
    """Cases with FP32's answers to them, and the encoders that are in INT8 so far.

    Args:
        bundle: its FP32 graphs give the reference, and serve for what is not in INT8.
        cases: inputs that took no part in calibration.
        max_drop: the gate.
    """

    def __init__(
        self,
        bundle: Bundle,
        cases: Sequence[Case],
        max_drop: MaxDrop,
    ) -> None:
        self._manifest, self._bundle = bundle.manifest, bundle
        self._encoders = encoders(bundle.manifest)
        self._cases = list(cases)
        self._limits = max_drop.limits
        self._expected = reference_answers(
            bundle, counted(self._cases, len(self._cases), "answers of FP32", _log)
        )
        self.restart()

    def restart(self) -> None:
        """Take every encoder in FP32 again, and forget which cases were hard."""
        self._hard: dict[str, list[int]] = {}
        encoded = {name for engine in self._encoders for name in self._outputs(engine)}
        self._vectors = [
            {
                name: tensors[name]
                for tensors in answers.values()
                for name in encoded & tensors.keys()
            }
            for answers in self._expected
        ]

    def settle(self, engine: str, graph: onnx.ModelProto) -> None:
        """Take `engine` in the INT8 form `graph` from now on, when others are judged."""
        for number, answers in self._run(engine, graph, self._having(engine)).items():
            for tensors in answers.values():
                self._vectors[number] |= {name: tensors[name] for name in self._outputs(engine)}

    def judge(self, engine: str, graph: onnx.ModelProto, few: bool = False) -> Judged:
        """Measure what `graph` in the place of `engine` does to the engine sets that run it.

        The first graph of an engine runs on all cases. Later ones run on a few first, those with
        which earlier graphs had the most trouble among them: what misses the gate for the worst
        row of a few misses it for the worst of all, and the rest need not run.
        """
        numbers = self._having(engine)
        if few or engine in self._hard:
            spread = numbers[:: -(-len(numbers) // _FEW)]
            some = sorted({*spread, *self._hard.get(engine, ())})
            judged = self._judge(engine, some, self._run(engine, graph, some))
            if few or not judged.passed:
                return judged
        answers = self._run(engine, graph, numbers)
        by_trouble = sorted(numbers, key=lambda n: -_trouble(self._expected[n], answers[n]))
        hard = [*by_trouble[:_HARD], *self._hard.get(engine, ())]
        self._hard[engine] = list(dict.fromkeys(hard))[: 2 * _HARD]
        return self._judge(engine, numbers, answers)

    def _judge(
        self, engine: str, numbers: list[int], answers: dict[int, dict[str, Tensors]]
    ) -> Judged:
        sets = [
            s
            for s in self._manifest.engine_sets
            if engine in s.engines and any(s.name in answer for answer in answers.values())
        ]
        verdicts = compare(
            self._manifest,
            sets,
            [self._cases[number] for number in numbers],
            [self._expected[number] for number in numbers],
            [answers[number] for number in numbers],
            self._limits,
        )
        problems = [text for verdict in verdicts.values() for text in verdict.problems]
        measured = {name: v.measured for name, v in verdicts.items() if v.measured}
        if len(measured) < len(sets):  # NaN or infinity: as far from FP32 as a graph can be
            low, high = self._manifest.task.range or (0.0, 1.0)
            return Judged(False, 2.0, high - low, "; ".join(problems), measured)
        output = self._outputs(engine)[0]
        return Judged(
            passed=not problems,
            vectors=max(1 - each["tensors"][output]["mean_cosine"] for each in measured.values()),
            scores=max(each["mean_score_difference"] for each in measured.values()),
            summary=_summary(measured) + _missed(problems),
            measured=measured,
        )

    def _having(self, engine: str) -> list[int]:
        """Return the numbers of the cases that hold what `engine` takes."""
        needed = {tensor.name for tensor in self._manifest.engines[engine].inputs}
        return [n for n, case in enumerate(self._cases) if needed <= case.inputs.keys()]

    def _outputs(self, engine: str) -> list[str]:
        return [tensor.name for tensor in self._manifest.engines[engine].outputs]

    def _run(
        self, engine: str, graph: onnx.ModelProto, numbers: list[int]
    ) -> dict[int, dict[str, Tensors]]:
        """Run `graph` as `engine` and what follows it; other encoders give what they gave."""
        own = set(self._outputs(engine))
        cases = []
        for number in numbers:
            vectors = {n: v for n, v in self._vectors[number].items() if n not in own}
            case = self._cases[number]
            cases.append(replace(case, inputs={**case.inputs, **vectors}))
        sets = [s for s in self._manifest.engine_sets if engine in s.engines]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{engine}.onnx"
            onnx.save(graph, path)
            answers = reference_answers(self._bundle, cases, sets=sets, instead={engine: path})
        return dict(zip(numbers, answers, strict=True))


def _trouble(expected: dict[str, Tensors], answers: dict[str, Tensors]) -> float:
    """Return by how much the predictions of one case differ at most; infinity where one is NaN."""
    differences = [
        np.abs(np.subtract(tensors["prediction"], expected[name]["prediction"])).max()
        for name, tensors in answers.items()
    ]
    return float(np.nan_to_num(differences, nan=np.inf, posinf=np.inf).max())


def _missed(problems: Sequence[str]) -> str:
    """Return which limits were missed, as the end of a line: of each measure the first set's."""
    first: dict[str, str] = {}
    for problem in problems:
        measure, _, found = problem.partition("/")[2].partition(": ")
        first.setdefault(measure, f"{measure} {found}")
    return f"; missed: {'; '.join(first.values())}" if first else ""


def _summary(sets: dict[str, Any]) -> str:
    cosine = min(t["least_cosine"] for each in sets.values() for t in each["tensors"].values())
    score = max(each["largest_score_difference"] for each in sets.values())
    flips = max(each["flips"] for each in sets.values())
    rows = max(each["rows"] for each in sets.values())
    return (
        f"least cosine {cosine:.4f}, scores differ by up to {score:.3f}, {flips:.2%} of labels "
        f"flip, {rows} rows"
    )
