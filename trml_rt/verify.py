"""Verify the engines that are built for a bundle, and keep the record beside them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.engine_folder import VERIFICATION, Precision
from trml_rt.bundle.folder import BundleLike, open_bundle
from trml_rt.dispatch import Dispatcher
from trml_rt.engines.choose import choose
from trml_rt.engines.install import locked
from trml_rt.proof.compare import Case
from trml_rt.proof.fp32 import refuse_failed, to_json
from trml_rt.proof.fp32 import verify as compare_with_fp32
from trml_rt.proof.golden import golden_answers
from trml_rt.proof.rows import read_cases

__all__ = ["Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """How near built engines are to FP32.

    Attributes:
        folder: the engines; the record is in its `verify.json`.
        passed: whether every limit holds.
        problems: the limits that are missed, a sentence each.
        warnings: what is near a limit.
        record: the content of `verify.json`.
    """

    folder: Path
    passed: bool
    problems: list[str]
    warnings: list[str]
    record: dict[str, Any]

    def raise_if_failed(self) -> None:
        """Raise VerificationFailed with all problems if a limit is missed."""
        refuse_failed(self.record, str(self.folder))

    def to_dict(self) -> dict[str, Any]:
        """Return the record, as `trml-rt verify --json` prints it."""
        return self.record


def verify(
    bundle: BundleLike = None,
    precision: Precision = "fp32",
    *,
    backend: str = "onnxruntime",
    data: str | os.PathLike[str] | None = None,
    layout: str = "jsonl",
    split: str = "valid",
    rows: int = 512,
) -> Verification:
    """Compare the engines of `precision` with FP32, and write verify.json beside them.

    A record that has not passed is written too: from then on answers say `verified: false`.

    Args:
        bundle: the bundle, as in `build`; its portable graphs are the reference.
        precision: of the engines, and whose limits count.
        backend: what the engines were built for.
        data: a data set whose rows are compared; None: the golden files' inputs.
        layout: layout of `data`: jsonl, mmsa or meld.
        split: the rows of `data` to take.
        rows: the most rows of each kind: both inputs, text alone, video alone.

    Raises:
        ArtefactMismatch: there are no engines that fit.
        EnvironmentUnfit: the back end or its device is not here, or the record cannot be written.
        UsageError: the data cannot be read.
    """
    opened = open_bundle(bundle)
    choice = choose(opened, backend, precision, None)
    cases: Sequence[Case]
    if data is None:
        cases, _ = golden_answers(opened)
    else:
        cases = read_cases(opened, Path(data), layout=layout, split=split, rows=rows)
    folder = opened.folder / "engines" / choice.engines
    with Dispatcher(opened.manifest, choice.backend, choice.locate) as engines:
        record = compare_with_fp32(opened, engines, precision, cases)
    with locked(folder.parent, folder):
        write_bytes(folder / VERIFICATION, to_json(record))
    return Verification(folder, record["passed"], record["problems"], record["warnings"], record)
