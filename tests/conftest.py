"""Fixtures that many tests share: the tiny bundle, as it lies here and as a copy to harm."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import trml_rt  # noqa: F401 - it turns ONNX Runtime's telemetry off, before any test imports that

# The same examples in every run, and no clock: a test fails for a reason, not for a slow machine.
settings.register_profile("deterministic", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("deterministic")

TINY = Path(__file__).parent / "bundles" / "schema1"


_LONGEST = "test_real_compiler.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the file that takes longest, so that no process waits for it in the end."""
    items.sort(key=lambda item: item.path.name != _LONGEST)


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """Ctrl-C as Python has it, in each test, however the tests were started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before or signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the cache of engines, so that no test reads or writes that of the user."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.getbasetemp() / "cache"
        patch.setenv("TRML_RT_CACHE", str(folder))
        yield folder


@pytest.fixture
def tiny_bundle() -> Path:
    """The committed tiny bundle; do not write into it."""
    return TINY


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may change."""
    return Path(shutil.copytree(TINY, tmp_path / "bundle"))


@pytest.fixture
def edit_manifest(bundle_copy: Path) -> Callable[[Callable[[dict[str, Any]], Any]], Path]:
    """Change the manifest of `bundle_copy` with a function, and return the folder."""

    def edit(change: Callable[[dict[str, Any]], Any]) -> Path:
        path = bundle_copy / "model.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return bundle_copy

    return edit


def file_entry(path: Path) -> dict[str, Any]:
    """What `files` must say of the file at `path`."""
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
