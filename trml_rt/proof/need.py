"""Find out on rows of real data when video is needed, and when a text alone is enough."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trml_rt._version import __version__
from trml_rt.answer import certainty, label_of, read_prediction
from trml_rt.backends import Tensors
from trml_rt.bundle.arguments import check_data, check_number, path_of
from trml_rt.bundle.atomic import check_writable, write_bytes
from trml_rt.bundle.calibration import CalibrationData
from trml_rt.bundle.folder import Bundle, BundleLike, open_bundle
from trml_rt.bundle.manifest import Task
from trml_rt.bundle.modality import Modality
from trml_rt.bundle.need import NEED, NEED_SCHEMA, Need, Spared, has_need, to_json
from trml_rt.bundle.places import is_kept
from trml_rt.engines.choose import choose
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.errors import InputUnusable, UsageError, VerificationFailed, cannot_write
from trml_rt.inputs.prepare import Inputs, Sample
from trml_rt.inputs.rows import Row
from trml_rt.progress import counted
from trml_rt.proof.rows import read_data

__all__ = ["NeedReport", "calibrate_need"]

_log = logging.getLogger(__name__)

_LEAST = 50  # rows to choose on, and as many to check on; fewer prove nothing
_BOTH = Modality.TEXT | Modality.VIDEO


@dataclass(frozen=True)
class NeedReport:
    """The file that was written, and its content.

    Attributes:
        path: `need.json` of the bundle.
        record: the threshold, and what it gives up on rows that it was chosen on and on others.
    """

    path: Path
    record: Need

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values, as `trml-rt calibrate-need --json` prints it."""
        return self.record.model_dump(by_alias=True)


@dataclass(frozen=True)
class _Told:
    """A row: how sure its text is, and whether the text alone and both inputs are right."""

    certainty: float
    text: bool
    both: bool


def calibrate_need(
    bundle: BundleLike,
    data: str | os.PathLike[str],
    *,
    layout: str = "jsonl",
    split: str = "valid",
    max_drop_points: float | None = None,
    force: bool = False,
) -> NeedReport:
    """Find the certainty of a text from which on its video is not needed, and store it.

    Rows with a text, a video and a target are answered on their text and on both inputs, by the
    portable graphs. On every second row the least threshold is chosen whose answers lose at most
    `max_drop_points`. The others say what it loses on rows that it was not chosen on.

    Args:
        bundle: the bundle, as in `build`; the record becomes a file of its folder.
        data: a data set of real inputs.
        layout: layout of `data`: jsonl, mmsa or meld.
        split: the rows of `data` to take; neither those trained on nor those that you test on.
        max_drop_points: what the accuracy may lose, in points; None: 1.
        force: replace a record that is there.

    Raises:
        UsageError: an argument or the data is wrong, there are too few rows, or there is a record.
        VerificationFailed: no threshold spares a video without losing more.
        EnvironmentUnfit: a package is lacking, or the folder cannot be written.
        ArtefactMismatch: the bundle is damaged.
    """
    source = path_of("data", data)
    check_data(source, layout=layout, split=split, rows=1)
    points = 1.0 if max_drop_points is None else max_drop_points
    check_number("max_drop_points", points)
    opened = open_bundle(bundle)
    target = opened.folder / NEED
    _check_bundle(opened, target, force)
    table = read_data(source, opened.manifest.task, layout=layout, split=split)
    told = list(_answered(opened, table.rows))
    if len(told) < 2 * _LEAST:
        raise UsageError(
            f"{source}: {len(told)} rows of the split {split!r} have a text, a video and a target "
            f"that can be used, and {2 * _LEAST} are the fewest; name another --split"
        )
    threshold = _least_threshold(told[::2], points)
    if threshold is None:
        raise VerificationFailed(
            f"no text is sure enough: without a video the accuracy loses more than {points:g} "
            "points at any threshold; allow more with --max-drop-points"
        )
    need = Need.model_validate(
        {
            "schema": NEED_SCHEMA,
            "created_by": f"trml_rt {__version__}",
            "bundle_sha256": opened.sha256,
            "data": CalibrationData(sha256=table.sha256, split=split),
            "max_drop_points": float(points),
            "threshold": threshold,
            "chosen": _spared(told[::2], threshold),
            "checked": _spared(told[1::2], threshold),
        }
    )
    try:
        write_bytes(target, to_json(need))
    except OSError as error:
        raise cannot_write(target, error, "copy the bundle to a folder of yours") from None
    return NeedReport(target, need)


