"""The example in docs/training.md runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_python_example_runs(clip_folder, data, tmp_path, monkeypatch, capsys):
    shutil.copytree(data.parent, tmp_path, dirs_exist_ok=True)
    shutil.copytree(clip_folder, tmp_path / "clip")
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    assert "| mae" in capsys.readouterr().out
    assert (tmp_path / "bundle" / "model.json").exists()
