"""Calibrate a bundle's encoders for INT8 on rows of real data."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trml_rt.bundle.arguments import (
    check_data,
    check_number,
    check_one_of,
    check_whole,
    names_of,
    path_of,
)
from trml_rt.bundle.atomic import refuse_links
from trml_rt.bundle.calibration import FORMS, Calibration, encoders
from trml_rt.bundle.folder import BundleLike, open_bundle
from trml_rt.bundle.places import is_kept
from trml_rt.errors import UsageError, lacks_package
from trml_rt.proof.cases import encoder_inputs, row_cases
from trml_rt.proof.rows import read_data

__all__ = ["CalibrationReport", "calibrate"]

_log = logging.getLogger(__name__)

_CHECKED = 4  # every so many rows serve the check and not the ranges


@dataclass(frozen=True)
class CalibrationReport:
    """The folder of a calibration, and its record, the content of `calibration.json`."""

    folder: Path
    record: Calibration

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values, as `trml-rt calibrate --json` prints it."""
        return self.record.model_dump(by_alias=True)


def calibrate(
    bundle: BundleLike,
    data: str | os.PathLike[str],
    *,
    layout: str = "jsonl",
    split: str = "train",
    samples: int = 512,
    rows: int = 512,
    engines: Sequence[str] | str | None = None,
    method: str = "max",
    methods: Mapping[str, str] | None = None,
    max_drop: float | None = None,
    max_drop_points: float | None = None,
    forms: Sequence[str] | str | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> CalibrationReport:
    """Measure activation ranges on real inputs, and make the encoders' INT8 graphs from them.

    A quarter of the rows takes no part in that. On those the answers of INT8 are compared with
    those of FP32. A call that was interrupted goes on where it was when it is made again.

    Args:
        bundle: the bundle, as in `build`; its FP32 graphs are what is quantised.
        data: a data set of real inputs.
        layout: layout of `data`: jsonl, mmsa or meld.
        split: the rows of `data` to take; not those that you test on.
        samples: texts, and clips, to measure ranges on, spread evenly over the rows.
        rows: the most rows of each kind to compare on: both inputs, text alone, video alone.
        engines: the encoders to make INT8 graphs of, or one; None: all.
        method: how ranges are chosen: max, entropy or percentile.
        methods: another method for some encoders, by name.
        max_drop: what the worst row's cosine to FP32 may lose; None: 0.01.
        max_drop_points: what an engine set's accuracy may lose, in points; None: 1.
        forms: the forms to make, or one: `portable` for TensorRT, `cpu` for ONNX Runtime. None:
            both.
        out: the folder to make; None: `calibration/` of the bundle, unless that is the one inside
            the package.
        force: replace an existing calibration, and find everything anew.

    Raises:
        UsageError: an argument or the data is wrong, or there are too few samples.
        VerificationFailed: no encoder keeps the drop with half of its layers in INT8.
        EnvironmentUnfit: a package is lacking, or the folder cannot be written.
        ArtefactMismatch: the bundle is damaged.
    """
    source = path_of("data", data)
    check_data(source, layout=layout, split=split, rows=rows)
    check_whole("samples", samples)
    drops = {"max_drop": max_drop, "max_drop_points": max_drop_points}
    given = {name: value for name, value in drops.items() if value is not None}
    for name, value in given.items():
        check_number(name, value)
    if methods is not None and not isinstance(methods, Mapping):
        raise UsageError(f"methods: must be a dict of encoders, not {type(methods).__name__}")
    chosen = None if engines is None else names_of("engines", engines)
    named = FORMS if forms is None else names_of("forms", forms)
    for form in named:
        check_one_of("form", form, FORMS)
    try:
        from trml_calibration.calibrate import calibrate as make_calibration
        from trml_calibration.judge import MaxDrop
    except ImportError as error:
        raise lacks_package("calibrating", error, "build") from None
    opened = open_bundle(bundle)
    folder = opened.folder / "calibration" if out is None else path_of("out", out)
    if out is None:  # a folder that is named may be a link of the caller's own
        if is_kept(opened):
            raise UsageError(
                f"{folder}: would lie in the installed package or in a signed bundle, which no "
                "command changes; name another folder with --out"
            )
        refuse_links(folder)
    method_of = _methods(method, methods or {}, chosen, encoders(opened.manifest))
    fields = {"max_drop": "cosine", "max_drop_points": "points"}
    drop = MaxDrop(**{fields[name]: value for name, value in given.items()})
    table = read_data(source, opened.manifest.task, layout=layout, split=split)
    learnt, checked = table.apart(_CHECKED)
    inputs = encoder_inputs(opened, learnt, samples)
    cases, unusable = row_cases(opened, checked, rows)
    for problem in (*inputs.unusable, *unusable):
        _log.info("left out: %s", problem)
    record = make_calibration(
        opened,
        inputs.samples,
        cases,
        folder,
        data={"sha256": table.sha256, "split": split},
        methods=method_of,
        max_drop=drop,
        wanted=[form for form in FORMS if form in named],
        force=force,
    )
    return CalibrationReport(folder, record)


def _methods(
    method: str,
    methods: Mapping[str, str],
    engines: Sequence[str] | None,
    encoder_names: Sequence[str],
) -> dict[str, str]:
    """Return the method of each encoder that is to be calibrated.

    Raises:
        UsageError: an encoder is named that the bundle does not have, or that is left out.
    """
    chosen = encoder_names if engines is None else engines
    for name in (*chosen, *methods):
        if name not in encoder_names:
            raise UsageError(
                f"no encoder {name!r} in this bundle; choose {', '.join(encoder_names)}"
            )
    for name in methods:
        if name not in chosen:
            raise UsageError(f"a method is given for {name!r}, which is not to be calibrated")
    return {name: methods.get(name, method) for name in encoder_names if name in chosen}
