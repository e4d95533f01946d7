"""The inputs that engines are compared on: rows of real data, or those of the golden files."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trml_rt.backends import Tensors
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.manifest import SET_INPUTS
from trml_rt.errors import InputUnusable
from trml_rt.inputs.prepare import Inputs, Sample
from trml_rt.inputs.rows import Rows, evenly
from trml_rt.inputs.tokenizer import pad
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
    inputs, settings = Inputs(bundle), bundle.manifest.text
    found = EncoderInputs()
    made: dict[str, list[Tensors]] = {"text": [], "video": []}
    for modality, samples in made.items():
        having = [row for row in rows.rows if getattr(row, modality) is not None]
        for row in evenly(having, count):
            try:
                sample = Sample(row.text) if modality == "text" else Sample(video=row.frames())
                prepared = inputs.prepare(sample, degrade=False)
            except InputUnusable as error:
                found.unusable.append(f"{row.id}: {error}")
                continue
            if prepared.tokens is not None:
                length = None if settings.cut else settings.context
                samples.append({"ids": pad([prepared.tokens], settings.pad_id, length)})
            elif prepared.pixels is not None:
                samples.append({"frames": prepared.pixels})
    for name, engine in bundle.manifest.engines.items():
        needed = {tensor.name for tensor in engine.inputs}
        for modality, raw in SET_INPUTS.items():
            if needed <= set(raw):
                found.samples[name] = made[modality]
    return found


def row_cases(bundle: Bundle, rows: Rows, count: int) -> tuple[list[Case], list[str]]:
    """Prepare rows for verification: `count` with both inputs, with text alone, with video alone.

    Returns:
        The cases, and a line for each row that could not be used.
    """
    inputs, manifest = Inputs(bundle), bundle.manifest
    cases, unusable = [], []
    for wanted in ((True, True), (True, False), (False, True)):
        having = [r for r in rows.rows if (r.text is not None, r.video is not None) == wanted]
        for row in evenly(having, count):
            try:
                sample = Sample(row.text, None if row.video is None else row.frames())
                prepared = inputs.prepare(sample, degrade=False)
            except InputUnusable as error:
                unusable.append(f"{row.id}: {error}")
                continue
            tensors: Tensors = {}
            if prepared.tokens is not None:
                length = None if manifest.text.cut else manifest.text.context
                tensors["ids"] = pad([prepared.tokens], manifest.text.pad_id, length)
            if prepared.pixels is not None:
                tensors["frames"] = prepared.pixels
                places = np.arange(manifest.video.frames)[np.newaxis]
                tensors["frame_mask"] = places < len(prepared.pixels)
            cases.append(Case(tensors, row.score, row.label))
    return cases, unusable


def golden_cases(bundle: Bundle) -> list[Case]:
    """Return the inputs of the golden files as cases, one for each engine set."""
    cases = []
    for engine_set in bundle.manifest.engine_sets:
        golden = load_golden(bundle.path(engine_set.golden))
        cases.append(Case({name: golden[name] for name in engine_set.inputs}))
    return cases
