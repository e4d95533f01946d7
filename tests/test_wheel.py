"""The wheel: the same bytes wherever it is built, with a bill of materials in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="builds the wheel")
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SOURCES = ("trml_rt", "export", "calibration")
FILES = (".gitignore", "pyproject.toml", "hatch_build.py", "README.md", "LICENSE")


def build(tree: Path, out: Path, umask: int) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(out)],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        umask=umask,
        check=True,
        capture_output=True,
    )
    [wheel] = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheel of this tree, and that of a copy with other times and other rights."""
    world = tmp_path_factory.mktemp("wheel")
    copy = world / "copy"
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, copy_function=shutil.copyfile)
    for name in FILES:
        shutil.copyfile(ROOT / name, copy / name)
    return build(ROOT, world / "here", 0o022), build(copy, world / "there", 0o077)


def test_the_same_sources_give_the_same_bytes(wheels):
    one, other = wheels
    assert one.read_bytes() == other.read_bytes()


def test_the_bill_of_materials_lists_every_requirement_and_the_model(wheels):
    with zipfile.ZipFile(wheels[0]) as wheel:
        [name] = [name for name in wheel.namelist() if ".dist-info/sboms/" in name]
        assert name.endswith("/sboms/trml-rt.cdx.json")
        bill = json.loads(wheel.read(name))
        metadata = wheel.read(name.split("/")[0] + "/METADATA").decode()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    asked = [Requirement(r) for r in re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)]
    named = {r.name.lower().replace("_", "-") for r in asked} - {"trml-rt"}
    libraries = {each["name"]: each for each in bill["components"] if each["type"] == "library"}
    assert libraries.keys() == named
    always = {r.name for r in asked if "extra" not in str(r.marker)}
    assert {n for n, each in libraries.items() if each["scope"] == "required"} == always
    model = bill["components"][-1]
    assert model["name"] == "trml-mini-sentiment"
    assert len(model["pedigree"]["ancestors"]) == 2
    known = {each["bom-ref"] for each in bill["components"]}
    assert known.issuperset(bill["dependencies"][0]["dependsOn"])


def test_the_bill_names_neither_a_time_nor_a_folder_of_this_machine(wheels):
    with zipfile.ZipFile(wheels[0]) as wheel:
        [name] = [name for name in wheel.namelist() if ".dist-info/sboms/" in name]
        text = wheel.read(name).decode()
    assert "timestamp" not in text
    assert str(ROOT) not in text
