"""Rows of real data as the inputs that engines are calibrated and compared on."""

from __future__ import annotations

from dataclasses import dataclass, field

from trml_rt.backends import Tensors
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import SET_INPUTS
from trml_rt.errors import InputUnusable
from trml_rt.inputs.prepare import Inputs, Sample
from trml_rt.inputs.rows import Rows, evenly
from trml_rt.proof.compare import Case

__all__ = ["EncoderInputs", "encoder_inputs", "row_cases"]


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
