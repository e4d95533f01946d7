from __future__ import annotations

import json
import sys

import pytest

from trml_export.config import Config, load_config
from trml_rt.errors import EnvironmentUnfit, UsageError


def test_the_defaults_are_the_methods_own():
    config = load_config()
    assert (config.frames, config.tau, config.alpha, config.matching_weight) == (8, 0.07, 0.5, 0.1)
    assert (config.temporal_encoder, config.generator, config.matching_loss) == (
        "gru",
        "mlp",
        "infonce",
    )


def test_overrides_win_over_the_file(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"frames": 4, "tau": 0.2}))
    config = load_config(path, overrides=["frames=12"])
    assert (config.frames, config.tau) == (12, 0.2)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_toml_says_the_same_as_json(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('frames = 4\nlabels = ["a", "b"]\ntask = "classification"\n')
    assert load_config(path) == Config(frames=4, labels=("a", "b"), task="classification")


def test_toml_without_its_reader_names_the_way_out(tmp_path, monkeypatch):
    path = tmp_path / "c.toml"
    path.write_text("frames = 4\n")
    monkeypatch.setitem(sys.modules, "tomllib", None)
    with pytest.raises(EnvironmentUnfit, match="write the file as JSON"):
        load_config(path)


def test_a_key_is_set_once():
    with pytest.raises(UsageError, match="--set frames = 9: frames is set before; set it once"):
        load_config(overrides=["frames=4", "tau=0.1", "frames = 9"])


def test_a_word_needs_no_quotes_in_an_override():
    assert load_config(overrides=["temporal_encoder=mean"]).temporal_encoder == "mean"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lambda=1", "unknown key lambda; see `trml-rt config`"),
        ("epoch=3", "unknown key epoch; did you mean epochs\\?"),
        ("frames", "KEY=VALUE"),
        ("frames=0", "frames"),
        ("frames=eight", "frames"),
        ("normalise=1", "normalise"),
        ("tau=0", "tau"),
        ("tau=NaN", "tau"),
        ("alpha=1.5", "alpha"),
        ("temporal_encoder=lstm", "temporal_encoder"),
        ("labels=[]", "labels"),
        ('labels=["a", "a", "b"]', "different"),
        ('labels=["a", "b"]', "2 labels need 1 thresholds"),
        ("thresholds=[0.5, -0.5]", "thresholds must rise"),
        ("thresholds=[-0.5, 3.0]", "inside score_range"),
        ("score_range=[1, 1]", "score_range must rise"),
        ("head_scale=0", "head_scale"),
        ("confidence_weight=1", "confidence_weight needs classes; a score has no confidence"),
        ("class_weights=balanced", "class_weights need classes; set task=classification"),
        (
            "class_weights=[1, 0]",
            "config: class_weights: none, balanced or a list of numbers above 0",
        ),
        (
            "class_weights=often",
            "config: class_weights: none, balanced or a list of numbers above 0",
        ),
    ],
)
def test_a_wrong_override_is_refused_by_name(override, message):
    with pytest.raises(UsageError, match=message):
        load_config(overrides=[override])


def test_there_are_as_many_class_weights_as_labels():
    classes = ["task=classification", 'labels=["a", "b"]']
    assert load_config(overrides=[*classes, "class_weights=[1, 5]"]).class_weights == (1, 5)
    with pytest.raises(UsageError, match="2 labels need as many class_weights"):
        load_config(overrides=[*classes, "class_weights=[1, 5, 1]"])


def test_classification_reads_no_thresholds():
    config = load_config(overrides=["task=classification", 'labels=["a", "b"]'])
    assert config.outputs == 2


def test_classification_of_one_class_is_refused():
    with pytest.raises(UsageError, match="two labels"):
        load_config(overrides=["task=classification", 'labels=["a"]'])


def test_every_problem_of_a_file_stands_in_one_error(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"frames": 0, "tau": -1, "colour": "red", "epoch": 1}))
    with pytest.raises(
        UsageError, match=r"frames.*tau.*colour.*epoch: unknown key, did you mean epochs\?"
    ):
        load_config(path)


@pytest.mark.parametrize("text", ["[1]", "{", ""])
def test_a_file_that_holds_no_object_is_refused(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"c\.json"):
        load_config(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "none.json")


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Config().frames = 4


@pytest.mark.parametrize("item", ["epoch=3", " epoch =3", "Epochs=3"])
def test_a_key_that_is_nearly_right_is_named(item):
    with pytest.raises(UsageError, match="did you mean epochs"):
        load_config(overrides=[item])
