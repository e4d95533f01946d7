"""Verify the engines that are built for a bundle, and keep the record beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trml_rt.bundle.atomic import write_bytes
from trml_rt.bundle.engine_folder import VERIFICATION
from trml_rt.bundle.folder import Bundle
from trml_rt.dispatch import Dispatcher
from trml_rt.engines.choose import choose
from trml_rt.errors import EnvironmentUnfit
from trml_rt.proof.cases import Case, golden_cases
from trml_rt.proof.fp32 import to_json, verify

__all__ = ["verify_built"]


def verify_built(
    bundle: Bundle,
    precision: str,
    cases: Sequence[Case],
    backend: str = "onnxruntime",
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Path, dict[str, Any]]:
    """Verify the engines of `precision` that `backend` would load, and write verify.json beside.

    A record that has not passed is written too: from then on answers say `verified: false`.

    Args:
        bundle: the bundle, whose portable graphs are the reference.
        precision: of the engines, and whose `LIMITS` count.
        cases: the inputs; an empty list takes those of the golden files.
        backend: what the engines were built for, one of `compiled.BACKENDS`.
        progress: called with a line every so many cases.

    Returns:
        The folder of the engines, and the record.

    Raises:
        ArtefactMismatch: there are no engines that fit.
        EnvironmentUnfit: the back end or its device is not here, or the record cannot be written.
    """
    choice = choose(bundle, backend, precision, None)
    folder = bundle.folder / "engines" / choice.engines
    with Dispatcher(bundle.manifest, choice.backend, choice.locate) as engines:
        record = verify(bundle, engines, precision, cases or golden_cases(bundle), progress)
    try:
        write_bytes(folder / VERIFICATION, to_json(record))
    except OSError as error:
        raise EnvironmentUnfit(
            f"{folder}: cannot be written ({error.strerror}); free some space, or copy "
            "the bundle to a folder of yours"
        ) from None
    return folder, record
