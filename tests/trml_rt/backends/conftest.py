"""Back ends from outside: the toy one, and packages that a test writes itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from trml_rt import backends
from trml_rt.backends import row_of

TOY = Path(__file__).parents[2] / "toy_backend"


@pytest.fixture
def bring(monkeypatch, tmp_path):
    """Return what puts a package with entry points beside the installed ones."""
    written = []

    def write(name, source="", *, value=None, package=None, points=None):
        package = package or f"{name}-backend"
        place = tmp_path / "site" / package
        info = place / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        module = package.replace("-", "_")
        points = f"{name} = {value or f'{module}:ROW'}" if points is None else points
        (info / "entry_points.txt").write_text(f"[{backends.GROUP}]\n{points}\n")
        (place / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(place))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(place), *sys.path]))
        sys.modules.pop(module, None)
        written.append(module)
        backends.outside.cache_clear()

    yield write
    for module in written:
        sys.modules.pop(module, None)
    backends.outside.cache_clear()


@pytest.fixture
def toy(monkeypatch):
    """Install the toy back end, for this process and those that it starts."""
    monkeypatch.syspath_prepend(str(TOY))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TOY), *sys.path]))
    backends.outside.cache_clear()
    yield row_of("toy")
    sys.modules.pop("toy_backend", None)
    backends.outside.cache_clear()
