from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from trml_export.config import Config
from trml_export.method.generators import Generator
from trml_export.method.model import TRML, TemporalEncoder, normalise

SIZE, FRAMES = 16, 8


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _clips(*lengths: int, frames: int = FRAMES):
    mask = torch.arange(frames) < torch.tensor(lengths).unsqueeze(1)
    return torch.randn(len(lengths), frames, SIZE), mask


def _trained_generators(model: TRML) -> TRML:
    # At the start a generator is a copy; some tests need one that does something.
    for generator in (model.text_to_video, model.video_to_text):
        torch.nn.init.normal_(generator.out.weight, std=0.5)
    return model


def test_the_unrolled_recurrence_is_torchs_gru():
    encoder = TemporalEncoder(SIZE)
    frames, mask = _clips(8, 8, 8)
    expected = (encoder.gru(frames)[0] + frames).mean(dim=1)
    torch.testing.assert_close(encoder(frames, mask), expected, atol=1e-6, rtol=0)


def test_a_short_clip_gives_what_it_gives_without_padding():
    encoder = TemporalEncoder(SIZE)
    frames, mask = _clips(3)
    alone = encoder(frames[:, :3], mask[:, :3])
    torch.testing.assert_close(encoder(frames, mask), alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["gru", "mean"])
@pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
def test_masked_frames_do_not_change_the_result(kind, garbage):
    encoder = TemporalEncoder(SIZE, kind)
    frames, mask = _clips(1, 5, 8)
    spoilt = frames.masked_fill(~mask.unsqueeze(-1), garbage)
    assert torch.equal(encoder(spoilt, mask), encoder(frames, mask))


def test_masked_frames_get_no_gradient():
    frames, mask = _clips(3)
    frames.requires_grad_()
    TemporalEncoder(SIZE)(frames, mask).sum().backward()
    assert frames.grad[~mask].abs().max() == 0


def test_a_row_does_not_depend_on_its_neighbours():
    encoder = TemporalEncoder(SIZE)
    frames, mask = _clips(8, 2)
    together = encoder(frames, mask)[1:]
    torch.testing.assert_close(together, encoder(frames[1:], mask[1:]), atol=1e-6, rtol=0)


def test_the_mean_encoder_is_the_masked_mean():
    frames, mask = _clips(3)
    expected = frames[0, :3].mean(dim=0)
    actual = TemporalEncoder(SIZE, "mean")(frames, mask)[0]
    torch.testing.assert_close(actual, expected)


def test_the_order_of_frames_matters_to_the_recurrence():
    encoder = TemporalEncoder(SIZE)
    frames, mask = _clips(8)
    assert not torch.allclose(encoder(frames, mask), encoder(frames.flip(1), mask), atol=1e-4)


def test_a_new_generator_is_a_copy():
    vector = torch.randn(2, SIZE)
    assert torch.equal(Generator(SIZE, 2 * SIZE)(vector), vector)


def test_a_generator_computes_the_formula_of_the_method():
    generator = Generator(SIZE, 2 * SIZE)
    torch.nn.init.normal_(generator.out.weight)
    vector = torch.randn(2, SIZE)
    weights = torch.cat([generator.from_vector.weight, generator.from_prompt.weight], dim=1)
    joined = torch.cat([vector, generator.prompt.expand(2, -1)], dim=1)  # [x ; p]
    hidden = torch.nn.functional.gelu(joined @ weights.T + generator.from_vector.bias)
    expected = vector + hidden @ generator.out.weight.T
    torch.testing.assert_close(generator(vector), expected)


def test_normalising_keeps_the_zero_of_padding():
    vectors = torch.stack([torch.zeros(SIZE), torch.full((SIZE,), 3.0)])
    torch.testing.assert_close(normalise(vectors).norm(dim=1), torch.tensor([0.0, 1.0]))


def test_normalising_keeps_the_zero_of_padding_in_half_precision():
    assert normalise(torch.zeros(1, SIZE, dtype=torch.float16)).abs().max() == 0


def test_the_copy_generator_gives_the_other_modality_itself():
    model = TRML(Config(generator="copy", equal_lengths=False), SIZE)
    text = torch.randn(2, SIZE)
    assert torch.equal(model.fuse_text(text)[1], text)


@pytest.mark.parametrize("normal", [True, False])
def test_whatever_the_head_takes_has_length_1(normal):
    seen = []
    model = _trained_generators(TRML(Config(normalise=normal, head_scale=1.0), SIZE)).eval()
    model.head.register_forward_pre_hook(lambda _, given: seen.extend(given[:2]))
    frames, mask = _clips(8, 1, 3)
    text = model.text_state(torch.randn(3, SIZE) * 7)
    frames = model.frame_states(frames)
    model.fuse_text(text), model.fuse_video(frames, mask), model.fuse_text_video(text, frames, mask)
    assert len(seen) == 6
    torch.testing.assert_close(torch.cat(seen).norm(dim=1), torch.ones(18))


