"""A command that is killed at a change of the disk leaves the old or the new, and goes on."""

from __future__ import annotations

import importlib.util
import random
import shutil
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "soak_kills.py"


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_few_kills_of_a_deploy_pass_and_reach_its_system_calls(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("TRML_RT_CACHE", "")  # which the script sets
    spec = importlib.util.spec_from_file_location("soak_kills", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "soak_kills", module)  # for its dataclass
    spec.loader.exec_module(module)
    deploy = module.VERBS["deploy"]
    with module.tiny_world(["deploy"]) as world:
        deploy.fresh(world)
        found = module.soak(deploy, world, 1, 5, random.Random(0))
    assert (found["faults"], found["killed_at_random_moments"]) == ([], 1)
    assert found["system_calls"] >= 8
    assert found["killed_at_system_calls"] == len(range(0, found["system_calls"], 5))
