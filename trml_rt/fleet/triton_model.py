"""Answer as a model of Triton's Python back end; `trml-rt export-triton` copies this file.

Each request has `text`, `video` or `frames`, or a text with one of the others, for one or more
rows. Requests that Triton gives together are answered together, whatever each of them lacks.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

import trml_rt

__all__ = ["TritonPythonModel"]

_NUMBER = re.compile(r"^sample \d+: ")  # that among all requests, which no client knows


class TritonPythonModel:
    """The class that Triton looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the bundle beside this file, and run each engine set once."""
        given = json.loads(args["model_config"]).get("parameters", {})
        options = {name: each["string_value"] for name, each in given.items()}
        self.degrade = options["degrade"] == "true"
        self.isolate = options["isolate"] == "true"
        self.runtime = trml_rt.load(
            Path(__file__).with_name("bundle"),
            backend=options["backend"],
            precision=options.get("precision"),
        )
        self.runtime.warm_up()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return a response for each request; a row that cannot be used fails its request alone."""
        rows: list[list[trml_rt.Sample]] = []
        faults: dict[int, trml_rt.TrmlError] = {}
        for number, request in enumerate(requests):
            try:
                rows.append(_samples(request))
            except trml_rt.UsageError as error:
                rows.append([])
                faults[number] = error
        answers = self._answers([sample for samples in rows for sample in samples])
        responses = []
        for number, samples in enumerate(rows):
            own = [answers.pop(0) for _ in samples]
            fault = faults.get(number) or next((a for a in own if isinstance(a, Exception)), None)
            if fault is None:
                responses.append(pb_utils.InferenceResponse(output_tensors=_outputs(own)))
            else:
                words = f"{type(fault).__name__}: {_NUMBER.sub('', str(fault))}"
                told = pb_utils.TritonError(words)
                responses.append(pb_utils.InferenceResponse(output_tensors=[], error=told))
        return responses

    def finalize(self) -> None:
        """Free the engines."""
        self.runtime.close()

    def _answers(self, samples: list[trml_rt.Sample]) -> list[Any]:
        """Return for each sample its answer, or why it has none."""
        settings = {"degrade": self.degrade, "isolate": self.isolate}
        try:
            return [*self.runtime.infer_batch(samples, on_error="return", **settings)]
        except trml_rt.TrmlError as error:  # of one row, and of which one is found alone
            if len(samples) == 1:
                return [error]
            return [answer for sample in samples for answer in self._answers([sample])]


def _samples(request: Any) -> list[trml_rt.Sample]:
    """Return the rows of a request.

    Raises:
        UsageError: it has no input, two kinds of video, a text that is not UTF-8, or inputs of
            another number of rows.
    """
    given: dict[str, list[Any]] = {}
    for name in ("text", "video", "frames"):
        tensor = pb_utils.get_input_tensor_by_name(request, name)
        if tensor is not None:
            given[name] = [*tensor.as_numpy()]
    if not given or {"video", "frames"} <= given.keys():
        raise trml_rt.UsageError("give text, and one of video and frames, or one of these alone")
    if len({len(rows) for rows in given.values()}) > 1:
        raise trml_rt.UsageError("text and video must have as many rows")
    try:
        texts = [bytes(row.item()).decode() for row in given.get("text", ())]
    except UnicodeDecodeError:
        raise trml_rt.UsageError("text is not UTF-8") from None
    clips = [row.item() for row in given.get("video", ())] or given.get("frames", [])
    pairs = itertools.zip_longest(texts, clips)  # of as many rows, or one of them has none
    return [trml_rt.Sample(text, video) for text, video in pairs]


def _outputs(answers: Sequence[trml_rt.Answer]) -> list[Any]:
    """Return the tensors of a response, a row for each answer."""
    label = [[answer.label.encode()] for answer in answers]
    whole = [[answer.to_json().encode()] for answer in answers]
    score = np.array([[answer.score] for answer in answers], np.float32)
    return [
        pb_utils.Tensor("label", np.array(label, object)),
        pb_utils.Tensor("score", score),
        pb_utils.Tensor("answer", np.array(whole, object)),
    ]
