"""A machine with a GPU made of the stand-ins of fake_tensorrt.py, and engines built on it.

The compiler is replaced by one that wraps the ONNX graph (fake_tensorrt.py says what that does not
prove); the real compiler runs in test_tensorrt_compile.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.trml_rt.backends.tensorrt.fake_tensorrt import FakeCuda, FakeTensorRt, fake_plan
from trml_rt.backends.tensorrt.compiler import PlanReport
from trml_rt.backends.tensorrt.plans import Graph, Settings, build_tensorrt
from trml_rt.bundle.folder import Bundle

LAYERS = {"fp16": 3, "fp32": 1}


class Device:
    """One machine with a GPU, as the back end sees it."""

    def __init__(self, monkeypatch):
        self.patch = monkeypatch
        self.requests = []
        self.become()
        monkeypatch.setattr("trml_rt.backends.tensorrt.plans.compile_apart", self.compile)

    def become(self, *, version="10.3.0", rtx="1.7.1.116", **gpu):
        self.cuda = FakeCuda(**gpu)
        self.trt = FakeTensorRt(self.cuda, version)
        self.patch.setitem(sys.modules, "tensorrt", self.trt)
        self.patch.setitem(sys.modules, "tensorrt_rtx", FakeTensorRt(self.cuda, rtx))
        self.patch.setattr("trml_rt.backends.tensorrt.cuda.cuda_runtime", lambda: self.cuda)
        self.patch.setattr("trml_rt.backends.tensorrt.backend.cuda_runtime", lambda: self.cuda)

    def compile(self, request, progress):
        self.requests.append(request)
        progress("Building engine", 1, 6)
        plan = fake_plan(Path(request.graph), request.profile)
        Path(request.plan).write_bytes(plan)
        layers = {} if request.targets else LAYERS
        return PlanReport(len(plan), 1.5, 300, {request.precision: 4}, layers, ["[I] hello"])


def make(folder, precision="fp32", settings=None, **changes):
    if precision != "fp32":
        bundle = Bundle(folder)
        own = {name: bundle.path(e.file) for name, e in bundle.manifest.engines.items()}
        changes.setdefault("graphs", lambda name, _: Graph(own[name], precision))
    return build_tensorrt(Bundle(folder), precision, settings or Settings(), **changes)
