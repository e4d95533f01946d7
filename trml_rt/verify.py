"""Verify the engines that are built for a bundle, and keep the record beside them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trml_rt.backends import row_of
from trml_rt.bundle.arguments import check_data, check_one_of
from trml_rt.bundle.atomic import check_writable, write_bytes
from trml_rt.bundle.engine_folder import (
    PRECISIONS,
    VERIFICATION,
    Precision,
    VerificationRecord,
    open_engine_folder,
    to_json,
)
from trml_rt.bundle.folder import BundleLike, open_bundle
from trml_rt.bundle.places import refuse_signed
from trml_rt.engines.choose import find_engines
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.engines.install import locked
from trml_rt.errors import EnvironmentUnfit
from trml_rt.proof.compare import Case
from trml_rt.proof.fp32 import make_record, refuse_failed
from trml_rt.proof.fp32 import verify as compare_with_references
from trml_rt.proof.rows import read_cases

__all__ = ["Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """How near built engines are to their references.

    Attributes:
        folder: the engines.
        record: the content of their `verify.json`: a verdict for each engine set.
    """

    folder: Path
    record: VerificationRecord

    @property
    def passed(self) -> bool:
        """Whether every limit holds, for every engine set."""
        return not self.record.problems

    @property
    def problems(self) -> list[str]:
        """The limits that are missed, a sentence each."""
        return self.record.problems

    @property
    def warnings(self) -> list[str]:
        """What is near a limit."""
        return self.record.warnings

    def raise_if_failed(self) -> None:
        """Raise VerificationFailed with all problems if a limit is missed."""
        refuse_failed(self.record, str(self.folder))

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values, as `trml-rt verify --json` prints it."""
        summary = {"passed": self.passed, "problems": self.problems, "warnings": self.warnings}
        return summary | self.record.model_dump(by_alias=True)


def verify(
    bundle: BundleLike = None,
    precision: Precision = "fp32",
    *,
    backend: str = "onnxruntime",
    data: str | os.PathLike[str] | None = None,
    layout: str = "jsonl",
    split: str = "valid",
    rows: int = 512,
    record: bool = True,
) -> Verification:
    """Compare engines with the golden files and with FP32, and write verify.json beside them.

    A verdict that is no pass is written too: from then on answers of that engine set say
    `verified: false`. Engine sets whose inputs `data` does not have are compared on those of
    the golden files.

    Args:
        bundle: the bundle, as in `build`; its portable graphs are the reference.
        precision: of the engines, and whose limits count.
        backend: what the engines were built for.
        data: a data set whose rows are compared; None: the golden files' inputs alone.
        layout: layout of `data`: jsonl, mmsa or meld.
        split: the rows of `data` to take.
        rows: the most rows of each kind: both inputs, text alone, video alone.
        record: False leaves the record that is there as it is.

    Raises:
        ArtefactMismatch: there are no engines that fit.
        EnvironmentUnfit: the back end or its device is not here, the record cannot be written,
            or the engines were replaced in the meantime.
        UsageError: an argument makes no sense, or the data cannot be read.
    """
    check_one_of("precision", precision, PRECISIONS)
    table = check_data(data, layout=layout, split=split, rows=rows)
    opened, row = open_bundle(bundle), row_of(backend)
    found = find_engines(opened, precision, row)
    if record:
        refuse_signed(opened, found.folder.parent)
        check_writable(found.folder, "leave the record out with --no-record")
    cases: Sequence[Case] = ()
    if table is not None:
        cases = read_cases(opened, table, layout=layout, split=split, rows=rows)
    runs_on = row.load().open_backend(row.name, None, 1, compiled=True)
    with Dispatcher(opened.manifest, runs_on, found.open) as engines:
        verdicts = compare_with_references(opened, engines, precision, cases)
    verification = Verification(found.folder, make_record(precision, found.hashes, verdicts))
    if record:
        with locked(opened, found.folder.parent, found.folder):
            if open_engine_folder(found.folder).hashes != found.hashes:
                raise EnvironmentUnfit(
                    f"{found.folder}: a build replaced the engines while they were compared; "
                    "verify them again"
                )
            write_bytes(found.folder / VERIFICATION, to_json(verification.record))
    return verification
