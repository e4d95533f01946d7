"""Weights as users have them: every layout gives the vectors of the model it was saved from."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from tests import tiny
from trml_export.backbone.backbone import load_backbone
from trml_export.backbone.weights import load_tensors
from trml_rt.errors import ArtefactMismatch

PIXELS = torch.randn(2, 3, tiny.IMAGE, tiny.IMAGE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path):
    return tiny.clip_backbone(tmp_path / "clip")


def _rewrite(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file(change(tensors) or tensors, path)


def _openai(tensors):
    for name, value in (("input_resolution", 32), ("context_length", 77), ("vocab_size", 49408)):
        tensors[name] = torch.tensor(value)


def _no_scale(tensors):
    del tensors["logit_scale"]


def _bias(tensors):
    tensors["logit_bias"] = torch.tensor([-10.0])
    tensors["logit_scale"] = tensors["logit_scale"].reshape(1)


def _parallel(tensors):
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("change", [_openai, _no_scale, _bias, _parallel])
def test_what_lies_beside_the_weights_or_lacks_for_training_alone_is_no_fault(folder, change):
    expected = load_backbone(folder).encode_image(PIXELS)
    _rewrite(folder, change)
    assert torch.equal(load_backbone(folder).encode_image(PIXELS), expected)


def test_a_tensor_that_lacks_or_is_unknown_is_named(folder):
    def change(tensors):
        tensors["visual.other"] = tensors.pop("visual.conv1.weight")

    _rewrite(folder, change)
    with pytest.raises(
        ArtefactMismatch,
        match=r"it lacks visual\.conv1\.weight; it has the unknown visual\.other$",
    ):
        load_backbone(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04\x95", "a pickle of PyTorch; turn it into one: trml-rt convert weights"),
        (b"PK\x03\x04", "a pickle of PyTorch"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html>", "a web page"),
    ],
)
def test_what_is_no_safetensors_file_is_called_by_its_name(folder, content, message):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ArtefactMismatch, match=f"is no safetensors file, but {message}"):
        load_backbone(folder)


@pytest.mark.parametrize("left", [4, 5000, -100])
def test_a_file_that_is_cut_off_is_called_that(folder, left):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ArtefactMismatch, match=r"is cut off .*fetch it again"):
        load_backbone(folder)


@pytest.mark.parametrize("low", [0x80, 0x20], ids=["as a pickle", "as a web page"])
def test_a_header_whose_length_begins_as_another_format_is_read(tmp_path, low):
    path = tmp_path / "model.safetensors"
    for spare in range(0, 16_000, 8):  # bytes of the header that nobody reads
        save_file({"a": torch.ones(3)}, path, metadata={"": "x" * spare})
        length = path.read_bytes()[:2]
        if length[0] == low and (low == 0x80 or length[1] == ord("<")):
            break
    else:
        pytest.fail("no such header")
    assert load_tensors(path)["a"].tolist() == [1, 1, 1]
