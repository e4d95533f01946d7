"""A machine with a GPU made of the stand-ins of fake_tensorrt.py, and engines built on it.

The compiler is replaced by one that wraps the ONNX graph (fake_tensorrt.py says what that does not
prove); the real compiler runs in test_real_compiler.py.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from unittest import mock

import trml_rt
from tests.conftest import file_entry
from tests.trml_rt.backends.tensorrt.fake_cuda import FakeCuda
from tests.trml_rt.backends.tensorrt.fake_tensorrt import FakeTensorRt, fake_plan
from trml_rt.backends.tensorrt.compiler import PlanReport
from trml_rt.bundle.calibration import encoders
from trml_rt.bundle.folder import Bundle
from trml_rt.engines.compile import GraphTools

LAYERS = {"fp16": 3, "fp32": 1}


class Device:
    """One machine with a GPU, as the back end sees it."""

    def __init__(self, monkeypatch):
        self.patch = monkeypatch
        self.requests = []
        self.look = lambda request: None
        self.peak_mib = 300
        self.become()
        monkeypatch.setattr("trml_rt.backends.tensorrt.plans.compile_apart", self.compile)

    def become(self, *, version="10.3.0", rtx="1.7.1.116", **gpu):
        self.cuda = FakeCuda(**gpu)
        self.trt = FakeTensorRt(self.cuda, version)
        self.patch.setitem(sys.modules, "tensorrt", self.trt)
        self.patch.setitem(sys.modules, "tensorrt_rtx", FakeTensorRt(self.cuda, rtx))
        self.patch.setattr("trml_rt.backends.tensorrt.cuda.cuda_runtime", lambda: self.cuda)
        self.patch.setattr("trml_rt.backends.tensorrt.backend.cuda_runtime", lambda: self.cuda)

    def compile(self, request, progress, *, check_memory):
        self.checks_memory = check_memory
        self.requests.append(request)
        self.look(request)
        progress("Building engine", 1, 6)
        plan = fake_plan(Path(request.graph), request.profile)
        Path(request.plan).write_bytes(plan)
        layers = {} if request.targets else LAYERS
        products = {request.precision: 4}
        return PlanReport(len(plan), 1.5, self.peak_mib, products, layers, ["[I] hello"])


def make(folder, precision="fp32", *, islands=(), **arguments):
    """Build engines without `onnx`: FP16 graphs are copies, INT8 graphs those of a calibration.

    `islands` are what the small graphs are said to keep in FP32.
    """

    def convert(graph, target, feeds):
        shutil.copy(graph, target)
        return list(islands) if target.stem.startswith("fuse") else []

    if precision == "int8" and not (folder / "calibration").exists():
        calibrate_by_copying(folder)
    arguments.setdefault("backend", "tensorrt")
    tools = GraphTools(convert, lambda path: None, shutil.copy)
    with mock.patch("trml_rt.engines.compile._graph_tools", return_value=tools):
        return trml_rt.build(folder, precision, **arguments)


def calibrate_by_copying(folder):
    """Give a bundle a calibration whose INT8 graphs are the FP32 ones."""
    manifest = Bundle(folder).manifest
    target = folder / "calibration"
    target.mkdir()
    engines = {}
    for name in encoders(manifest):
        source = manifest.engines[name].file
        forms = {}
        for form in ("portable", "cpu"):
            file = f"{name}.{form}.onnx"
            shutil.copy(folder / source, target / file)
            forms[form] = file_entry(target / file) | {
                **{"file": file, "layers": {}, "refined": False},
                **{"checked": {}, "sensitivity": []},
            }
        engines[name] = {
            **{"source": manifest.files[source].sha256, "method": "max", "samples": 32},
            **{"ranges": {}, "forms": forms, "left_out": {}},
        }
    content = {
        **{
            "schema": 1,
            "created_by": "a test",
            "versions": {},
            "data": {"sha256": "0" * 64, "split": "train"},
        },
        **{"max_drop": {"cosine": 0.01, "points": 1.0}, "engines": engines},
    }
    (target / "calibration.json").write_text(json.dumps(content))
