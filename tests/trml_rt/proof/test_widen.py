"""Engines that fail in half precision: which are blamed, and what a build makes of them."""

from __future__ import annotations

import numpy as np
import pytest

import trml_rt
from tests.bundles.make import OFFSET, SCORE
from trml_rt.backends import ONNXRUNTIME, CompileReport, Recipe
from trml_rt.backends import onnxruntime as module
from trml_rt.bundle.engine_folder import SetVerdict
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import VerificationFailed
from trml_rt.proof.fp32 import make_record
from trml_rt.proof.widen import blame

# What harms a graph of the tiny bundle when it is "compiled" in half precision.
TURNED = (OFFSET.tobytes(), OFFSET[::-1].tobytes())  # the frames' vectors
STRONGER = (SCORE.tobytes(), (SCORE * 1.5).astype("f4").tobytes())  # scores alone


@pytest.fixture
def half(monkeypatch):
    """Let ONNX Runtime "compute in half precision"; return what harms which engine at first."""
    harms: dict[str, tuple[bytes, bytes]] = {}
    real = module.compile_graph

    def compile_graph(name, job):
        real(name, job)
        content = job.target.read_bytes()
        if job.engine in harms:
            before, after = harms.pop(job.engine)
            assert before in content
            job.target.write_bytes(content.replace(before, after))
        return CompileReport(layers={job.computes: 1})

    monkeypatch.setattr(module, "compile_graph", compile_graph)
    recipe = Recipe("fp16-half/1", "fp16", half=True)
    monkeypatch.setitem(ONNXRUNTIME.recipes, "fp16", recipe)
    return harms


def test_an_encoder_that_fails_computes_in_fp32_and_the_others_in_half(bundle_copy, half, caplog):
    half["frame"] = TURNED
    report = trml_rt.build(bundle_copy, "fp16")
    [(name, why)] = report.manifest.widened.items()
    assert name == "frame"
    assert why.startswith("video/frame_vectors: least cosine 0.")
    layers = report.manifest.plan_layers
    assert layers.pop("frame") == {"fp32": 1}
    assert set(map(str, layers.values())) == {"{'fp16': 1}"}
    assert report.verified
    assert f"frame: compiling again, computes in FP32, since {why}" in caplog.messages
    assert trml_rt.inspect(bundle_copy).built[report.folder.name]["widened"] == {"frame": why}
    with (
        trml_rt.load(bundle_copy) as portable,
        trml_rt.load(bundle_copy, precision="fp16") as rt,
    ):
        video = np.full((2, 8, 8, 3), (9, 80, 200), np.uint8)
        assert rt.infer(video=video).score == portable.infer(video=video).score


def test_a_fusion_that_moves_scores_alone_computes_in_fp32(bundle_copy, half):
    half["fuse_video"] = STRONGER
    widened = trml_rt.build(bundle_copy, "fp16").manifest.widened
    assert list(widened) == ["fuse_video"]
    assert widened["fuse_video"].startswith("video/score: differs by ")


def test_engines_of_one_set_that_fail_one_behind_the_other_all_compute_in_fp32(bundle_copy, half):
    half |= {"frame": TURNED, "fuse_video": STRONGER}
    assert set(trml_rt.build(bundle_copy, "fp16").manifest.widened) == {"frame", "fuse_video"}


def test_a_build_is_refused_if_nothing_is_left_in_half_precision(bundle_copy, half, monkeypatch):
    half |= {"frame": TURNED, **dict.fromkeys(("fuse_video", "fuse_text_video"), STRONGER)}
    real = module.compile_graph

    def text_has_no_products(name, job):
        report = real(name, job)
        return CompileReport() if job.engine in ("text", "fuse_text") else report

    monkeypatch.setattr(module, "compile_graph", text_has_no_products)
    with pytest.raises(VerificationFailed, match=r"video/frame_vectors: .*; take another precis"):
        trml_rt.build(bundle_copy, "fp16")
    assert list((bundle_copy / "engines").glob("cpu-*")) == []


def test_engines_of_another_recipe_are_never_widened(bundle_copy, half):
    half["frame"] = TURNED
    with pytest.raises(VerificationFailed, match="video/frame_vectors"):
        trml_rt.build(bundle_copy, "fp32")


def record(**problems):
    def verdict(found):
        return SetVerdict(
            **{"passed": not found, "problems": found, "warnings": [], "inputs": "data"},
            **{"fp32": {}, "golden": {}},
        )

    sets = ("text", "video", "text_video")
    return make_record("fp16", {}, {name: verdict(problems.get(name, [])) for name in sets})


ALL = ("text", "frame", "fuse_text", "fuse_video", "fuse_text_video")
SCORES = "text_video/score: differs by 1, 0.01 allowed (FP32)"
VECTOR = "text_video/frame_vectors: NaN or infinity (FP32)"


@pytest.mark.parametrize(
    ("suspects", "problems", "blamed"),
    [
        (ALL, {}, {}),
        ((), {"text_video": [SCORES]}, {}),
        (ALL, {"text_video": [SCORES, VECTOR]}, {"frame": VECTOR}),
        (ALL, {"text_video": [SCORES]}, {"fuse_text_video": SCORES}),
        (("text", "frame"), {"text_video": [SCORES]}, {"frame": SCORES}),
        (("text",), {"text_video": [VECTOR]}, {"text": VECTOR}),
        (("frame",), {"text": ["text/score: differs by 1"]}, {}),
    ],
)
def test_the_first_engine_with_a_wrong_tensor_is_blamed_or_the_last_one(
    tiny_bundle, suspects, problems, blamed
):
    assert blame(Bundle(tiny_bundle).manifest, record(**problems), suspects) == blamed
