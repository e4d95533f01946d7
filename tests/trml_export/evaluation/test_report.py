from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import sys

import pytest

torch = pytest.importorskip("torch")

from trml_export.evaluation import write_report
from trml_export.evaluation.report import check_report_target
from trml_rt.errors import EnvironmentUnfit, UsageError


def test_the_report_holds_json_csv_tables_and_plots_of_each_completeness(report):
    plots = [
        f"{name}_{share}.{ending}"
        for name in ("gains", "missing")
        for share in ("0.5", "1")
        for ending in ("png", "svg")
    ]
    names = sorted(path.name for path in report.iterdir())
    assert names == sorted([*plots, "paired.md", "results.csv", "results.json", "results.md"])
    assert (report / "missing_1.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((report / "results.json").read_text())
    with (report / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    cases = [case for run in content["runs"] for case in run["cases"]]
    assert [float(line["mae"]) for line in lines] == [case["mae"] for case in cases]


def test_without_matplotlib_no_work_begins(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentUnfit, match="needs the package matplotlib"):
        check_report_target(tmp_path / "out", force=False)


def test_a_report_is_not_replaced_by_accident(protocol, report, tmp_path):
    shutil.copytree(report, tmp_path / "out")
    with pytest.raises(UsageError, match="exists already"):
        write_report(protocol, tmp_path / "out")
    write_report(protocol, tmp_path / "out", force=True)


def test_a_report_on_a_full_disk_leaves_nothing_and_asks_for_space(protocol, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentUnfit, match=f"^{tmp_path / 'out'}: .*free some space"):
        write_report(protocol, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
