from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from trml_export.evaluation.retrieval import retrieval

REAL = np.eye(8)
TARGET = np.array([0, 0, 0, 0, 1, 1, 1, 1])


def test_virtual_vectors_that_equal_their_counterparts_find_them():
    scores = retrieval(REAL, REAL, range(8), TARGET)
    assert (scores["recall_1"], scores["recall_5"], scores["same_target_1"]) == (1.0, 1.0, 1.0)


def test_length_does_not_matter():
    assert retrieval(3 * REAL, REAL, range(8), TARGET)["recall_1"] == 1.0


def test_a_neighbour_of_the_same_class_is_no_hit_but_has_the_target():
    moved = REAL[[1, 0, 3, 2, 5, 4, 7, 6]]
    scores = retrieval(moved, REAL, range(8), TARGET)
    assert (scores["recall_1"], scores["same_target_1"]) == (0.0, 1.0)


def test_the_fifth_nearest_is_found_at_five_and_the_sixth_is_not():
    virtual = np.array([[4.0, 5, 6, 7, 8, 0, 0, 0], [4.0, 3, 6, 7, 8, 9, 0, 0]])
    scores = retrieval(
        np.vstack([virtual[0], np.roll(virtual[1], 0)]), REAL[:2], ["a", "b"], TARGET[:2]
    )
    assert scores["candidates"] == 2
    ranks = retrieval(np.tile(virtual[0], (8, 1)), REAL, range(8), TARGET)
    # By similarity: 4, 3, 2, 1, 0, and three at zero behind: five of eight are among the first.
    assert ranks["recall_5"] == 5 / 8


def test_a_constant_finds_one_candidate_and_no_more():
    constant = np.tile(REAL[2] + 0.01 * REAL[3], (8, 1))
    assert retrieval(constant, REAL, range(8), TARGET)["recall_1"] == 1 / 8


def test_equal_cosines_count_against_the_model():
    scores = retrieval(np.zeros((8, 8)), REAL, range(8), TARGET)
    assert (scores["recall_1"], scores["recall_5"]) == (0.0, 0.0)


def test_counterparts_of_one_identity_are_one_candidate():
    real = REAL[[0, 0, 0, 1]]
    scores = retrieval(real, real, ["smile", "smile", "smile", "tear"], TARGET[:4])
    assert scores["candidates"] == 2
    assert scores["recall_1"] == 1.0
    assert scores["commonest_1"] == 3 / 4


def test_without_rows_there_is_no_result():
    assert retrieval(np.zeros((0, 4)), np.zeros((0, 4)), [], np.array([])) == {}
