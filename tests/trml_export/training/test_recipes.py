from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.trml_export.learnable import SIZE, SMALL, learnable
from trml_export.config import Config, parse_config
from trml_export.training.recipes import RECIPES, Tried, best_recipe, choose_recipe


def _tried(**recipes: tuple[tuple[float, float], ...]) -> list[Tried]:
    """Recipes with a metric of both inputs and of text alone for each seed."""
    return [
        Tried(name, Config(), [{"both inputs": b, "text alone": t} for b, t in values])
        for name, values in recipes.items()
    ]


def test_a_recipe_that_is_better_beyond_the_noise_in_one_case_is_taken():
    low, high = ((0.60, 0.5), (0.61, 0.5)), ((0.70, 0.5), (0.71, 0.5))
    assert best_recipe(_tried(constant=low, trml=high), "macro_f1").name == "trml"
    assert best_recipe(_tried(constant=high, trml=low), "mae").name == "trml"


def test_within_the_noise_the_simplest_one_is_taken():
    noisy = ((0.72, 0.5), (0.66, 0.5))
    tried = _tried(zero=((0.5, 0.5), (0.5, 0.5)), constant=((0.68, 0.5), (0.68, 0.5)), trml=noisy)
    assert best_recipe(tried, "macro_f1").name == "constant"


def test_a_better_mean_does_not_pay_for_a_case_that_loses():
    tried = _tried(
        constant=((0.80, 0.60), (0.81, 0.60)),
        bold=((0.70, 0.90), (0.71, 0.90)),
        even=((0.79, 0.85), (0.78, 0.85)),
    )
    assert best_recipe(tried, "macro_f1").name == "even"


def test_every_recipe_is_a_configuration():
    for changes in RECIPES.values():
        parse_config(Config().model_dump(mode="json") | changes)


def test_recipes_are_tried_with_each_seed_and_a_finished_one_is_not_trained_again(
    tmp_path, monkeypatch
):
    config = SMALL.model_copy(update={"epochs": 2})
    parts = learnable(24), learnable(24, seed=1)

    def state_of(one):
        return tmp_path / f"{one.generator}_{one.seed}.safetensors"

    some = {name: RECIPES[name] for name in ("constant", "configured")}
    options = {"state_of": state_of, "recipes": some, "seeds": 2}
    chosen, tried = choose_recipe(*parts, config, SIZE, **options)
    assert [each.name for each in tried] == ["constant", "configured"]
    assert chosen in tried
    assert len(list(tmp_path.iterdir())) == 4
    assert set(tried[0].cases[0]) == {"both inputs", "text alone", "video alone"}

    def refuse(*_):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr("trml_export.training.fitting._epoch", refuse)
    assert choose_recipe(*parts, config, SIZE, **options)[1] == tried
