from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.trml_export.features.small import clip_vectors, compute, picture, sample, text_vector
from trml_export.backbone.backbone import load_backbone, place
from trml_export.backbone.placing import ON_CPU, Placement
from trml_export.features.tower import Tower
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, VerificationFailed

HALF = Placement(torch.device("cpu"), torch.bfloat16)


def backbone(placement):
    return SimpleNamespace(name="a model", size=2, placement=placement)


def rounded(rows, *, by):
    """Give `rows`, and under autocast rows that are wrong by a share."""
    return rows * (1 + by if torch.is_autocast_enabled("cpu") else 1)


def test_half_precision_that_is_near_is_taken_and_said_once(caplog):
    caplog.set_level("INFO", "trml_export")
    tower = Tower(backbone(HALF), "texts", lambda rows: rounded(rows, by=0.01), 8)
    for _ in range(2):
        np.testing.assert_allclose(tower(torch.ones(40, 2)), 1.01, rtol=1e-6)
    assert caplog.messages == [
        "vectors of texts in bfloat16: at most 1 % of their length away from those in FP32, on 32 "
        "of them"
    ]


def test_half_precision_that_is_far_is_refused():
    tower = Tower(backbone(HALF), "frames", lambda rows: rounded(rows, by=0.2), 8)
    with pytest.raises(
        VerificationFailed, match=r"a model: vectors of frames .* 20 % .* above 5 %"
    ):
        tower(torch.ones(3, 2))


def test_half_precision_that_overflows_is_refused():
    tower = Tower(backbone(HALF), "frames", lambda rows: rounded(rows, by=np.inf), 8)
    with pytest.raises(ArtefactMismatch, match="no numbers in bfloat16; leave --mixed out"):
        tower(torch.ones(3, 2))


def test_in_fp32_nothing_is_computed_twice():
    calls = []
    tower = Tower(backbone(ON_CPU), "texts", lambda rows: calls.append(len(rows)) or rows, 2)
    tower(torch.ones(3, 2))
    assert calls == [2, 1]


def test_features_in_half_precision_are_others_in_the_same_cache(clip_folder, clip, tmp_path):
    samples = [sample("a", text="a happy day", video=picture(tmp_path / "a.png"))]
    half = place(load_backbone(clip_folder), torch.device("cpu"), mixed=True)
    exact, mixed = compute(samples, clip, tmp_path), compute(samples, half, tmp_path)
    for vectors in (text_vector, clip_vectors):
        assert not np.array_equal(vectors(exact), vectors(mixed))
        np.testing.assert_allclose(vectors(exact), vectors(mixed), rtol=0.1, atol=0.05)


def test_no_input_is_no_call():
    assert Tower(backbone(HALF), "frames", None, 2)(torch.ones(0, 2)).shape == (0, 2)


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words",
        "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you ...",
    ],
)
def test_a_lack_of_memory_is_a_fault_of_the_machine(words):
    def fail(_):
        raise RuntimeError(words)

    with pytest.raises(EnvironmentUnfit, match=r"a model: .* to encode frames \(.*memory"):
        Tower(backbone(ON_CPU), "frames", fail, 2)(torch.ones(1, 2))


def test_any_other_error_of_pytorch_is_a_bug():
    def fail(_):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        Tower(backbone(ON_CPU), "frames", fail, 2)(torch.ones(1, 2))
