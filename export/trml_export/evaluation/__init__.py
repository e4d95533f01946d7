"""Evaluate TRML by the whole protocol: every presence case, every control, several seeds."""

from trml_export.evaluation.bundle_subject import BundleSubject
from trml_export.evaluation.checkpoint_subject import CheckpointSubject
from trml_export.evaluation.method_subject import MethodSubject
from trml_export.evaluation.methods import methods_named
from trml_export.evaluation.record import Evaluation
from trml_export.evaluation.report import write_report
from trml_export.evaluation.split import DataSplit
from trml_export.evaluation.subject import Subject, evaluate

__all__ = [
    "BundleSubject",
    "CheckpointSubject",
    "DataSplit",
    "Evaluation",
    "MethodSubject",
    "Subject",
    "evaluate",
    "methods_named",
    "write_report",
]
