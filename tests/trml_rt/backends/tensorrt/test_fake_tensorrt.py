"""The stand-ins have no function that the real libraries lack, and take as many arguments."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.trml_rt.backends.tensorrt.fake_cuda import FakeCuda
from tests.trml_rt.backends.tensorrt.fake_tensorrt import (
    FakeContext,
    FakeEngine,
    FakeRuntimeCache,
    FakeTensorRt,
)
from trml_rt.backends.tensorrt import cuda, memory
from trml_rt.errors import EnvironmentUnfit

runtime = pytest.importorskip(
    "cuda.bindings.runtime", reason='needs cuda-bindings: pip install ".[rtx]"'
)
SOURCES = "".join(Path(module.__file__).read_text() for module in (cuda, memory))
CALLED = sorted(set(re.findall(r"\bcuda[A-Z]\w+", SOURCES)))


@pytest.mark.parametrize("name", CALLED)
def test_every_name_of_cuda_that_we_use_exists(name):
    places = (runtime, runtime.cudaMemcpyKind, runtime.cudaStreamCaptureMode)
    assert any(hasattr(place, name) for place in places)


@pytest.mark.parametrize(
    "name", [name for name, _ in inspect.getmembers(FakeCuda, inspect.isfunction) if name[0] == "c"]
)
def test_a_function_of_cuda_takes_as_many_arguments_as_its_stand_in(name):
    first = getattr(runtime, name).__doc__.strip().splitlines()[0]
    real = [word for word in first[first.index("(") + 1 : first.rindex(")")].split(",") if word]
    given = inspect.signature(getattr(FakeCuda, name)).parameters
    if "_" not in given:  # a stand-in for several
        assert len(given) - 1 == len(real), first


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (FakeContext, "IExecutionContext"),
        (FakeEngine, "ICudaEngine"),
        (FakeRuntimeCache, "IRuntimeCache"),
        (FakeTensorRt, ""),
    ],
)
def test_every_name_of_tensorrt_that_stands_in_exists(fake, real):
    trt = pytest.importorskip("tensorrt_rtx", reason='needs pip install ".[rtx]"')
    place = getattr(trt, real) if real else trt
    # Of Runtime, which the stand-in is as well; and what is no function of the real one.
    own = {"deserialize_cuda_engine", "add", "places"}
    names = [name for name in vars(fake) if not name.startswith("_")]
    assert [name for name in names if not hasattr(place, name) and name not in own] == []
    assert hasattr(trt.Runtime, "deserialize_cuda_engine")


def test_without_a_driver_the_real_cuda_is_an_error_in_a_sentence():
    status, count = runtime.cudaGetDeviceCount()
    if int(status) == 0 and count:
        pytest.skip("there is a GPU")
    words = r"no GPU can be used \(CUDA: cuda\w+: .*error \d+.*doctor --backend tensorrt-rtx$"
    with pytest.raises(EnvironmentUnfit, match=words):
        cuda.current_gpu("tensorrt-rtx")
