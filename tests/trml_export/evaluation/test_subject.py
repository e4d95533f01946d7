"""What all subjects share: the report, and one record of everything that was measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from trml_export.data import Sample
from trml_export.evaluation import DataSplit, evaluate
from trml_export.evaluation.subject import count_inputs
from trml_export.features.features import Features
from trml_rt.errors import UsageError


class _Finished:
    """A subject whose evaluation is done already."""

    def __init__(self, evaluation=None) -> None:
        self._evaluation = evaluation

    def evaluate(self, split):
        assert self._evaluation is not None, "no work was to be done"
        return self._evaluation


def test_an_existing_report_is_refused_before_any_work(data, tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        evaluate(_Finished(), DataSplit(data), out=tmp_path / "results")


def test_the_report_is_written_where_a_folder_is_named(protocol, data, tmp_path):
    returned = evaluate(_Finished(protocol), DataSplit(data), out=tmp_path / "results")
    assert returned is protocol
    written = json.loads((tmp_path / "results" / "results.json").read_text())
    assert len(written["runs"]) == len(protocol.runs)


def test_inputs_are_counted_by_what_a_sample_has():
    vector, clip = np.ones(4, np.float32), np.ones((2, 4), np.float32)
    samples = [Sample(str(i), "test", None, None, 0.0) for i in range(4)]
    features = Features.of(samples, [vector, vector, None, vector], [clip, None, clip, None])
    assert count_inputs(features) == {"text_video": 1, "text": 2, "video": 1}
