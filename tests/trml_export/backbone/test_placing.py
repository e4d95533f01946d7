from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trml_export.backbone.backbone import load_backbone, place
from trml_export.backbone.placing import ON_CPU, Placement, half_type
from trml_rt.errors import UsageError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def frames():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    return torch.from_numpy(pixels)


def test_a_placed_backbone_gives_the_same_vectors_and_has_the_same_fingerprint(
    clip_folder, clip, frames
):
    placed = place(load_backbone(clip_folder), CPU)
    expected = ON_CPU.run(clip.encode_frames, frames)
    torch.testing.assert_close(ON_CPU.run(placed.encode_frames, frames), expected)
    assert placed.fingerprint == clip.fingerprint


def test_a_placed_backbone_is_saved_as_it_was(clip_folder, clip, tmp_path):
    placed = place(load_backbone(clip_folder, seed=3), CPU)
    placed.save(tmp_path / "saved")
    saved = load_backbone(tmp_path / "saved")
    assert saved.fingerprint == load_backbone(clip_folder, seed=3).fingerprint


def test_half_precision_is_near_and_not_the_same_and_ends_in_fp32(clip, frames):
    exact = ON_CPU.run(clip.encode_frames, frames)
    half = Placement(CPU, torch.bfloat16).run(clip.encode_frames, frames)
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    torch.testing.assert_close(half, exact, atol=0.05, rtol=0.05)


def test_no_vector_that_is_computed_keeps_a_gradient(clip, frames):
    assert not ON_CPU.run(clip.encode_frames, frames).requires_grad


def test_the_cpu_and_the_type_have_names():
    assert ON_CPU.type_name == "float32"
    assert Placement(CPU, half_type(CPU)).type_name == "bfloat16"
    assert Placement(CPU, torch.float16).in_fp32 == ON_CPU


def test_the_graphs_of_a_bundle_stay_on_the_cpu_and_have_no_half_precision(caplog):
    graphs = load_backbone("default")
    caplog.set_level("INFO", "trml_export")
    assert place(graphs, torch.device("meta")) is graphs
    assert caplog.messages == ["encoding runs on the CPU, as the graphs of a bundle do"]
    with pytest.raises(UsageError, match="leave --mixed out"):
        place(graphs, CPU, mixed=True)
