"""The version is written once."""

from __future__ import annotations

import re
from pathlib import Path

import trml_rt

ROOT = Path(__file__).parents[2]


def test_pyproject_and_cmake_read_the_version_from_the_package():
    assert re.fullmatch(r"\d+\.\d+\.\d+", trml_rt.__version__)
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in pyproject
    assert 'path = "trml_rt/_version.py"' in pyproject
    assert "file(STRINGS trml_rt/_version.py" in (ROOT / "CMakeLists.txt").read_text()


def test_no_other_file_states_the_version():
    quoted = re.compile(rf"[\"' ]{re.escape(trml_rt.__version__)}[\"' )]")
    for name in ("pyproject.toml", "CMakeLists.txt", "trml_rt/native/CMakeLists.txt"):
        assert quoted.search((ROOT / name).read_text()) is None


def test_the_advice_to_install_works_from_a_checkout():
    """The project is not on PyPI; another one of that name may be there tomorrow."""
    sources = [*ROOT.glob("trml_rt/**/*.py"), *ROOT.glob("export/**/*.py")]
    sources += [*ROOT.glob("calibration/**/*.py"), *ROOT.glob("docs/**/*.md")]
    sources += [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("*.md")]
    wrong = re.compile(r"pip install \"?trml[-_]rt")
    assert len(sources) > 100
    assert [path for path in sources if wrong.search(path.read_text())] == []
