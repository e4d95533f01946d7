from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from trml_export.backbone.cutting import cut, cutting_is_exact


def test_cutting_is_exact_behind_a_causal_mask_and_behind_a_mask_of_the_padding(clip, hf):
    assert cutting_is_exact(clip)
    assert cutting_is_exact(hf)


def test_a_batch_is_cut_to_its_longest_text(clip):
    ids = clip.tokenize(["x", "a happy day"])
    cut_ids = cut(clip, ids)
    assert cut_ids[1, -1] == clip.tokenizer.eot_token_id
    assert torch.equal(ids[:, : cut_ids.shape[1]], cut_ids)
    assert (ids[:, cut_ids.shape[1] :] == 0).all()


def test_the_pad_of_clip_inside_a_text_is_not_cut(clip):
    """CLIP pads with the id of an exclamation mark that stands inside a word."""
    ids = clip.tokenize(["x"])
    ids[0, 1:4] = torch.tensor([0, 0, clip.tokenizer.eot_token_id])
    assert cut(clip, ids).tolist() == [
        [clip.tokenizer.sot_token_id, 0, 0, clip.tokenizer.eot_token_id]
    ]
