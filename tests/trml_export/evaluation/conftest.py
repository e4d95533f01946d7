"""One small protocol for all tests of evaluation."""

from __future__ import annotations

import pytest

METHODS_TRIED = ("trml", "constant", "separate")


@pytest.fixture(scope="session")
def protocol(clip, data, tiny_config, cache):
    """Three methods, two seeds, two shares of complete training samples, on one worker."""
    from trml_export.evaluation import DataSplit, MethodSubject, evaluate, methods_named

    return evaluate(
        MethodSubject(
            clip,
            tiny_config,
            cache,
            methods=methods_named(METHODS_TRIED),
            completeness=(1.0, 0.5),
            seeds=2,
            workers=1,
        ),
        DataSplit(data),
    )


@pytest.fixture(scope="session")
def report(protocol, tmp_path_factory):
    """The folder of the report on `protocol`; do not write into it."""
    from trml_export.evaluation import write_report

    folder = tmp_path_factory.mktemp("report") / "out"
    write_report(protocol, folder)
    return folder
