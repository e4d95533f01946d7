"""The Open Inference Protocol, held by a client that others wrote."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.trml_rt.serve.callers import call, encoded
from trml_rt.serve.open_inference import read
from trml_rt.serve.refusals import Refused

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def triton():
    return pytest.importorskip("tritonclient.http", reason="the client of the protocol")


@pytest.fixture(scope="module")
def client(triton, server):
    with triton.InferenceServerClient(urlsplit(server.address).netloc) as client:
        yield client


@pytest.fixture
def name(rt):
    return rt.bundle.manifest.name


def texts(triton, *values, binary=True):
    tensor = triton.InferInput("text", [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array([v.encode() for v in values], object), binary_data=binary)
    return tensor


def clips(triton, *values):
    tensor = triton.InferInput("video", [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array(values, object))
    return tensor


def test_the_client_finds_server_and_model(client, name):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(name)
    assert client.is_model_ready(name, "1")
    assert not client.is_model_ready("another")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata(name)
    assert [each["name"] for each in metadata["inputs"]] == ["text", "video"]
    assert [each["name"] for each in metadata["outputs"]] == ["label", "score", "answer"]


def test_the_client_gets_what_infer_answers(client, triton, rt, name, picture):
    result = client.infer(name, [texts(triton, "what a day"), clips(triton, picture)])
    expected = rt.infer("what a day", picture)
    assert result.as_numpy("label").tolist() == [expected.label.encode()]
    assert result.as_numpy("score").tolist() == [np.float32(expected.score)]
    said = json.loads(result.as_numpy("answer")[0])
    assert {**said, "ms": 0} == {**expected.to_dict(), "ms": 0}


def test_either_input_may_be_absent_and_frames_may_be_an_array(client, triton, rt, name):
    alone = client.infer(name, [texts(triton, "bad")])
    assert alone.as_numpy("score").tolist() == [np.float32(rt.infer("bad").score)]
    tensor = triton.InferInput("video", list(FRAMES.shape), "UINT8")
    tensor.set_data_from_numpy(FRAMES)
    frames = client.infer(name, [tensor])
    assert frames.as_numpy("score").tolist() == [np.float32(rt.infer(video=FRAMES).score)]


def test_rows_of_one_request_may_lack_different_inputs(client, triton, rt, name, picture):
    rows = [("what a day", picture), ("bad", b""), ("", picture)]
    inputs = [texts(triton, *(row[0] for row in rows)), clips(triton, *(row[1] for row in rows))]
    result = client.infer(name, inputs)
    answers = [rt.infer(text or None, clip or None) for text, clip in rows]
    scores = [np.float32(answer.score) for answer in answers]
    assert result.as_numpy("score").tolist() == scores
    sets = [json.loads(each)["engine_set"] for each in result.as_numpy("answer")]
    assert sets == ["text_video", "text", "video"]


def test_outputs_come_as_json_or_as_bytes_and_only_those_that_are_wanted(client, triton, name):
    outputs = [triton.InferRequestedOutput("score", binary_data=False)]
    result = client.infer(name, [texts(triton, "bad", binary=False)], outputs=outputs)
    assert result.get_output("label") is None
    assert "data" in result.get_output("score")
    assert result.as_numpy("score").shape == (1,)


def test_id_and_version_come_back(client, triton, name):
    result = client.infer(name, [texts(triton, "bad")], "1", request_id="r7")
    response = result.get_response()
    assert (response["id"], response["model_version"]) == ("r7", "1")


def test_an_error_is_a_sentence(client, triton, name):
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException, match="row 1: the bytes of the video"):
        client.infer(name, [clips(triton, b"", b"no clip"), texts(triton, "a", "b")])
    with pytest.raises(InferenceServerException, match="there is none of that name"):
        client.infer(
            name,
            [
                triton.InferInput("image", [1], "BYTES").set_data_from_numpy(
                    np.array([b"a"], object)
                )
            ],
        )


def test_an_unusable_input_counts_as_missing_where_the_request_says_so(client, triton, name):
    inputs = [clips(triton, b"no clip"), texts(triton, "good")]
    result = client.infer(name, inputs, parameters={"degrade": True})
    said = json.loads(result.as_numpy("answer")[0])
    assert said["inputs"]["video"] == {"state": "virtual", "reason": "undecodable"}


def test_json_alone_may_carry_a_clip_as_base64_and_frames_as_numbers(server, rt, name, picture):
    for shape, datatype, data, video in (
        ([1], "BYTES", [encoded(picture)], picture),
        ([2, 9, 9, 3], "UINT8", FRAMES.tolist(), FRAMES),
    ):
        tensor = {"name": "video", "shape": shape, "datatype": datatype, "data": data}
        reply = call(server, f"/v2/models/{name}/infer", {"inputs": [tensor]})
        [score] = [out["data"] for out in reply.json["outputs"] if out["name"] == "score"]
        assert score == [rt.infer(video=video).score]


TEXT = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
BINARY = {"binary_data_size": 6}


@pytest.mark.parametrize(
    ("content", "binary", "words"),
    [
        ({}, b"", "inputs: must be a list"),
        ({"inputs": []}, b"", "inputs: must be a list"),
        ({"inputs": [7]}, b"", "must be an object"),
        ({"inputs": [TEXT, TEXT]}, b"", "is given twice"),
        ({"inputs": [{**TEXT, "shape": [2]}]}, b"", "has 1 elements, and its shape says"),
        ({"inputs": [{**TEXT, "shape": [-1]}]}, b"", "shape must be a list"),
        ({"inputs": [{**TEXT, "shape": [1 << 40]}]}, b"", "shape must be a list"),
        ({"inputs": [{**TEXT, "datatype": "FP32"}]}, b"", "datatype must be BYTES"),
        ({"inputs": [{**TEXT, "data": [7]}]}, b"", "text: must be a string"),
        ({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}, b"", "neither data"),
        ({"inputs": [{**TEXT, "parameters": BINARY}]}, b"abc", "is not what the body has"),
        ({"inputs": [{**TEXT, "parameters": BINARY}]}, b"\xff\0\0\0ab", "breaks off"),
        ({"inputs": [{**TEXT, "parameters": BINARY}]}, b"\2\0\0\0\xff\xff", "is not UTF-8"),
        ({"inputs": [TEXT]}, b"more", "belong to no input"),
        ({"inputs": [TEXT], "parameters": {"x": 1}}, b"", "unknown parameters x"),
        ({"inputs": [TEXT], "parameters": {"timeout": -1}}, b"", "deadline_ms: must be"),
        ({"inputs": [TEXT], "id": 7}, b"", "id: must be"),
        ({"inputs": [TEXT], "outputs": [{"name": "x"}]}, b"", "there is none of that name"),
        (
            {"inputs": [{**TEXT, "name": "video", "shape": [1, 1, 3], "datatype": "UINT8"}]},
            b"",
            "whole numbers, 0 to 255",
        ),
        (
            {"inputs": [{**TEXT, "name": "video", "shape": [9, 9, 9, 4], "datatype": "UINT8"}]},
            b"",
            "must be .rows, frames, height, width, 3.",
        ),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(rt, content, binary, words):
    head = json.dumps(content).encode()
    with pytest.raises(Refused, match=words) as refused:
        read(head + binary, str(len(head)), rt)
    assert refused.value.status == 400


@pytest.mark.parametrize("length", ["-1", "x", "999"])
def test_a_length_that_the_body_has_not_is_refused(rt, length):
    with pytest.raises(Refused, match="must be a number of bytes"):
        read(b"{}", length, rt)


def test_lists_within_lists_have_an_end(rt):
    deep = "[" * 500 + "]" * 500
    body = f'{{"inputs": [{{"name": "text", "shape": [1], "datatype": "BYTES", "data": {deep}}}]}}'
    with pytest.raises(Refused, match="nested more deeply"):
        read(body.encode(), None, rt)


def test_a_compressed_body_is_refused(server, name):
    reply = call(server, f"/v2/models/{name}/infer", {"inputs": [TEXT]}, Content_Encoding="gzip")
    assert reply.status == 415
