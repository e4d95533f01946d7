"""The inputs that engines are compared on: rows of real data, or those of the golden files."""

from __future__ import annotations

from dataclasses import dataclass, field

from trml_rt.backends import Tensors
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import SET_INPUTS
from trml_rt.errors import InputUnusable
from trml_rt.inputs.prepare import Inputs, Sample
from trml_rt.inputs.rows import Rows, evenly
from trml_rt.proof.golden import load_golden

__all__ = ["Case", "EncoderInputs", "encoder_inputs", "golden_cases", "row_cases"]


@dataclass(frozen=True)
class Case:
    """Inputs of one call by tensor name, any batch, and what is known to be right."""

    inputs: Tensors
    score: float | None = None
    label: str | None = None


@dataclass
class EncoderInputs:
    """For each engine that sees raw inputs its samples, and the rows that could not be used."""

    samples: dict[str, list[Tensors]] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)


def encoder_inputs(bundle: Bundle, rows: Rows, count: int) -> EncoderInputs:
    """Prepare `count` texts and `count` clips of `rows`, spread evenly over them.

    A row that cannot be used is left out and named.
    """
    inputs, prepared = Inputs(bundle), EncoderInputs()
    tensors_of: dict[str, list[Tensors]] = {"text": [], "video": []}
    for modality, tensors in tensors_of.items():
        having = [row for row in rows.rows if getattr(row, modality) is not None]
        for row in evenly(having, count):
            sample = Sample(row.text) if modality == "text" else Sample(video=row.video)
            try:
                tensors.append(inputs.stack([inputs.prepare(sample, degrade=False)]))
            except InputUnusable as error:
                prepared.unusable.append(f"{row.id}: {error}")
    for name, engine in bundle.manifest.engines.items():
        needed = {tensor.name for tensor in engine.inputs}
        for modality, raw in SET_INPUTS.items():
            if needed <= set(raw):
                prepared.samples[name] = [
                    {tensor: value for tensor, value in tensors.items() if tensor in needed}
                    for tensors in tensors_of[modality]
                ]
    return prepared


def row_cases(bundle: Bundle, rows: Rows, count: int) -> tuple[list[Case], list[str]]:
    """Prepare rows for verification: `count` with both inputs, with text alone, with video alone.

    Returns:
        The cases, and a line for each row that could not be used.
    """
    inputs, cases, unusable = Inputs(bundle), [], []
    for presence in ((True, True), (True, False), (False, True)):
        having = [r for r in rows.rows if (r.text is not None, r.video is not None) == presence]
        for row in evenly(having, count):
            try:
                prepared = inputs.prepare(Sample(row.text, row.video), degrade=False)
            except InputUnusable as error:
                unusable.append(f"{row.id}: {error}")
                continue
            cases.append(Case(inputs.stack([prepared]), row.score, row.label))
    return cases, unusable


def golden_cases(bundle: Bundle) -> list[Case]:
    """Return the inputs of the golden files as cases, one for each engine set."""
    cases = []
    for engine_set in bundle.manifest.engine_sets:
        golden = load_golden(bundle.path(engine_set.golden))
        cases.append(Case({name: golden[name] for name in engine_set.inputs}))
    return cases
