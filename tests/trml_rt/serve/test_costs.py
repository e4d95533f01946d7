"""How many rows pay to run together follows from what groups took."""

from __future__ import annotations

import itertools

import pytest

from tests.conftest import TINY
from trml_rt.bundle.folder import open_bundle
from trml_rt.bundle.modality import Modality
from trml_rt.serve.costs import Costs, limits_of

TEXT = (Modality.TEXT, 0)
CLIP = (Modality.VIDEO, 4)


def settled(rule, limit=16, groups=400):
    """Return the sizes that groups have in the end, where there are always rows that wait."""
    costs = Costs(lambda kind: limit)
    sizes = []
    for _ in range(groups):
        sizes.append(costs.most(TEXT))
        costs.add(TEXT, sizes[-1], rule(sizes[-1]))
    return sizes[-100:]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (lambda rows: 10.0 + rows, 16),  # a call costs much, a row little
        (lambda rows: rows * rows + 1.0, 1),  # a row costs more the more there are
        (lambda rows: 10.0 + max(0, rows - 4) * 20, 4),
    ],
)
def test_groups_become_as_large_as_pays(rule, expected):
    sizes = settled(rule)
    assert sizes.count(expected) >= 90
    assert len({*sizes}) == 5  # and the others are tried now and then


def test_before_anything_is_known_as_many_run_together_as_may():
    assert Costs(lambda kind: 6).most(TEXT) == 6


def test_a_device_that_changes_is_noticed():
    costs = Costs(lambda kind: 8)
    for rule, expected in ((lambda rows: rows * rows, 1), (lambda rows: 10.0 + rows, 8)):
        for _ in range(4000):
            rows = costs.most(TEXT)
            costs.add(TEXT, rows, rule(rows))
        sizes = [costs.most(TEXT) for _ in range(15)]
        assert sizes.count(expected) >= 14


def test_groups_that_are_smaller_than_they_may_be_count_for_their_size():
    costs = Costs(lambda kind: 8)
    for _ in range(3):
        costs.add(TEXT, 1, 1.0)
        costs.add(TEXT, 3, 1.5)  # as one of two
        costs.add(TEXT, 8, 16.0)
    assert costs.most(TEXT) == 2


def test_kinds_are_told_apart():
    costs = Costs(lambda kind: 2)
    for rows, _ in itertools.product((1, 2), range(3)):
        costs.add(TEXT, rows, 1.0)
        costs.add(CLIP, rows, float(rows * rows))
    assert (costs.most(TEXT), costs.most(CLIP)) == (2, 1)


@pytest.mark.parametrize("most", [1, 2, 50])
def test_no_group_is_larger_than_was_asked_or_than_the_engines_take(most):
    manifest = open_bundle(TINY).manifest
    limit = limits_of(manifest, most)
    assert limit(TEXT) == min(most, manifest.axes.batch.max)
    assert limit((Modality.VIDEO, 1)) == min(most, manifest.axes.batch.max)
    assert limit(CLIP) == max(1, min(most, manifest.axes.frames.max // 4))
