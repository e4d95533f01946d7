from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trml_export.evaluation import DataSplit
from trml_export.evaluation.methods import METHODS, methods_named, train_method
from trml_export.evaluation.predictions import predict
from trml_export.features.features import compute_features
from trml_export.method.model import TRML
from trml_export.training.fitting import fit
from trml_rt.errors import UsageError


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="no method magic; choose trml"):
        methods_named(["trml", "magic"])


@pytest.mark.parametrize("name", ["lambda_0", "constant"])
def test_what_matching_does_not_teach_the_task_does(name, clip, tiny_config, data, cache):
    """Else a learned constant would learn nothing where TRML's generators learn from matching."""
    dataset = DataSplit(data).read(tiny_config)
    parts = {
        split: compute_features(
            [s for s in dataset.samples if s.split == split], clip, tiny_config, cache=cache
        )
        for split in ("train", "valid")
    }
    alone = tiny_config.model_copy(update={"task_teaches_generators": False})
    config = alone.model_copy(update=METHODS[name].changes)
    model = fit(parts["train"], parts["valid"], config, clip.size).model
    torch.manual_seed(config.seed)
    start = TRML(config, clip.size).text_to_video.state_dict()
    taught = model.text_to_video.state_dict()
    gone = {key: (taught[key] - start[key]).abs().max().item() for key in start}
    assert max(gone.values()) > tiny_config.learning_rate / 2  # more than weight decay alone


def test_separate_models_answer_each_case_with_the_model_of_that_case(
    clip, tiny_config, data, cache
):
    dataset = DataSplit(data).read(tiny_config)
    parts = [
        compute_features(
            [s for s in dataset.samples if s.split == split], clip, tiny_config, cache=cache
        )
        for split in ("train", "valid", "test")
    ]
    method = METHODS["separate"]
    predictions, record = train_method(method, *parts, tiny_config)
    assert set(record) == {"text", "video", "text_video"}
    alone = {**method.changes, "trained_views": "video"}
    model = fit(parts[0], parts[1], tiny_config.model_copy(update=alone), clip.size).model
    np.testing.assert_array_equal(predictions.video, predict(model, parts[2]).video)


def test_the_mean_of_two_models_is_that_of_their_scores(clip, tiny_config, data, cache):
    dataset = DataSplit(data).read(tiny_config)
    parts = [
        compute_features(
            [s for s in dataset.samples if s.split == split], clip, tiny_config, cache=cache
        )
        for split in ("train", "valid", "test")
    ]
    predictions, record = train_method(METHODS["average"], *parts, tiny_config)
    assert set(record) == {"text", "video"}
    complete = parts[2].has_text & parts[2].has_video
    expected = (predictions.text + predictions.video) / 2
    np.testing.assert_array_equal(predictions.both[complete], expected[complete])


def test_the_mean_of_two_models_of_classes_is_that_of_their_chances():
    from trml_export.config import Config
    from trml_export.evaluation.methods import _mean_answer

    text, video = (np.log(np.array([[a, 1 - a]], np.float32)) for a in (0.9, 0.3))
    config = Config(task="classification", labels=("a", "b"))
    np.testing.assert_allclose(np.exp(_mean_answer(text, video, config)), [[0.6, 0.4]], rtol=1e-5)
