from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from trml_export.config import Config
from trml_export.method.losses import (
    cosine,
    distilling_loss,
    infonce,
    label_infonce,
    likeness,
    losses,
    matching_loss,
    sample_losses,
    surer_loss,
    task_loss,
)
from trml_export.method.model import TRML, Views

SIZE = 16
DIFFERENT = torch.arange(4)[:, None].expand(-1, 2)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _views(text_rows, video_rows, *predictions) -> Views:
    """Views with the given rows and predictions, and no vectors."""
    both = [row for row in text_rows if row in video_rows]
    rows = [torch.tensor(r, dtype=torch.int64) for r in (text_rows, video_rows, both)]
    values = [torch.tensor(p, dtype=torch.float32) for p in predictions]
    return Views(*rows, *values, *[torch.zeros(len(both), SIZE)] * 4)


def _batch(*presence: str):
    """Return the model's inputs for rows of "text", "video" or "both"."""
    text, frames = torch.randn(len(presence), SIZE), torch.randn(len(presence), 8, SIZE)
    has_text = torch.tensor([case != "video" for case in presence])
    has_video = torch.tensor([case != "text" for case in presence])
    return text, has_text, frames, has_video.unsqueeze(1).expand(-1, 8)


def test_aligned_vectors_cost_next_to_nothing():
    vectors = torch.eye(4, SIZE)
    assert infonce(vectors, vectors, DIFFERENT, tau=0.07) < 1e-5


def test_exchanged_vectors_cost_one_over_tau():
    vectors = torch.eye(2, SIZE)
    loss = infonce(vectors, vectors.flip(0), DIFFERENT[:2], tau=0.1)
    assert loss.item() == pytest.approx(10 + math.log1p(math.exp(-10)), rel=1e-6)


def test_vectors_that_say_nothing_cost_the_logarithm_of_the_batch():
    vectors = torch.ones(4, SIZE)
    assert infonce(vectors, vectors, DIFFERENT, tau=0.07).item() == pytest.approx(math.log(4))


def test_infonce_is_symmetric():
    virtual, real = torch.randn(4, SIZE), torch.randn(4, SIZE)
    one = infonce(virtual, real, DIFFERENT, tau=0.07)
    other = infonce(real, virtual, DIFFERENT, tau=0.07)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("column", [0, 1])  # of the texts, of the clips
def test_equal_texts_or_equal_clips_are_not_negatives_of_each_other(column):
    # Rows 0 and 1 say the same and look the same; row 2 is orthogonal to both. So each row
    # picks between itself (cosine 1) and one other (cosine 0): row 0 and 1 see row 2 only, row
    # 2 sees both of them.
    vectors = torch.eye(2, SIZE)[[0, 0, 1]]
    tau = 0.5
    groups = DIFFERENT[:3].clone()
    groups[:, column] = torch.tensor([7, 7, 3])
    one_negative = math.log1p(math.exp(-1 / tau))
    two_negatives = math.log1p(2 * math.exp(-1 / tau))
    expected = (2 * one_negative + two_negatives) / 3
    loss = infonce(vectors, vectors, groups, tau=tau)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_equal_texts_alone_leave_nothing_to_tell_apart():
    loss = infonce(torch.randn(3, SIZE), torch.randn(3, SIZE), torch.zeros(3, 1), tau=0.07)
    assert loss.item() == 0


def test_cosine_is_one_at_a_right_angle():
    assert cosine(torch.eye(2, SIZE), torch.eye(2, SIZE).flip(0)).item() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["infonce", "label_infonce", "cosine", "mse"])
@pytest.mark.parametrize(("alpha", "still"), [(1.0, "video_to_text"), (0.0, "text_to_video")])
def test_alpha_mixes_the_two_directions(kind, alpha, still):
    config = Config(matching_loss=kind, alpha=alpha)
    model = TRML(config, SIZE)
    matching_loss(config, model(*_batch("both", "both")), torch.zeros(2), DIFFERENT[:2]).backward()
    gradient = getattr(model, still).out.weight.grad
    assert gradient is None or gradient.abs().max() == 0


@pytest.mark.parametrize("kind", ["infonce", "label_infonce", "cosine", "mse"])
def test_every_matching_loss_teaches_both_generators(kind):
    config = Config(matching_loss=kind)
    model = TRML(config, SIZE)
    matching_loss(config, model(*_batch("both", "both")), torch.zeros(2), DIFFERENT[:2]).backward()
    for generator in (model.text_to_video, model.video_to_text):
        assert generator.out.weight.grad.abs().max() > 0


