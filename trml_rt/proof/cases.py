"""Turn rows of real data into the raw tensors that encoders take, one sample each."""

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
