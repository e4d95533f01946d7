"""The cache key: every fact that decides what compiled engines are, or whether they may run.

It is a flat record of strings, so that a mismatch can name the field and both values.
"""

from __future__ import annotations

import hashlib
import json
import platform

from trml_rt.backends import BackendRow, CompileOptions, row_of
from trml_rt.bundle.calibration import calibration_hash
from trml_rt.bundle.engine_folder import ENGINE_SCHEMA, EngineFolder
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import TrmlError

__all__ = ["built_for_here", "key_of", "misfits", "why_not"]

# It decides what a compiled graph is, and not where it may run.
_OPTIONS = "builder options"


def built_for_here(
    bundle: Bundle,
    precision: str,
    row: BackendRow,
    options: CompileOptions | None = None,
    calibration: str | None = None,
) -> dict[str, str]:
    """Return what engines made here and now would be built for.

    Args:
        bundle: the bundle.
        precision: of the engines.
        row: their back end.
        options: settings of the compiler; None: the defaults.
        calibration: for int8 the hash of the calibration; None: the bundle's own calibration.

    Raises:
        UsageError: the back end has no such precision.
        EnvironmentUnfit: the back end, or the device that it needs, is not here.
    """
    manifest, recipe = bundle.manifest, row.recipe(precision)
    fields = {
        "schema": str(ENGINE_SCHEMA),
        **{
            f"source of {name}": manifest.files[engine.file].sha256
            for name, engine in manifest.engines.items()
        },
        "precision recipe": recipe.name,
        "shape profiles": json.dumps(manifest.axes.model_dump(), sort_keys=True),
        "back end": row.name,
        **row.load().built_for(row.name, options or CompileOptions()),
        "system": f"{platform.system().lower()} {platform.machine()}",
    }
    if recipe.convert_to_fp16:  # the golden inputs show which nodes come near FP16's limit
        for engine_set in manifest.engine_sets:
            fields[f"golden of {engine_set.name}"] = manifest.files[engine_set.golden].sha256
    if recipe.int8_form is not None:
        calibration = calibration or calibration_hash(bundle.folder / "calibration")
        if calibration is not None:
            fields["calibration"] = calibration
    return fields


def key_of(built_for: dict[str, str], precision: str, row: BackendRow) -> str:
    """Return the name of the engine folder for `built_for`: a readable prefix and a short hash."""
    digest = hashlib.sha256(json.dumps(built_for, sort_keys=True).encode()).hexdigest()[:8]
    return f"{row.load().key_prefix(built_for)}_{precision}_{digest}"


def misfits(engines: EngineFolder, bundle: Bundle, expected: dict[str, str]) -> list[str]:
    """List why `engines` may not run for `bundle` on the device of `expected` (E1)."""
    stated = engines.manifest.built_for
    problems = [
        f"{name} is {stated.get(name)!r} there, {expected.get(name)!r} here"
        for name in sorted(stated.keys() | expected.keys())
        if stated.get(name) != expected.get(name)
        and name != _OPTIONS
        # A bundle without a calibration of its own takes engines of any.
        and not (name == "calibration" and name not in expected)
    ]
    missing = bundle.manifest.engines.keys() - engines.manifest.files.keys()
    return problems + [f"{name} is not among its engines" for name in sorted(missing)]


def why_not(engines: EngineFolder, bundle: Bundle) -> list[str]:
    """List why `engines` may not run for `bundle` on this device; empty if they may."""
    try:
        row = row_of(engines.manifest.backend)
        expected = built_for_here(bundle, engines.manifest.precision, row)
    except TrmlError as error:
        return [str(error)]
    return misfits(engines, bundle, expected)
