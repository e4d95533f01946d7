"""Fixtures of the runtime's tests."""

from __future__ import annotations

import pytest

from tests.trml_rt.backends.tensorrt.fake_device import Device


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """This machine, as if it had a GPU and TensorRT."""
    return Device(monkeypatch)
