"""A last block that computes one token gives what open_clip's own block gives."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from trml_export.backbone.backbone import Backbone
from trml_export.backbone.one_token import OneToken, OneTokenBert, compute_one_token

CONTEXT, WORDS, END = 12, 50, 49
SIZES = {"width": 32, "heads": 2, "layers": 2, "output_dim": 16}


def image_tower(**settings):
    from open_clip.transformer import VisionTransformer

    return _random(
        VisionTransformer(image_size=32, patch_size=16, mlp_ratio=4.0, **(SIZES | settings))
    )


def text_tower(**settings):
    from open_clip.transformer import TextTransformer

    return _random(
        TextTransformer(context_length=CONTEXT, vocab_size=WORDS, eos_id=END, **(SIZES | settings))
    )


def bert(kind="Bert", pooler="cls_last_hidden_state_pooler", **settings):
    transformers = pytest.importorskip("transformers")
    from open_clip.hf_model import HFTextEncoder

    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    config = getattr(transformers, f"{kind}Config")(
        **{"vocab_size": WORDS, "num_hidden_layers": 2, "pad_token_id": 0}, **(sizes | settings)
    )
    return _random(HFTextEncoder("", 16, config=config, pooler_type=pooler, proj_type="linear"))


def _random(tower):
    """Let no weight be zero, so that each one counts."""
    torch.manual_seed(1)
    for parameter in tower.parameters():
        nn.init.normal_(parameter, std=0.3)
    return tower.requires_grad_(False).eval()


def texts(lengths):
    """Return ids (batch, context) of texts that end after `lengths` tokens; the pad is 0."""
    ids = torch.randint(1, END, (len(lengths), CONTEXT), generator=torch.manual_seed(0))
    ends = torch.tensor(lengths)[:, None] - 1
    places = torch.arange(CONTEXT)
    return ids.where(places < ends, torch.where(places == ends, END, 0))


def backbone_of(tower):
    """Return a backbone whose text tower is `tower`, and which has nothing else."""
    model = nn.Module()
    model.text = tower
    return Backbone(config=None, model=model, tokenizer=None, weights=None, seed=None)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"layers": 1},
        {"ls_init_value": 0.1},
        {"final_ln_after_pool": True},
        {"no_ln_pre": True},
        {"heads": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch", [1, 3])
def test_an_image_tower_gives_the_same_vectors(settings, batch):
    tower = image_tower(**settings)
    pixels = torch.randn(batch, 3, 32, 32)
    expected = tower(pixels)
    assert compute_one_token(tower) is None
    torch.testing.assert_close(tower(pixels), expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("pool", ["argmax", "eos", "first"])
@pytest.mark.parametrize("lengths", [[1], [12], [2, 7, 12, 1]], ids=str)
def test_a_causal_text_tower_gives_the_same_vectors_wherever_its_texts_end(pool, lengths):
    tower, ids = text_tower(pool_type=pool), texts(lengths)
    expected = tower(ids)
    assert compute_one_token(tower) is None
    backbone = backbone_of(tower)
    for tokens in {max(lengths), CONTEXT}:  # padded to the longest, and to the context
        vectors = backbone.encode_text(ids[:, :tokens])
        torch.testing.assert_close(vectors, expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize(("pool", "causal"), [("first", False), ("last", False), ("last", True)])
def test_a_text_tower_that_reads_a_fixed_token_gives_the_same_vectors(pool, causal):
    tower, ids = text_tower(pool_type=pool, no_causal_mask=not causal), texts([12, 3])
    expected = tower(ids)
    assert compute_one_token(tower) is None
    vectors = backbone_of(tower).encode_text(ids)
    torch.testing.assert_close(vectors, expected, atol=2e-6, rtol=2e-6)


def test_the_mlp_of_the_last_block_sees_one_token_of_each_row():
    tower = image_tower()
    compute_one_token(tower)
    seen = []
    for block in tower.transformer.resblocks:
        block.mlp.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[:-1]))
    tower(torch.randn(3, 3, 32, 32))
    assert seen == [(3, 5), (3, 1)]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("pooler", ["cls_pooler", "cls_last_hidden_state_pooler"])
@pytest.mark.parametrize("kind", ["Bert", "Roberta", "XLMRoberta"])
def test_a_bert_gives_the_same_vectors_wherever_its_texts_end(kind, pooler, attention):
    tower, ids = bert(kind, pooler, attn_implementation=attention), texts([2, 7, 12, 1])
    expected = tower(ids), tower(ids[2:3])
    assert compute_one_token(tower) is None
    seen = []
    tower.transformer.encoder.layer[-1].intermediate.register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].shape)
    )
    for rows, vectors in zip((ids, ids[2:3]), expected, strict=True):  # with padding, and without
        torch.testing.assert_close(tower(rows), vectors, atol=2e-6, rtol=2e-6)
    assert seen == [(4, 1, 32), (1, 1, 32)]


@pytest.mark.parametrize(
    ("tower", "reason"),
    [
        (lambda: image_tower(pool_type="avg"), "all of them are read"),
        (lambda: image_tower(pool_type="none"), "all of them are read"),
        (lambda: image_tower(attentional_pool=True, attn_pooler_heads=2), "a pooler attends"),
        (lambda: image_tower(qk_norm=True), "CustomResidualAttentionBlock is not known"),
        (lambda: text_tower(pool_type="none"), "all of them are read"),
        (lambda: text_tower(embed_cls=True), "a mask of its own"),
        (lambda: text_tower(no_causal_mask=True, use_pad_mask=True), "a mask of its own"),
        (lambda: text_tower(no_causal_mask=True), "without a causal mask"),
        (lambda: bert(pooler="mean_pooler"), "all of them are read"),
        (lambda: bert(pooler="max_pooler"), "all of them are read"),
        (lambda: bert(is_decoder=True), "a causal mask is not known"),
        (lambda: bert("MT5"), "the structure of MT5Model is not known"),
        (lambda: nn.Linear(2, 2), "the structure of Linear is not known"),
    ],
)
def test_another_structure_is_left_as_it_is_and_the_reason_told(tower, reason):
    tower = tower()
    before = copy.deepcopy(tower)
    assert reason in compute_one_token(tower)
    assert not any(isinstance(module, OneToken | OneTokenBert) for module in tower.modules())
    assert str(tower) == str(before)
