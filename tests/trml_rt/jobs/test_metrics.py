"""Labels and scores of rows give the metrics of `eval`."""

from __future__ import annotations

import builtins

import pytest

from trml_rt.bundle.folder import Bundle
from trml_rt.jobs.metrics import metrics_of


@pytest.fixture
def task(tiny_bundle):
    return Bundle(tiny_bundle).manifest.task


def test_rows_without_a_truth_have_no_metrics(task):
    assert metrics_of([], [], task) is None


def test_scores_and_labels_are_measured(task):
    pytest.importorskip("sklearn")
    found = metrics_of([0.5, -0.5], [0.25, -0.5], task)
    assert found["mae"] == 0.125
    assert found["has0_acc_2"] == 1.0
    update = {"kind": "classification", "labels": ("sad", "glad", "none")}
    found = metrics_of(["sad", "glad"], ["sad", "sad"], task.model_copy(update=update))
    assert found["accuracy"] == 0.5
    assert found["f1_none"] is None  # not a number, which JSON has no word for


def test_without_the_package_it_is_said_that_there_are_no_metrics(task, monkeypatch, caplog):
    real = builtins.__import__

    def without(name, *arguments):
        if name.startswith("trml_export"):
            raise ModuleNotFoundError("no module named sklearn", name="sklearn")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    assert metrics_of([0.5], [0.5], task) is None
    assert "no metrics: counting them needs the package sklearn" in caplog.text
