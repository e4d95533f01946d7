from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trml_export.evaluation import DataSplit
from trml_export.evaluation.predictions import predict
from trml_export.features.features import compute_features
from trml_export.method.model import TRML
from trml_export.training.fitting import presence_metrics


def test_predictions_agree_with_what_training_measures(clip, tiny_config, data, cache):
    dataset = DataSplit(data).read(tiny_config)
    features = compute_features(dataset.samples, clip, tiny_config, cache=cache)
    torch.manual_seed(0)
    model = TRML(tiny_config, clip.size).eval()
    metrics = presence_metrics(model, features)
    predictions = predict(model, features)
    target = np.array([sample.target for sample in features.samples])
    error = np.nanmean(np.abs(predictions.text[:, 0] - target))
    assert error == pytest.approx(metrics["text_mae"], abs=1e-6)
