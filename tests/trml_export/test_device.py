from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from trml_export.device import device_name, find_device, tensors_on
from trml_rt.errors import EnvironmentUnfit, UsageError


@pytest.fixture
def gpus(monkeypatch):
    """Let PyTorch find so many GPUs of CUDA, which no test computes on."""

    def found(count):
        from trml_export import device

        monkeypatch.setitem(device._THERE, "cuda", lambda: count > 0)
        monkeypatch.setitem(device._THERE, "mps", lambda: False)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return found


def test_auto_takes_the_first_gpu_or_else_the_cpu(gpus):
    gpus(0)
    assert find_device() == torch.device("cpu")
    gpus(2)
    assert find_device() == torch.device("cuda", 0)
    assert find_device("cpu") == torch.device("cpu")


def test_each_process_takes_a_gpu_of_its_own_and_one_too_many_is_refused(gpus):
    gpus(2)
    assert find_device("cuda", 1) == torch.device("cuda", 1)
    with pytest.raises(EnvironmentUnfit, match="start at most 2 processes"):
        find_device("cuda", 2)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_and_never_replaced(gpus, name):
    gpus(0)
    with pytest.raises(EnvironmentUnfit, match=f"{name}: PyTorch .* pass --device cpu"):
        find_device(name)


def test_an_unknown_device_is_refused():
    with pytest.raises(UsageError, match="no device 'tpu'; choose auto, cpu, cuda, mps"):
        find_device("tpu")


def test_tensors_are_made_on_the_device_within_the_block_alone():
    with tensors_on(torch.device("meta")):
        assert torch.zeros(1).device.type == "meta"
    assert torch.zeros(1).device.type == "cpu"


def test_on_the_cpu_the_block_costs_nothing():
    with tensors_on(torch.device("cpu")):
        assert torch.overrides._len_torch_function_stack() == 0


def test_the_name_of_the_cpu_is_cpu():
    assert device_name(torch.device("cpu")) == "cpu"
