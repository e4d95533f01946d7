from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from trml_export.config import Config
from trml_export.method.fusion import AttentionHead
from trml_export.method.model import TRML
from trml_rt.errors import UsageError

SIZE = 16


@pytest.fixture
def head():
    torch.manual_seed(0)
    return AttentionHead(SIZE, 8, 3, 0.0).eval()


@pytest.mark.parametrize("real", [(True, False), (False, True)])
def test_a_vector_that_is_not_real_is_never_looked_at(head, real):
    given, nothing = torch.randn(2, SIZE), torch.full((2, SIZE), float("nan"))
    text, video = (given, nothing) if real[0] else (nothing, given)
    assert head(text, video, real).isfinite().all()


def test_both_vectors_attend_to_each_other_as_pytorch_has_it(head):
    text, video = torch.randn(2, SIZE), torch.randn(2, SIZE)
    vectors = torch.stack([text, video], dim=1) + head.marks
    attended = torch.nn.functional.scaled_dot_product_attention(
        head.queries(vectors), head.keys(vectors), head.values(vectors)
    )
    pooled = (vectors + attended).mean(dim=1)
    expected = head.out(torch.nn.functional.gelu(head.hidden(pooled)))
    torch.testing.assert_close(head(text, video, (True, True)), expected)


def test_the_two_modalities_are_told_apart(head):
    vector = torch.randn(2, SIZE)
    as_text, as_video = head(vector, vector, (True, False)), head(vector, vector, (False, True))
    assert not torch.allclose(as_text, as_video)


def test_what_makes_no_sense_with_attention_is_refused():
    from trml_export.config import load_config

    for other in ("matching_level=head", "mask_bits=true"):
        with pytest.raises(UsageError, match="fusion=attention"):
            load_config(overrides=["fusion=attention", other])


def test_a_model_with_attention_answers_every_case():
    model = TRML(Config(fusion="attention", generator="zero"), SIZE).eval()
    text, frames = torch.randn(3, SIZE), torch.randn(3, 2, SIZE)
    mask = torch.ones(3, 2, dtype=torch.bool)
    answers = [
        model.fuse_text(text)[0],
        model.fuse_video(frames, mask)[0],
        model.fuse_text_video(text, frames, mask),
    ]
    assert [answer.shape for answer in answers] == [(3, 1)] * 3
