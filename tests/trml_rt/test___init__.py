"""The names of the package: the same however they are imported, and late where they can be."""

import os
import subprocess
import sys

import pytest

import trml_rt

PARTS = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
import trml_rt
print([type(getattr(trml_rt, name)).__name__ for name in
       ("bench", "build", "calibrate", "doctor", "inspect", "lint", "timeline", "verify")])
"""


def run(code: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    "before", [[], ["trml_rt.build"], ["trml_rt.timeline.result", "trml_rt.verify", "trml_rt.cli"]]
)
def test_a_verb_is_a_function_whatever_was_imported_before(before):
    assert run(PARTS, *before) == str(["function"] * 8)


def test_every_name_is_there_and_is_listed():
    assert all(getattr(trml_rt, name) is not None for name in trml_rt.__all__)
    assert set(trml_rt.__all__) <= set(dir(trml_rt))
    assert set(trml_rt._ROOM_OF) <= set(trml_rt.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'trml_rt' has no attribute 'nothing'"):
        _ = trml_rt.nothing
    assert not hasattr(trml_rt, "nothing")


def test_importing_the_package_imports_no_room_of_another_verb():
    rooms = "build bench timeline stream proof engines.compile jobs doctor cli"
    code = (
        f"import sys, trml_rt; print([r for r in {rooms.split()} if 'trml_rt.' + r in sys.modules])"
    )
    assert run(code) == "[]"
