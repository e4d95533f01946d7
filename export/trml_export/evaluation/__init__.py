"""Evaluate TRML by the whole protocol: every presence case, every control, several seeds."""

from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.report import write_report
from trml_export.evaluation.subjects import (
    Rows,
    evaluate_bundle,
    evaluate_checkpoint,
    evaluate_method,
)

__all__ = [
    "Evaluation",
    "Rows",
    "evaluate_bundle",
    "evaluate_checkpoint",
    "evaluate_method",
    "write_report",
]
