"""Weights of transformers give the vectors that transformers gives."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file

from tests import tiny
from trml_export.backbone.backbone import load_backbone
from trml_rt.errors import ArtefactMismatch

PIXELS = torch.randn(2, 3, tiny.IMAGE, tiny.IMAGE, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[5, 3, 7, 2, 0, 0, 0, 0], [9, 1, 2, 0, 0, 0, 0, 0]])


@pytest.fixture
def folder(tmp_path):
    return tiny.clip_backbone(tmp_path / "clip")


def _edit_config(folder, model):
    path = folder / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["model_cfg"].update(model)
    path.write_text(json.dumps(content))


def test_clip_of_transformers_gives_the_vectors_of_transformers(folder):
    from transformers import CLIPConfig, CLIPModel

    side = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    side |= {"intermediate_size": 128, "hidden_act": "quick_gelu"}
    vision = {**side, "image_size": tiny.IMAGE, "patch_size": 16}
    text = {**side, "vocab_size": 49408, "max_position_embeddings": 16, "eos_token_id": 2}
    torch.manual_seed(0)
    theirs = CLIPModel(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=tiny.SIZE)
    ).eval()
    cfg = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    _edit_config(folder, {"text_cfg": cfg})
    save_file(dict(theirs.state_dict()), folder / "model.safetensors")
    ours = load_backbone(folder)
    ids = torch.randint(1, 49000, (2, 16))
    ids[:, 9] = 49407
    with torch.inference_mode():
        image = theirs.visual_projection(theirs.vision_model(PIXELS).pooler_output)
        words = theirs.text_projection(theirs.text_model(ids).pooler_output)
        torch.testing.assert_close(ours.encode_image(PIXELS), image, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.encode_text(ids), words, atol=1e-5, rtol=0)


def _tiny_siglip(pretrained=False, **options):
    """Make the image tower of a SigLIP; open_clip finds it by its name, as those of timm."""
    from timm.models.vision_transformer import VisionTransformer

    size = {"img_size": 32, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 2}
    used = {key: options[key] for key in ("num_classes", "global_pool")}
    return VisionTransformer(**size, class_token=False, **used)


def test_siglip_of_transformers_gives_the_vectors_of_transformers(folder):
    from timm.models import register_model
    from transformers import SiglipConfig, SiglipModel

    register_model(_tiny_siglip)
    side = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    side |= {"intermediate_size": 256, "hidden_act": "gelu"}
    vision = {**side, "image_size": 32, "patch_size": 16}
    text = {**side, "vocab_size": 100, "max_position_embeddings": 8, "projection_size": 64}
    torch.manual_seed(0)
    theirs = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    words = {"context_length": 8, "vocab_size": 100, "width": 64, "heads": 2, "layers": 2}
    words |= {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    image = {"image_size": 32, "timm_model_name": "_tiny_siglip", "timm_pool": "map"}
    model = {
        "embed_dim": 64,
        "quick_gelu": False,
        "text_cfg": {**words, "norm_kwargs": {"eps": 1e-6}},
        "vision_cfg": {**image, "timm_proj": "none"},
    }
    _edit_config(folder, model)
    save_file(dict(theirs.state_dict()), folder / "model.safetensors")
    ours = load_backbone(folder)
    with torch.inference_mode():
        seen = theirs.vision_model(PIXELS).pooler_output
        read = theirs.text_model(IDS).pooler_output
        torch.testing.assert_close(ours.encode_image(PIXELS), seen, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.encode_full_text(IDS), read, atol=1e-5, rtol=0)


def test_a_tensor_without_a_place_is_named(folder):
    tensors = {"text_model.other.weight": torch.zeros(1), "vision_model.other": torch.zeros(1)}
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(
        ArtefactMismatch, match=r"no place for: text_model\.other\.weight, vision_mod"
    ):
        load_backbone(folder)
