from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.trml_export.learnable import SIZE, SMALL, learnable
from trml_export.config import Config, parse_config
from trml_export.training import recipes
from trml_export.training.recipes import RECIPES, Tried, choose_recipe


def _tried(**means: tuple[float, ...]) -> list[Tried]:
    return [
        Tried(name, Config(), [{"both inputs": value} for value in values])
        for name, values in means.items()
    ]


def _taken(tried, sign=-1):
    return recipes._simplest_of_the_best(tried, sign).name


def test_a_recipe_that_is_better_beyond_the_noise_is_taken():
    assert _taken(_tried(constant=(0.60, 0.61, 0.60), trml=(0.70, 0.71, 0.70))) == "trml"
    errors = _tried(constant=(0.7, 0.7, 0.7), trml=(0.5, 0.6, 0.55))
    assert _taken(errors, sign=1) == "trml"


def test_within_the_noise_the_simpler_one_is_taken():
    assert _taken(_tried(constant=(0.69, 0.68), trml=(0.72, 0.67))) == "constant"
    assert _taken(_tried(zero=(0.5, 0.5), constant=(0.69, 0.68), trml=(0.72, 0.67))) == "constant"


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
