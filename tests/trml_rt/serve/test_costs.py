"""How many rows pay to run together follows from what groups took."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.conftest import TINY
from trml_rt.bundle.folder import open_bundle
from trml_rt.bundle.modality import Modality
from trml_rt.serve.costs import rows_together

TEXT, VIDEO = Modality.TEXT, Modality.VIDEO


class Timed:
    """The tiny bundle with wide axes, on engines that take what a rule says."""

    def __init__(self, rule, rows=64, frames=64):
        manifest = open_bundle(TINY).manifest
        wide = {
            name: getattr(manifest.axes, name).model_copy(update={"max": most})
            for name, most in {"batch": rows, "frames": frames}.items()
        }
        axes = manifest.axes.model_copy(update=wide)
        self.bundle = SimpleNamespace(manifest=manifest.model_copy(update={"axes": axes}))
        self._rule = rule

    def time_blank(self, present, rows=1, *, tokens=None, frames=None):
        return self._rule(present, rows, frames or 0)


def test_rows_run_together_as_long_as_a_row_takes_less_time():
    found = rows_together(Timed(lambda present, rows, frames: 10 + max(0, rows - 4) * 10), 16)
    assert {found[each] for each in ((TEXT, False), (VIDEO, True))} == {4}


def test_nothing_runs_together_where_a_row_takes_as_long_in_a_group():
    assert {*rows_together(Timed(lambda present, rows, frames: rows), 16).values()} == {1}


def test_pictures_may_pay_where_clips_do_not():
    found = rows_together(Timed(lambda present, rows, frames: max(4, rows * frames)), 4)
    assert found[VIDEO, True] == 4
    assert found[VIDEO, False] < 4


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_group_is_larger_than_was_asked_or_than_the_engines_take(most):
    assert max(rows_together(Timed(lambda *_: 1.0), most).values(), default=1) <= most
    found = rows_together(Timed(lambda *_: 1.0, rows=9, frames=11), 4096)
    clip = open_bundle(TINY).manifest.video.frames
    assert (found[TEXT, False], found[VIDEO, True], found[VIDEO, False]) == (8, 8, 11 // clip)


def test_a_real_runtime_can_be_measured(rt):
    found = rows_together(rt, 2)
    assert {*found.values()} <= {1, 2}
    assert (TEXT, False) in found