@pytest.mark.parametrize("lacking", ["text", "video"])
@pytest.mark.parametrize("kind", ["infonce", "label_infonce", "cosine", "mse"])
def test_a_sample_that_lacks_a_modality_leaves_matching_untouched(kind, lacking):
    config = Config(matching_loss=kind)
    model = TRML(config, SIZE)
    text, has_text, frames, mask = _batch("both", "both", lacking)
    groups = DIFFERENT[:3]

    def gradients(rows: int):
        model.zero_grad()
        views = model(text[:rows], has_text[:rows], frames[:rows], mask[:rows])
        loss = matching_loss(config, views, torch.zeros(rows), groups[:rows])
        loss.backward()
        return [loss, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]

    for with_it, without_it in zip(gradients(3), gradients(2), strict=True):
        torch.testing.assert_close(with_it, without_it, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("teaches", [True, False])
def test_the_task_teaches_the_generators_or_leaves_them_alone(teaches):
    config = Config(task_teaches_generators=teaches)
    model = TRML(config, SIZE)
    torch.nn.init.normal_(model.text_to_video.out.weight)
    views = model(*_batch("both", "text", "video"))
    task_loss(config, views, torch.ones(3)).backward()
    assert model.head.out.weight.grad.abs().max() > 0
    for generator in (model.text_to_video, model.video_to_text):
        gradients = [p.grad for p in generator.parameters() if p.grad is not None]
        assert bool(gradients) == teaches


def test_a_generator_that_the_task_leaves_alone_learns_from_matching():
    config = Config(task_teaches_generators=False)
    model = TRML(config, SIZE)
    views = model(*_batch("both", "both"))
    matching_loss(config, views, torch.zeros(2), DIFFERENT[:2]).backward()
    assert model.text_to_video.out.weight.grad.abs().max() > 0


def test_a_batch_without_complete_samples_has_no_matching_loss():
    config = Config()
    views = TRML(config, SIZE)(*_batch("text", "video"))
    assert matching_loss(config, views, torch.zeros(2), DIFFERENT[:2]).item() == 0


def test_a_complete_sample_counts_no_more_than_one_that_lacks_something():
    # Row 0 is complete with errors 1, 2 and 6: mean 3. Row 1 has text alone with error 1.
    views = _views([0, 1], [0], [[1.0], [1.0]], [[2.0]], [[6.0]])
    assert task_loss(Config(), views, torch.zeros(2)).item() == pytest.approx(2)


def test_classes_cost_their_cross_entropy():
    config = Config(task="classification")
    views = _views([0], [], [[0.0, 0.0, 0.0]], [], [])
    views = views._replace(from_video=torch.zeros(0, 3), from_both=torch.zeros(0, 3))
    loss = task_loss(config, views, torch.tensor([1]))
    assert loss.item() == pytest.approx(math.log(3))


def test_a_weight_of_zero_trains_on_the_task_alone():
    config = Config(matching_weight=0.0)
    views = TRML(config, SIZE)(*_batch("both", "both"))
    result = losses(config, views, torch.zeros(2), DIFFERENT[:2])
    assert result.total.item() == result.task.item()
    assert result.matching.item() > 0


def _log_chances(*first: float) -> list[list[float]]:
    return [[math.log(chance), math.log(1 - chance)] for chance in first]


SURE = Config(task="classification", labels=("a", "b"), confidence_weight=1.0)


def test_answers_to_one_input_cost_what_they_are_surer_than_the_answer_to_both():
    # Row 2 has text alone, and nothing to compare it with.
    text, video = _log_chances(0.9, 0.6, 0.99), _log_chances(0.6, 0.3)
    views = _views([0, 1, 2], [0, 1], text, video, _log_chances(0.7, 0.8))
    assert surer_loss(SURE, views).item() == pytest.approx(0.2 / 2 / 2)


def test_the_answer_to_both_inputs_does_not_become_surer_by_the_penalty():
    model = TRML(SURE, SIZE)
    views = model(*_batch("both", "both", "both"))
    views = views._replace(from_text=3 * views.from_text, from_video=3 * views.from_video)
    views.from_both.retain_grad()
    surer_loss(SURE, views).backward()
    assert views.from_both.grad is None
    assert model.head.out.weight.grad.abs().max() > 0


def test_no_complete_sample_is_no_penalty():
    views = _views([0], [1], _log_chances(0.9), _log_chances(0.9), [])
    assert surer_loss(SURE, views).item() == 0


def test_label_infonce_with_labels_that_all_differ_is_infonce():
    virtual, real = torch.randn(4, SIZE), torch.randn(4, SIZE)
    one = label_infonce(virtual, real, torch.eye(4), tau=0.1)
    torch.testing.assert_close(one, infonce(virtual, real, DIFFERENT, tau=0.1))


def test_label_infonce_costs_nothing_more_for_naming_another_sample_of_the_class():
    alike = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
    real = torch.eye(2, SIZE)[[0, 0, 1]]
    exchanged = real[[1, 0, 2]]
    one = label_infonce(real, real, alike, tau=0.1)
    torch.testing.assert_close(one, label_infonce(exchanged, real, alike, tau=0.1))
    assert one.item() == pytest.approx(2 * math.log(2) / 3, abs=1e-3)


def test_classes_are_alike_or_not():
    config = Config(task="classification")
    alike = likeness(config, torch.tensor([0, 2, 0]))
    assert alike.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_scores_are_alike_by_their_distance_in_score_ranges():
    config = Config(score_range=(-3.0, 3.0), thresholds=(-0.5, 0.5), label_width=0.1)
    alike = likeness(config, torch.tensor([0.0, 0.6]))  # 0.6 is one width of a range of 6
    assert alike[0, 1].item() == pytest.approx(math.exp(-0.5))
    assert alike.diagonal().tolist() == [1, 1]


@pytest.mark.parametrize("detach", [True, False])
def test_targets_get_a_gradient_only_where_they_are_not_detached(detach):
    config = Config(detach_targets=detach, alpha=1.0)
    views = TRML(config, SIZE)(*_batch("both", "both", "both"))
    views.real_video.retain_grad()
    matching_loss(config, views, torch.zeros(3), DIFFERENT[:3]).backward()
    assert (views.real_video.grad is None) is detach


def test_the_head_is_no_way_to_cheat_the_matching_loss():
    model = TRML(Config(matching_level="head", head_width=5), SIZE)
    views = model(*_batch("both", "both", "both"))
    assert views.virtual_video.shape == (3, 5)
    matching_loss(model.config, views, torch.zeros(3), DIFFERENT[:3]).backward()
    assert model.head.hidden.weight.grad is None


@pytest.mark.parametrize(
    ("trained", "expected"),
    [("all", (13 / 3 + 2) / 2), ("text", 1.5), ("video", 4.0), ("text_video", 8.0)],
)
def test_only_the_trained_views_count_and_the_samples_that_have_them(trained, expected):
    # Row 0 has both, row 1 text alone. Errors: text 1 and 2, video 4, both 8.
    views = _views([0, 1], [0], [[1.0], [2.0]], [[4.0]], [[8.0]])
    config = Config(trained_views=trained)
    assert task_loss(config, views, torch.zeros(2)).item() == pytest.approx(expected)


def test_a_batch_without_a_trained_view_costs_nothing():
    views = _views([0], [], [[1.0]], [], [])
    views = views._replace(from_video=torch.zeros(0, 1), from_both=torch.zeros(0, 1))
    assert task_loss(Config(trained_views="video"), views, torch.zeros(1)).item() == 0


def test_distilling_is_the_mean_distance_of_one_input_from_both():
    # Rows 0 and 2 are complete, with answers to both of 1 and 5. Row 1 has text alone.
    views = _views([0, 1, 2], [0, 2], [[2.0], [9.0], [5.0]], [[1.0], [1.0]], [[1.0], [5.0]])
    loss = distilling_loss(Config(distil_weight=1.0), views)
    assert loss.item() == pytest.approx((0.5 + 2) / 2)
    assert distilling_loss(Config(), views) == 0


def test_distilling_of_classes_is_a_divergence_that_is_zero_for_equal_answers():
    config = Config(task="classification", distil_weight=1.0)
    logits = [[2.0, 0.0, 1.0]]
    same = _views([0], [0], logits, logits, logits)
    assert distilling_loss(config, same).item() == pytest.approx(0, abs=1e-6)
    other = _views([0], [0], [[0.0, 0.0, 0.0]], logits, logits)
    chances = torch.softmax(torch.tensor(logits[0]), dim=0)
    expected = (chances * (chances * 3).log()).sum() / 2
    assert distilling_loss(config, other).item() == pytest.approx(expected.item(), rel=1e-5)


def test_distilling_leaves_the_answer_to_both_where_it_is():
    config = Config(distil_weight=1.0)
    views = TRML(config, SIZE)(*_batch("both", "both", "text"))
    views.from_both.retain_grad()
    distilling_loss(config, views).backward()
    assert views.from_both.grad is None


def test_the_weights_add_the_losses_up():
    config = Config(matching_weight=0.5, distil_weight=2.0)
    views = TRML(config, SIZE)(*_batch("both", "both"))
    result = losses(config, views, torch.zeros(2), DIFFERENT[:2])
    expected = result.task + 0.5 * result.matching + 2 * result.distilling
    torch.testing.assert_close(result.total, expected)
    assert result.distilling > 0


def test_a_class_counts_what_its_weight_says():
    config = Config(task="classification", labels=("a", "b"), class_weights=(1.0, 5.0))
    plain = config.model_copy(update={"class_weights": "none"})
    views = _views([0, 1], [0, 1], *[[[1.0, 0.0], [1.0, 0.0]]] * 3)
    target = torch.tensor([0, 1])
    weighted, each = (sample_losses(c, views, target) for c in (config, plain))
    torch.testing.assert_close(weighted, each * torch.tensor([1.0, 5.0]))
