"""Kernels of TensorRT for RTX outlive the process that compiled them; on stand-ins."""

from __future__ import annotations

import logging

import pytest

from tests.conftest import TINY
from tests.trml_rt.backends.tensorrt.fake_tensorrt import fake_plan
from tests.trml_rt.backends.tensorrt.test_backend import inputs_of
from trml_rt.backends.tensorrt.backend import TensorRtBackend
from trml_rt.backends.tensorrt.plans import profile_of
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.modality import Modality
from trml_rt.engines.dispatch import Dispatcher

NAME = ".rtx-cache-sm87-1.7.1.116"


@pytest.fixture
def place(tmp_path):
    """A place of engines, with one folder of plans."""
    bundle = Bundle(TINY)
    (tmp_path / "engines" / "key").mkdir(parents=True)
    for name, spec in bundle.manifest.engines.items():
        plan = fake_plan(bundle.path(spec.file), profile_of(spec, bundle.manifest.axes))
        (tmp_path / "engines" / "key" / name).write_bytes(plan)
    return tmp_path / "engines"


@pytest.fixture
def run(device, place):
    def run(name="tensorrt-rtx"):
        """Answer three times in a process of its own, so to speak; return what was compiled."""
        device.become()
        backend = TensorRtBackend(name)
        with Dispatcher(Bundle(TINY).manifest, backend, lambda name: place / "key" / name) as made:
            for _ in range(3):
                made.run(Modality.TEXT, inputs_of("text"))
        return backend._device.library.compiled

    return run


def test_a_second_process_compiles_nothing(run, place):
    assert run() == 2  # one for each plan, however many contexts
    assert (place / NAME).is_file()
    assert run() == 0


def test_a_damaged_cache_is_begun_anew(run, place):
    (place / NAME).write_bytes(b"\0")
    assert run() == 2
    assert run() == 0


def test_a_place_that_cannot_be_written_is_no_error(run, place, caplog):
    (place / NAME).mkdir()
    with caplog.at_level(logging.INFO):
        assert run() == 2
    assert "compiled kernels are not kept" in caplog.text


def test_full_tensorrt_has_its_kernels_in_the_plan(run, place):
    run("tensorrt")
    assert not (place / NAME).exists()
