"""Robust multimodal inference on edge devices: text and video in, sentiment or emotion out.

>>> import trml_rt
>>> with trml_rt.load() as rt:
...     answer = rt.infer(text="what a day", video="clip.mp4")
"""

from trml_rt.answer import Answer, InputReport, Reason
from trml_rt.errors import (
    ArtefactMismatch,
    BackendUnavailable,
    EnvironmentUnfit,
    InputUnusable,
    TrmlError,
    UsageError,
    VerificationFailed,
)
from trml_rt.inputs.prepare import Sample
from trml_rt.modality import Modality
from trml_rt.runtime import Runtime, load

__all__ = [
    "Answer",
    "ArtefactMismatch",
    "BackendUnavailable",
    "EnvironmentUnfit",
    "InputReport",
    "InputUnusable",
    "Modality",
    "Reason",
    "Runtime",
    "Sample",
    "TrmlError",
    "UsageError",
    "VerificationFailed",
    "load",
]
