"""The model that Triton's Python back end loads, on a stand-in for what Triton gives it."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest

import trml_rt
from tests.conftest import TINY
from tests.trml_rt.fleet import triton_python_backend_utils as utils

PICTURE = np.full((40, 40, 3), 120, np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The exported model, opened as the back end opens it."""
    exported = trml_rt.export_triton(tmp_path_factory.mktemp("models"), TINY)
    spec = importlib.util.spec_from_file_location("model", exported.folder / "1" / "model.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", utils)
        spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    parameters = {"backend": "onnxruntime", "degrade": "false", "isolate": "false"}
    config = {"parameters": {n: {"string_value": value} for n, value in parameters.items()}}
    model.initialize({"model_config": json.dumps(config)})
    yield model
    model.finalize()


def request(**inputs):
    tensors = []
    for name, rows in inputs.items():
        array = rows if name == "frames" else np.array([[row] for row in rows], object)
        tensors.append(utils.Tensor(name, array))
    return utils.InferenceRequest(tensors)


def read(response):
    assert not response.has_error(), response.error().message()
    return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


def test_requests_with_other_inputs_are_answered_as_each_alone(model):
    clip = PICTURE[None]
    responses = model.execute(
        [
            request(text=[b"a good day", b"bad"]),
            request(frames=clip[None]),
            request(text=[b"a good day"], frames=clip[None]),
        ]
    )
    with trml_rt.load(TINY) as runtime:
        alone = [
            [runtime.infer(text="a good day"), runtime.infer(text="bad")],
            [runtime.infer(video=clip)],
            [runtime.infer(text="a good day", video=clip)],
        ]
    for response, answers in zip(responses, alone, strict=True):
        outputs = read(response)
        assert outputs["score"].shape == (len(answers), 1)
        assert outputs["score"][:, 0] == pytest.approx([a.score for a in answers], abs=1e-6)
        assert [row[0].decode() for row in outputs["label"]] == [a.label for a in answers]
        sets = [json.loads(row[0])["engine_set"] for row in outputs["answer"]]
        assert sets == [a.engine_set for a in answers]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "UsageError: give text"),
        ({"video": [b"x"], "frames": PICTURE[None, None]}, "UsageError: give text"),
        ({"text": [b"a", b"b"], "frames": PICTURE[None, None]}, "as many rows"),
        ({"text": [b"\xff"]}, "UsageError: text is not UTF-8"),
        ({"text": [b"  "]}, "InputUnusable: "),
        ({"video": [b"no clip"]}, "InputUnusable: "),
        ({"text": [b"good", b""]}, "InputUnusable: "),
    ],
)
def test_a_request_that_cannot_be_answered_fails_alone(model, inputs, words):
    good = request(text=[b"a good day"])
    before, bad, after = model.execute([good, request(**inputs), good])
    assert bad.has_error()
    assert words in bad.error().message()
    assert "sample " not in bad.error().message()
    assert bad.output_tensors() == []
    assert read(before)["score"] == read(after)["score"]


def test_a_combination_that_the_bundle_does_not_serve_fails_alone(model, monkeypatch):
    def infer_batch(samples, **_):
        if any(sample.video is not None for sample in samples):
            raise trml_rt.UsageError("sample 0: this bundle does not serve video")
        return ["answer"] * len(samples)

    monkeypatch.setattr(model.runtime, "infer_batch", infer_batch)
    answers = model._answers([trml_rt.Sample("a"), trml_rt.Sample(video="v.mp4")])
    assert answers[0] == "answer"
    assert isinstance(answers[1], trml_rt.UsageError)
