"""Calibrate a bundle's encoders: ranges, two INT8 graphs each, and a record of both.

Only engines that see the raw inputs (ids, frames) have an INT8 form; the fused graphs are small
and stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx

from trml_calibration.fp16_stored import store_fp16
from trml_calibration.graph import Feed, load_basic
from trml_calibration.int8 import layers, tensors_to_watch
from trml_calibration.judge import Check, MaxDrop
from trml_calibration.ranges import METHODS, Ranges, check_feeds, collect_ranges
from trml_calibration.refine import measure_channels, smooth
from trml_calibration.resume import Finding, Findings, key_of
from trml_calibration.search import Guarded, Judged, Source, guard
from trml_rt._version import __version__
from trml_rt.bundle.atomic import check_target, staged_folder, write_bytes
from trml_rt.bundle.calibration import (
    CALIBRATION_SCHEMA,
    FORMS,
    RECORD,
    Calibration,
    FormName,
    encoders,
    to_json,
)
from trml_rt.bundle.files import describe_files
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import UsageError, VerificationFailed, cannot_write
from trml_rt.progress import counted
from trml_rt.proof.compare import Case
from trml_rt.proof.golden import golden_answers

__all__ = ["calibrate"]

_log = logging.getLogger(__name__)


def calibrate(
    bundle: Bundle,
    feeds: Mapping[str, Sequence[Feed]],
    cases: Sequence[Case],
    out: Path,
    *,
    data: Mapping[str, str | int],
    methods: Mapping[str, str],
    max_drop: MaxDrop,
    wanted: Sequence[FormName] = FORMS,
    force: bool = False,
) -> Calibration:
    """Write the calibration of `bundle` to `out`, whole or not at all, and return its record.

    What is found of each encoder and form is kept beside `out`. A run that is interrupted goes on
    there when it is called with the same inputs again.

    Args:
        bundle: its FP32 graphs are what is quantised.
        feeds: for each encoder its samples.
        cases: inputs to check the INT8 graphs on, none of them among the samples; those of the
            golden files are added.
        out: the folder to make, `calibration/` of the bundle by default.
        data: what the samples are: the data file's `sha256`, its `split`.
        methods: for each encoder that is to have an INT8 form `max`, `entropy` or `percentile`.
        max_drop: what INT8 may lose; layers stay in FP32 until that holds.
        wanted: the forms to make.
        force: replace a calibration that is there, and find everything anew.

    Raises:
        UsageError: too few samples, constant ones, or an unknown method.
        VerificationFailed: no encoder keeps `max_drop` with half of its layers in INT8.
    """
    check_target(out, marker=RECORD, what="calibration", replace=force)
    names = [name for name in encoders(bundle.manifest) if name in methods]
    for name in names:
        if methods[name] not in METHODS:
            raise UsageError(f"no method {methods[name]!r}; choose {', '.join(METHODS)}")
        check_feeds(name, feeds.get(name, ()))
    versions = {p: metadata.version(p) for p in ("onnx", "onnxruntime")}
    settings = [[name, methods[name]] for name in names]
    truths = [[case.score, case.label] for case in cases]
    facts = [__version__, versions, bundle.sha256, settings, asdict(max_drop), truths]
    used = [*(feeds[name] for name in names), [case.inputs for case in cases]]
    findings = Findings(out, key_of(facts, used))
    if force:
        findings.forget()
    plain, refined = {}, {}
    for name in names:
        _log.info("%s: ranges by %s from %d samples", name, methods[name], len(feeds[name]))
        graph = load_basic(bundle.path(bundle.manifest.engines[name].file))
        told = counted(feeds[name], len(feeds[name]), f"{name}: ranges", _log)
        plain[name] = _source(graph, told, methods[name])
        refined[name] = _refining(graph, feeds[name], methods[name])
    _log.info("answers of FP32 to %d rows", len(cases))
    check = Check(bundle, [*cases, *golden_answers(bundle)[0]], max_drop)
    try:
        with staged_folder(out, replace=force) as staging:
            forms, left_out = _quantised(staging, plain, refined, check, wanted, findings)
            if not any(forms.values()):
                findings.forget()
                raise VerificationFailed(
                    f"{bundle.folder}: no encoder holds the gate in INT8 with half of its layers "
                    "in it; allow more with --max-drop"
                )
            record = Calibration.model_validate(
                {
                    "schema": CALIBRATION_SCHEMA,
                    "created_by": f"trml-rt {__version__}",
                    "versions": versions,
                    "data": dict(data),
                    "max_drop": asdict(max_drop),
                    "engines": {
                        name: {
                            "source": bundle.manifest.files[
                                bundle.manifest.engines[name].file
                            ].sha256,
                            "method": methods[name],
                            "samples": len(feeds[name]),
                            "ranges": _listed(plain[name].ranges),
                            "forms": forms[name],
                            "left_out": left_out[name],
                        }
                        for name in names
                    },
                }
            )
            write_bytes(staging / RECORD, to_json(record))
    except OSError as error:
        raise cannot_write(out, error, "name another folder with --out") from None
    findings.forget()
    return record


_Found = dict[str, dict[str, Any]]
"""By encoder and form, what the record says."""


def _quantised(
    staging: Path,
    plain: Mapping[str, Source],
    refined: Mapping[str, Callable[[], Source]],
    check: Check,
    wanted: Sequence[FormName],
    findings: Findings,
) -> tuple[_Found, _Found]:
    """Write the INT8 graphs; return what was found of those, and of those that are not worth it.

    In one form the encoders follow each other: each is judged beside those that are settled.
    """
    forms: _Found = {name: {} for name in plain}
    left_out: _Found = {name: {} for name in plain}
    number = 0
    for form in wanted:
        check.restart()
        for name, source in plain.items():
            number += 1
            found = findings.take(name, form)
            again = "" if found is None else ", found by an earlier run"
            words = f"{name}: the {form} form, {number} of {len(wanted) * len(plain)}{again}"
            _log.info("%s", words)
            if found is None:
                guarded = guard(source, refined[name], form, partial(check.judge, name))
                found = _finding(source.graph, guarded)
                findings.keep(name, form, found)
            if found.model is None:
                left_out[name][form] = found.said
                continue
            check.settle(name, found.model)
            forms[name][form] = _write(staging, f"{name}.{form}.onnx", found.model) | found.said
    return forms, left_out


def _source(graph: onnx.ModelProto, feeds: Iterable[Feed], method: str) -> Source:
    return Source(graph, collect_ranges(graph, tensors_to_watch(graph), feeds, method))


def _refining(graph: onnx.ModelProto, feeds: Sequence[Feed], method: str) -> Callable[[], Source]:
    """Return what makes the refined source once, whichever form asks for it first."""

    @cache
    def refine() -> Source:
        smoothed = smooth(graph, layers(graph), measure_channels(graph, layers(graph), feeds))
        biased = [n.name for n in smoothed.graph.node if len(n.input) == 3]
        among = [name for name in layers(smoothed) if name in set(biased)]
        return Source(
            smoothed,
            collect_ranges(smoothed, tensors_to_watch(smoothed), feeds, method),
            measure_channels(smoothed, among, feeds) if among else None,
        )

    return refine


def _write(staging: Path, file: str, model: onnx.ModelProto) -> dict[str, object]:
    """Write one INT8 graph and return what the record says of its file."""
    onnx.save(model, staging / file)
    store_fp16(staging / file)  # what is left in FP32: half the bytes, the same arithmetic
    return {"file": file, **describe_files(staging, [file])[file].model_dump()}


def _layers(graph: onnx.ModelProto, guarded: Guarded) -> dict[str, str]:
    return {name: "fp32" if name in guarded.kept else "int8" for name in layers(graph)}


def _finding(graph: onnx.ModelProto, guarded: Guarded) -> Finding:
    said = {
        "refined": guarded.refined,
        "checked": _checked(guarded.judged),
        "sensitivity": [asdict(harm) for harm in guarded.table],
    }
    if guarded.model is None:
        return Finding(None, said)
    return Finding(guarded.model, {"layers": _layers(graph, guarded), **said})


def _checked(judged: Judged) -> dict[str, object]:
    """Return what was measured on each engine set, as the record has it."""
    losses: dict[str, object] = {}
    for name, each in judged.measured.items():
        accuracy = each.get("accuracy")
        losses[name] = {
            "rows": each["rows"],
            "least_cosine": min(tensor["least_cosine"] for tensor in each["tensors"].values()),
            "largest_score_difference": each["largest_score_difference"],
            "mean_score_difference": each["mean_score_difference"],
            "flips": each["flips"],
            "points_lost": accuracy and accuracy["fp32"] - accuracy["engines"],
        }
    return losses


def _listed(ranges: Ranges) -> dict[str, list[float]]:
    return {name: [low, high] for name, (low, high) in sorted(ranges.items())}
