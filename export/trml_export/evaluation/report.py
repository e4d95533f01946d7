"""Write an evaluation as a folder: JSON for programs, CSV and Markdown for people, plots."""

from __future__ import annotations

from pathlib import Path

from trml_export.evaluation.paired import paired
from trml_export.evaluation.plots import evaluation_pictures
from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.reliability import reliability, reliability_csv
from trml_export.evaluation.rows import confusion_csv, predictions_csv
from trml_export.plots.picture import check_drawing, write_pictures
from trml_rt.bundle import atomic
from trml_rt.errors import cannot_write

__all__ = ["check_report_target", "write_report"]

RESULTS = "results.json"


def check_report_target(out: Path, *, force: bool) -> None:
    """Refuse a folder that a report may not replace, and to draw without matplotlib."""
    check_drawing()
    atomic.check_target(out, marker=RESULTS, what="report", replace=force)


def write_report(evaluation: Evaluation, out: Path, *, force: bool = False) -> None:
    """Write `out` whole or not at all; `force` replaces an earlier report.

        results.json       everything, each run and the summary over seeds
        results.csv        one line a run, case and metric
        results.md         the main metric as tables
        predictions.csv    the answer to every row in every case, the worst first; of one model
        confusion.csv      how often each label was taken for each; of one model
        reliability.csv    what the model says beside what was true, in bins; of one model
        paired.md          gains over the learned constant, where that was trained
        *.png, *.svg       see `evaluation_pictures`

    Raises:
        UsageError: `out` exists and may not be replaced.
        EnvironmentUnfit: `out` cannot be written, or matplotlib is not installed.
    """
    check_report_target(out, force=force)
    try:
        with atomic.staged_folder(out, replace=force) as folder:
            _write(evaluation, folder)
    except OSError as error:
        raise cannot_write(out, error, "name another folder with --out") from None


def _write(evaluation: Evaluation, folder: Path) -> None:
    (folder / RESULTS).write_text(evaluation.to_json(), encoding="utf-8")
    (folder / "results.csv").write_text(evaluation.to_csv(), encoding="utf-8")
    (folder / "results.md").write_text(evaluation.to_markdown(), encoding="utf-8")
    if evaluation.rows:
        labels = evaluation.config.labels
        tables = {
            "predictions.csv": predictions_csv(evaluation.rows),
            "confusion.csv": confusion_csv(evaluation.rows, labels),
            "reliability.csv": reliability_csv(reliability(evaluation.rows, evaluation.config)),
        }
        for name, content in tables.items():
            (folder / name).write_text(content, encoding="utf-8")
    if (gains := paired(evaluation)) is not None:
        (folder / "paired.md").write_text(gains, encoding="utf-8")
    write_pictures(folder, evaluation_pictures(evaluation))
