"""Every dependency has bounds, and the lock of CI a version of it within them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11 for tomllib")
pytest.importorskip("packaging")
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKS = sorted((ROOT / ".ci").glob("lock-*.txt"))


def requirements(*, extras=EXTRAS):
    lines = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]
    lines += [line for extra in extras for line in EXTRAS[extra]]
    return [r for r in map(Requirement, lines) if r.name != "trml-rt"]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_a_dependency_has_a_least_version_and_a_bound(requirement):
    operators = {each.operator for each in requirement.specifier}
    assert operators == {"=="} or {">=", "<"} <= operators


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_the_lock_has_a_version_that_fits_of_every_dependency(lock):
    lines = lock.read_text().splitlines()[1:]
    locked = dict(line.split("==") for line in lines)
    locked = {canonicalize_name(name): version for name, version in locked.items()}
    python = re.search(r"lock-(.+)\.txt", lock.name)[1]
    machine = {"python_version": python, "platform_machine": "x86_64"}
    # TensorRT for a GPU comes with the machine, so CI has none.
    wanted = requirements(extras=set(EXTRAS) - {"tensorrt"})
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate(machine)]
    assert [r for r in wanted if not r.specifier.contains(locked[canonicalize_name(r.name)])] == []


def test_a_lock_names_each_package_once_and_no_local_build():
    spec = importlib.util.spec_from_file_location("lock", ROOT / ".ci" / "lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    chosen = [("torch", "2.14.1+cpu"), ("trml-rt", "0.1.0"), ("PyYAML", "6.0.4")]
    report = {"install": [{"metadata": {"name": n, "version": v}} for n, v in chosen]}
    assert module.constraints(report) == ["pyyaml==6.0.4", "torch==2.14.1"]
