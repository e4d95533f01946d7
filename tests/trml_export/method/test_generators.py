from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from trml_export.config import Config
from trml_export.method.generators import Gate, TrainingMean, make_generator
from trml_export.method.model import TRML

SIZE = 16
X = torch.arange(3 * SIZE, dtype=torch.float32).reshape(3, SIZE)


def test_an_untrained_generator_is_a_copy():
    assert torch.equal(make_generator("mlp", SIZE, 32)(X), X)


def test_a_copy_is_the_input():
    assert torch.equal(make_generator("copy", SIZE, 32)(X), X)


def test_zero_is_zero():
    assert torch.equal(make_generator("zero", SIZE, 32)(X), torch.zeros_like(X))


@pytest.mark.parametrize("kind", ["constant", "mean", "zero"])
def test_a_control_does_not_look_at_the_input(kind):
    generator = make_generator(kind, SIZE, 32)
    assert torch.equal(generator(X), generator(-7 * X))


def test_a_constant_learns():
    generator = make_generator("constant", SIZE, 32)
    generator(X).sum().backward()
    assert torch.equal(generator.vector.grad, torch.full((SIZE,), 3.0))


def test_the_mean_of_one_batch_is_its_mean_and_later_ones_move_it():
    mean = TrainingMean(SIZE)
    mean.observe(X)
    torch.testing.assert_close(mean(X)[0], X.mean(dim=0))
    mean.observe(X + 10)
    torch.testing.assert_close(mean(X)[0], X.mean(dim=0) + 1)


def test_the_mean_is_of_the_other_modality_and_training_alone_moves_it():
    torch.manual_seed(0)
    model = TRML(
        Config(generator="mean", temporal_encoder="mean", frames=2, equal_lengths=False), SIZE
    )
    text, frames = torch.randn(4, SIZE), torch.randn(4, 2, SIZE)
    present, mask = torch.ones(4, dtype=torch.bool), torch.ones(4, 2, dtype=torch.bool)
    views = model.train()(text, present, frames, mask)
    torch.testing.assert_close(views.virtual_video[0], views.real_video.mean(dim=0))
    torch.testing.assert_close(views.virtual_text[0], views.real_text.mean(dim=0))
    before = model.text_to_video.mean.clone()
    model.eval()(text + 1, present, frames + 1, mask)
    assert torch.equal(model.text_to_video.mean, before)


def test_a_batch_without_the_modality_leaves_the_mean():
    mean = TrainingMean(SIZE)
    mean.observe(X[:0])
    mean.observe(X)
    torch.testing.assert_close(mean(X)[0], X.mean(dim=0))


def test_a_new_gate_takes_half_of_each():
    gate = Gate(SIZE)
    virtual = torch.randn(3, SIZE)
    torch.testing.assert_close(gate(virtual, X), (virtual + gate.constant) / 2)


def test_a_gate_that_is_shut_gives_the_constant_and_an_open_one_the_virtual_vector():
    gate, virtual = Gate(SIZE), torch.randn(3, SIZE)
    gate.share.bias.data.fill_(-50.0)
    torch.testing.assert_close(gate(virtual, X), gate.constant.expand(3, -1))
    gate.share.bias.data.fill_(50.0)
    torch.testing.assert_close(gate(virtual, X), virtual)


def test_the_task_teaches_a_gate_also_where_generators_learn_from_matching_alone():
    torch.manual_seed(0)
    model = TRML(Config(gate=True, task_teaches_generators=False), SIZE)
    text, frames = torch.randn(4, SIZE), torch.randn(4, 2, SIZE)
    present, mask = torch.ones(4, dtype=torch.bool), torch.ones(4, 2, dtype=torch.bool)
    views = model(text, present, frames, mask)
    (views.from_text.sum() + views.from_video.sum()).backward()
    for gate in (model.video_gate, model.text_gate):
        assert gate.constant.grad.abs().max() > 0
    assert model.text_to_video.out.weight.grad is None