@pytest.mark.parametrize(
    ("settings", "width"),
    [({}, 1), ({"task": "classification", "labels": ("a", "b", "c", "d")}, 4)],
)
def test_every_fusion_gives_one_prediction_a_row(settings, width):
    model = TRML(Config(**settings), SIZE).eval()
    text = torch.randn(3, SIZE)
    frames, mask = _clips(8, 1, 4)
    shapes = {
        model.fuse_text(text)[0].shape,
        model.fuse_video(frames, mask)[0].shape,
        model.fuse_text_video(text, frames, mask).shape,
    }
    assert shapes == {(3, width)}


def test_without_mask_bits_a_perfect_guess_gives_the_complete_answer():
    model = TRML(Config(generator="copy", temporal_encoder="mean"), SIZE).eval()
    text = torch.randn(1, SIZE)
    clip = text.unsqueeze(1)
    mask = torch.ones(1, 1, dtype=torch.bool)
    torch.testing.assert_close(model.fuse_text(text)[0], model.fuse_text_video(text, clip, mask))


def test_mask_bits_tell_a_virtual_vector_from_a_real_one():
    model = TRML(Config(generator="copy", temporal_encoder="mean", mask_bits=True), SIZE).eval()
    text = torch.randn(1, SIZE)
    clip = text.unsqueeze(1)
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert not torch.allclose(model.fuse_text(text)[0], model.fuse_text_video(text, clip, mask))


def test_training_sees_the_predictions_of_the_three_fusions():
    model = _trained_generators(TRML(Config(mask_bits=True), SIZE)).eval()
    text = torch.randn(3, SIZE)
    frames, mask = _clips(8, 1, 4)
    views = model(text, torch.ones(3, dtype=torch.bool), frames, mask)
    x_t, x_v = model.text_state(text), model.frame_states(frames)
    torch.testing.assert_close(views.from_text, model.fuse_text(x_t)[0])
    torch.testing.assert_close(views.from_video, model.fuse_video(x_v, mask)[0])
    torch.testing.assert_close(views.from_both, model.fuse_text_video(x_t, x_v, mask))


def test_a_sample_without_a_modality_gives_its_one_view():
    model = TRML(Config(), SIZE)
    frames, mask = _clips(8, 0, 3)
    has_text = torch.tensor([True, True, False])
    views = model(torch.randn(3, SIZE), has_text, frames, mask)
    assert views.text_rows.tolist() == [0, 1]
    assert views.video_rows.tolist() == [0, 2]
    assert views.both_rows.tolist() == [0]


def test_the_place_of_a_missing_modality_is_never_read():
    model = TRML(Config(), SIZE).eval()
    frames, mask = _clips(8, 0, 3)
    frames[1] = float("nan")
    text = torch.randn(3, SIZE)
    text[2] = float("nan")
    views = model(text, torch.tensor([True, True, False]), frames, mask)
    assert all(value.isfinite().all() for value in views)


def test_a_scale_at_the_heads_door_is_one_of_its_first_layer():
    plain = TRML(Config(head_scale=1.0), SIZE).eval()
    scaled = TRML(Config(head_scale=3.0), SIZE).eval()
    scaled.load_state_dict(plain.state_dict())
    plain.head.hidden.weight.data *= 3
    text, (frames, mask) = torch.randn(2, SIZE), _clips(3, 8)
    answers = [_answers(model, text, frames, mask) for model in (plain, scaled)]
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("settings", "scale"), [({}, 4.0), ({"equal_lengths": False}, 1.0), ({"head_scale": 2.0}, 2.0)]
)
def test_the_scale_is_the_root_of_d_for_vectors_of_equal_length(settings, scale):
    assert TRML(Config(**settings), SIZE).head_scale == scale


def _answers(model: TRML, text, frames, mask):
    from_text, virtual_video = model.fuse_text(text)
    from_video, virtual_text = model.fuse_video(frames, mask)
    both = model.fuse_text_video(text, frames, mask)
    return from_text, from_video, both, virtual_text, virtual_video


def test_standardised_vectors_lie_about_their_centre_and_keep_no_common_direction():
    model = TRML(Config(standardise=True, head_scale=1.0), SIZE).eval()
    spread = torch.linspace(0.1, 3.0, SIZE)
    text = 5 + torch.randn(500, SIZE) * spread
    frames = torch.randn(500, 1, SIZE) - 7
    model.learn_spaces(text, frames[:, 0])
    seen = []
    model.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.fuse_text(model.text_state(text))
    assert normalise(text).mean(dim=0).norm() > 0.8
    assert seen[0].mean(dim=0).norm() < 0.1
    torch.testing.assert_close(seen[0].norm(dim=1), torch.ones(500))


def test_an_encoder_without_rows_leaves_its_space_as_it_is():
    model = TRML(Config(standardise=True), SIZE)
    model.learn_spaces(torch.randn(50, SIZE), torch.zeros(0, SIZE))
    assert model.vector_mean[0].norm() > 0
    assert model.vector_mean[1].norm() == 0
    assert model.vector_scale[1].eq(1).all()