def _check_bundle(bundle: Bundle, target: Path, force: bool) -> None:
    """Refuse, before long work, a bundle for which no record can be made."""
    task = bundle.manifest.task
    served = {engine_set.present for engine_set in bundle.manifest.engine_sets}
    if not {Modality.TEXT, _BOTH} <= served:
        raise UsageError(
            f"{bundle.folder}: does not serve a text alone and both inputs, so none is needless"
        )
    if len(task.labels) < 2:
        raise UsageError(f"{bundle.folder}: has one label, so there is nothing to be sure of")
    if is_kept(bundle):
        raise UsageError(
            f"{bundle.folder}: lies in the installed package or is signed, and no command changes "
            "it; copy it first: trml-rt bundle copy bundle/"
        )
    if has_need(bundle) and not force:
        raise UsageError(f"{target}: exists already; pass --force to find out anew")
    check_writable(bundle.folder, "copy the bundle to a folder of yours")


def _answered(bundle: Bundle, rows: Sequence[Row]) -> Iterator[_Told]:
    """Yield what each row with both inputs and a target says; one that is of no use is logged."""
    task = bundle.manifest.task
    whole = [
        row
        for row in rows
        if row.text is not None and row.video is not None and _gold(row, task) is not None
    ]
    choice = choose(bundle, "onnxruntime", None, None, 1)
    with (
        contextlib.closing(Inputs(bundle)) as inputs,
        Dispatcher(bundle.manifest, choice.backend, choice.locate) as dispatcher,
    ):
        for row in counted(whole, len(whole), "rows", _log):
            try:
                prepared = inputs.prepare(Sample(row.text, row.video), degrade=False)
            except InputUnusable as error:
                _log.info("left out: %s: %s", row.id, error)
                continue
            answers = {
                present: read_prediction(tensors["prediction"][0], task)
                for present, tensors in _of_sets(dispatcher, bundle, inputs.stack([prepared]))
            }
            gold = _gold(row, task)
            (text, score, _), (both, _, _) = answers[Modality.TEXT], answers[_BOTH]
            yield _Told(certainty(score, task), text == gold, both == gold)


def _of_sets(
    dispatcher: Dispatcher, bundle: Bundle, tensors: Tensors
) -> Iterator[tuple[Modality, Tensors]]:
    present = {each.name: each.present for each in bundle.manifest.engine_sets}
    wanted = [
        each for each in bundle.manifest.engine_sets if each.present in (Modality.TEXT, _BOTH)
    ]
    for name, found in dispatcher.run_all(tensors, wanted).items():
        yield present[name], found


def _gold(row: Row, task: Task) -> str | None:
    """Return the label that a row should get; None if it does not say."""
    if task.kind == "classification":
        return row.label
    return None if row.score is None else label_of(row.score, task)


def _least_threshold(told: Sequence[_Told], points: float) -> float | None:
    """Return the least certainty that spares a video and loses at most `points`."""
    by_certainty = sorted(told, key=lambda each: -each.certainty)
    lost, found = 0, None
    for number, each in enumerate(by_certainty):
        lost += each.both - each.text
        last = number + 1 == len(told) or by_certainty[number + 1].certainty < each.certainty
        if last and 100 * lost / len(told) <= points:
            found = each.certainty
    return found


def _spared(told: Sequence[_Told], threshold: float) -> Spared:
    """Return what a threshold does to rows."""
    early = [each.certainty >= threshold for each in told]
    right = sum(each.text if alone else each.both for each, alone in zip(told, early, strict=True))
    both = sum(each.both for each in told)
    return Spared(
        rows=len(told),
        without_video=sum(early) / len(told),
        accuracy=right / len(told),
        points_lost=100 * (both - right) / len(told),
    )
