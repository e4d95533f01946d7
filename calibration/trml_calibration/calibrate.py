"""Calibrate a bundle's encoders: ranges, two INT8 graphs each, and a record of both.

Only engines that see the raw inputs (ids, frames) have an INT8 form; the fused graphs are small
and stay as they are.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import onnx

from trml_calibration.fp16 import store_fp16
from trml_calibration.guard import Guarded, guard
from trml_calibration.int8 import FORMS, layers, load_basic, tensors_to_watch
from trml_calibration.ranges import METHODS, Feed, Ranges, check_feeds, collect_ranges
from trml_rt.atomic import check_target, staged_folder, write_bytes
from trml_rt.bundle import Bundle
from trml_rt.calibration import CALIBRATION_SCHEMA, RECORD, Calibration, encoders, to_json
from trml_rt.errors import EnvironmentUnfit, UsageError
from trml_rt.files import describe_files

__all__ = ["calibrate"]

_CHECKED = 4  # every so many samples serve the check and not the ranges


def calibrate(
    bundle: Bundle,
    feeds: Mapping[str, Sequence[Feed]],
    out: Path,
    *,
    data: Mapping[str, str | int],
    methods: Mapping[str, str],
    least_cosine: float = 0.99,
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Write the calibration of `bundle` to `out`, whole or not at all, and return its record.

    Args:
        bundle: its FP32 graphs are what is quantised.
        feeds: for each encoder its samples; every fourth serves the check alone.
        out: the folder to make, `calibration/` of the bundle by default.
        data: what the samples are: the data file's `sha256`, its `split`.
        methods: for each encoder `max`, `entropy` or `percentile`.
        least_cosine: what the worst row of the check must keep; see `guard`.
        force: replace a calibration that is there.
        progress: called with a line for each step.

    Raises:
        UsageError: too few samples, constant ones, or an unknown method.
        VerificationFailed: `least_cosine` cannot be kept.
    """
    check_target(out, marker=RECORD, what="calibration", replace=force)
    names = encoders(bundle.manifest)
    for name in names:
        if methods[name] not in METHODS:
            raise UsageError(f"no method {methods[name]!r}; choose {', '.join(METHODS)}")
        check_feeds(name, feeds.get(name, ()))
    engines = {}
    try:
        with staged_folder(out, replace=force) as staging:
            for name in names:
                progress(f"{name}: ranges by {methods[name]} from {len(feeds[name])} samples")
                graph = load_basic(bundle.path(bundle.manifest.engines[name].file))
                checked = list(feeds[name][::_CHECKED])
                learnt = [feed for i, feed in enumerate(feeds[name]) if i % _CHECKED]
                ranges = collect_ranges(graph, tensors_to_watch(graph), learnt, methods[name])
                forms = {}
                for form in FORMS:
                    progress(f"{name}: the {form} form, checked on {len(checked)} samples")
                    made = guard(graph, ranges, form, checked, least_cosine, progress=progress)
                    forms[form] = _write(staging, name, form, graph, made)
                engines[name] = {
                    "source": bundle.manifest.files[bundle.manifest.engines[name].file].sha256,
                    "method": methods[name],
                    "samples": len(feeds[name]),
                    "ranges": _rounded(ranges),
                    "forms": forms,
                }
            record = Calibration.model_validate(
                {
                    "schema": CALIBRATION_SCHEMA,
                    "created_by": f"trml-rt {metadata.version('trml-rt')}",
                    "versions": {p: metadata.version(p) for p in ("onnx", "onnxruntime")},
                    "data": dict(data),
                    "least_cosine": least_cosine,
                    "engines": engines,
                }
            )
            write_bytes(staging / RECORD, to_json(record))
    except OSError as error:
        hint = "free some space" if error.errno == errno.ENOSPC else "name another with --out"
        raise EnvironmentUnfit(f"{out}: cannot be written ({error.strerror}); {hint}") from None
    return record


def _write(
    staging: Path, engine: str, form: str, graph: onnx.ModelProto, made: Guarded
) -> dict[str, object]:
    """Write one INT8 graph and return its entry."""
    file = f"{engine}.{form}.onnx"
    onnx.save(made.model, staging / file)
    store_fp16(staging / file)  # what is left in FP32: half the bytes, the same arithmetic
    return {
        "file": file,
        **describe_files(staging, [file])[file].model_dump(),
        "layers": {name: "fp32" if name in made.kept else "int8" for name in layers(graph)},
        "checked_cosine": {"least": made.least_cosine, "mean": made.mean_cosine},
        "sensitivity": [{"layer": name, "error": error} for name, error in made.table],
    }


def _rounded(ranges: Ranges) -> dict[str, list[float]]:
    return {name: [low, high] for name, (low, high) in sorted(ranges.items())}
