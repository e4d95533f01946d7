"""Samples as tensors: ids, frames and masks are shaped in one place."""

from __future__ import annotations

import numpy as np
import pytest

from trml_rt.bundle.folder import Bundle
from trml_rt.errors import InputUnusable, UsageError
from trml_rt.inputs.prepare import Inputs, Prepared, Sample
from trml_rt.inputs.tokenizer import Tokens

CLIP = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)


@pytest.fixture
def inputs(tiny_bundle):
    return Inputs(Bundle(tiny_bundle))


def stacked(inputs, *samples):
    return inputs.stack([inputs.prepare(sample, degrade=False) for sample in samples])


def test_one_text_is_not_padded(inputs):
    tensors = stacked(inputs, Sample("bad"))
    assert {name: tensor.shape for name, tensor in tensors.items()} == {"ids": (1, 3)}
    assert tensors["ids"].dtype == np.int32


def test_texts_of_a_batch_are_padded_to_the_longest(inputs):
    ids = stacked(inputs, Sample("bad"), Sample("what a good day"))["ids"]
    assert ids.shape == (2, 6)
    assert ids[0].tolist()[3:] == [0, 0, 0]


def test_texts_are_padded_to_the_context_where_the_text_tower_needs_it(edit_manifest):
    def whole(manifest):
        manifest["text"]["cut"] = False
        manifest["engines"]["text"]["inputs"][0]["shape"] = ["batch", 8]

    ids = stacked(Inputs(Bundle(edit_manifest(whole))), Sample("bad"))["ids"]
    assert ids.shape == (1, 8)
    assert ids[0].tolist()[3:] == [0] * 5


def test_a_back_end_that_works_by_shape_is_given_few_lengths(edit_manifest):
    def longer(manifest):
        manifest["text"]["context"] = manifest["axes"]["tokens"]["max"] = 77

    inputs = Inputs(Bundle(edit_manifest(longer)), few_shapes=True)
    assert inputs.lengths == [8, 16, 24, 32, 48, 64, 77]
    for tokens, length in ((1, 8), (8, 8), (9, 16), (33, 48), (64, 64), (65, 77)):
        ids = inputs.stack([Prepared(Tokens(np.ones(tokens, np.int32), truncated=False))])["ids"]
        assert ids.tolist() == [[1] * tokens + [0] * (length - tokens)]


def test_clips_follow_one_another_and_the_mask_says_which_frame_is_whose(inputs):
    tensors = stacked(inputs, Sample(video=CLIP), Sample(video=CLIP[:1]))
    np.testing.assert_array_equal(tensors["frames"], np.concatenate([CLIP, CLIP[:1]]))
    assert tensors["frame_mask"].tolist() == [
        [True, True, True, False],
        [True, False, False, False],
    ]
    assert (tensors["frames"].dtype, tensors["frame_mask"].dtype) == (np.uint8, np.bool_)
    assert "ids" not in tensors


def test_both_inputs_are_the_tensors_of_each(inputs):
    tensors = stacked(inputs, Sample("bad", CLIP))
    alone = stacked(inputs, Sample("bad")) | stacked(inputs, Sample(video=CLIP))
    assert tensors.keys() == {"ids", "frames", "frame_mask"}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, alone[name])


def test_no_input_is_a_usage_error(inputs):
    with pytest.raises(UsageError, match="give at least one"):
        inputs.prepare(Sample(), degrade=True)


def test_degrading_leaves_out_what_cannot_be_used_but_never_all(inputs, tmp_path):
    prepared = inputs.prepare(Sample("bad", tmp_path / "none.mp4"), degrade=True)
    assert prepared.pixels is None
    assert prepared.reports["video"].reason == "undecodable"
    with pytest.raises(InputUnusable, match="no input can be used"):
        inputs.prepare(Sample(video=tmp_path / "none.mp4"), degrade=True)
