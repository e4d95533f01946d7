"""Tests mirror the source tree by name: who changes a module finds its tests at once."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Modules whose tests have another name, with the test file that covers them.
ELSEWHERE = {
    "trml_rt": {
        "__main__": "cli/test_exits.py",
        "_version": "test_version.py",
        "backends/check": "backends/tensorrt/test_doctor.py",
        "backends/contract": "backends/test_backends.py",
        "backends/onnxruntime": "test_runtime.py",
        "backends/row": "backends/test_backends.py",
        "backends/shaping": "test_conformance.py",
        "backends/tensorrt/child": "backends/tensorrt/test_compiler.py",
        "backends/tensorrt/chain": "backends/tensorrt/test_backend.py",
        "backends/tensorrt/memory": "backends/tensorrt/test_libcudart.py",
        "backends/tensorrt/library": "backends/tensorrt/test_compiler.py",
        "backends/tensors": "backends/tensorrt/test_backend.py",
        "bundle/calibration": "../trml_calibration/test_calibrate.py",
        "bundle/engine_folder": "test_build.py",
        "bundle/folder": "bundle/test_bundle_format.py",
        "bundle/manifest": "bundle/test_bundle_format.py",
        "bundle/modality": "engines/test_dispatch.py",
        "bundle/need": "proof/test_need.py",
        "calibrate": "../trml_calibration/test_calibrate.py",
        "doctor": "backends/tensorrt/test_doctor.py",
        "engines/choose": "backends/tensorrt/test_plans.py",
        "engines/compile": "test_build.py",
        "engines/install": "test_build.py",
        "engines/key": "backends/tensorrt/test_plans.py",
        "inputs/resize": "test_conformance.py",
        "inputs/apart/within": "inputs/apart/test_process.py",
        "inputs/apart/worker": "inputs/apart/test_clips.py",
        "inputs/live/events": "inputs/live/test_source.py",
        "inputs/live/opening": "inputs/live/test_servers.py",
        "inputs/live/worker": "inputs/live/test_source.py",
        "inputs/picture_file": "inputs/test_picture.py",
        "inputs/video_frame": "inputs/test_video.py",
        "proof/contenders": "test_bench.py",
        "proof/interleave": "test_bench.py",
        "inputs/video_packets": "inputs/test_video_scan.py",
        "inspect": "cli/test_cli.py",
        "jobs/summary": "jobs/test_run.py",
        "native_runtime/rows": "native_runtime/test_runtime.py",
        "lint": "../trml_calibration/test_lint.py",
        "serve/mailbox": "serve/test_feed.py",
        "serve/refusals": "serve/test_app.py",
        "stream/accounts": "stream/test_core.py",
        "stream/answer": "stream/test_core.py",
        "stream/model": "stream/test_core.py",
        "stream/opening": "stream/test_pull.py",
        "stream/work": "stream/test_core.py",
        "timeline/curve": "timeline/test_page.py",
        "timeline/result": "timeline/test_summary.py",
        "verify": "proof/test_fp32.py",
    },
    "calibration/trml_calibration": {"ranges": "test_int8.py"},
    "export/trml_export": {
        "data/plain_pickle": "data/test_processed.py",
        "data/samples": "data/test_jsonl.py",
        "data/tables": "data/test_meld.py",
        "evaluation/statistic": "evaluation/test_record.py",
        "features/filling": "cli/test_encode.py",
        "to_bundle/golden": "to_bundle/test_export.py",
    },
}


def modules(source):
    """Return the modules of a package, without commands, which tests run as a user does."""
    return sorted(
        str(path.relative_to(ROOT / source).with_suffix(""))
        for path in (ROOT / source).rglob("*.py")
        if path.name != "__init__.py" and path.parent.name != "cli"
    )


@pytest.mark.parametrize("source", ELSEWHERE)
def test_every_module_has_tests_of_its_name_or_a_named_place(source):
    tests = ROOT / "tests" / Path(source).name
    lost = []
    for module in modules(source):
        own = tests / Path(module).parent / f"test_{Path(module).name}.py"
        if not own.exists():
            place = ELSEWHERE[source].get(module)
            if place is None or not (tests / place).exists():
                lost.append(module)
    assert lost == []


@pytest.mark.parametrize("source", ELSEWHERE)
def test_no_place_is_named_for_a_module_that_is_gone_or_has_its_own(source):
    tests = ROOT / "tests" / Path(source).name
    stale = [
        module
        for module in ELSEWHERE[source]
        if module not in modules(source)
        or (tests / Path(module).parent / f"test_{Path(module).name}.py").exists()
    ]
    assert stale == []
