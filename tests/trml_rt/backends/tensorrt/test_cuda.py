"""Checked calls and captures, on a stand-in for CUDA."""

from __future__ import annotations

import importlib.metadata

import pytest

from tests.trml_rt.backends.tensorrt.fake_cuda import FakeCuda
from trml_rt.backends.tensorrt.cuda import Cuda, Stream, current_gpu, origin
from trml_rt.errors import EnvironmentUnfit


@pytest.fixture
def cuda():
    return FakeCuda()


def test_a_failure_in_a_capture_leaves_no_graph_and_no_capture(cuda):
    stream = Stream(Cuda(cuda), 1)
    with pytest.raises(RuntimeError, match="of the work"):
        stream.capture(lambda: (_ for _ in ()).throw(RuntimeError("of the work")))
    assert (cuda.graphs, cuda.recording) == ({}, {})
    runnable = stream.capture(lambda: stream.mark(0))
    assert len(cuda.graphs) == 1
    stream.forget(runnable)
    stream.close()
    assert cuda.alive == set()


def test_a_graph_that_cannot_be_made_runnable_is_freed(cuda):
    stream = Stream(Cuda(cuda), 1)
    cuda.cudaGraphInstantiate = lambda graph, flags: (2, None)
    with pytest.raises(EnvironmentUnfit, match="cudaGraphInstantiate: out of memory"):
        stream.capture(lambda: stream.mark(0))
    assert cuda.graphs == {}


def test_bindings_that_raise_without_a_driver_end_in_a_sentence(cuda):
    def refuse():
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    cuda.cudaGetDevice = refuse
    with pytest.raises(EnvironmentUnfit, match=r"no GPU can be used \(CUDA: cudaGetDevice: Failed"):
        current_gpu("tensorrt", cuda)


def test_bindings_that_no_package_lists_are_of_an_unknown_version(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert origin(object()) == "cuda-bindings of an unknown version"
