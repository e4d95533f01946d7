"""Scripts that CI does not run still find what they import from our packages."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "export/default_bundle").glob("*.py")]
)
OURS = ("trml_rt", "trml_export", "trml_calibration")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_imports_only_names_that_exist(script):
    imports = [
        node
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(OURS)
    ]
    for node in imports:
        module = importlib.import_module(node.module)
        for name in node.names:
            named = f"{node.module}.{name.name}"
            assert hasattr(module, name.name) or _is_module(named), named


def _is_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package
        return False
