"""Robust multimodal inference on edge devices: text and video in, sentiment or emotion out.

>>> import trml_rt
>>> with trml_rt.load() as rt:
...     answer = rt.infer(text="what a day", video="clip.mp4")

Behind every command of `trml-rt` stands a function of the same name: `build`, `calibrate`,
`calibrate_need`, `check_data`, `verify`, `bench`, `inspect`, `doctor`, `lint`, `clean`, `sign`,
`check_signature`, `deploy`, `rollback`, `export_triton`, `serve`.
`copy_bundle` stands behind `bundle copy`.
"""

# ruff: noqa: E402 - what comes before the imports must hold while they run

import importlib
import os
import signal
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any


def _end_interrupted(*_: object) -> None:
    os.write(2, b"trml-rt: interrupted\n")
    os._exit(130)


# The program `trml-rt` begins with this import, which takes half a second. Ctrl-C meanwhile must
# neither end in a traceback nor look like a missing package; `trml_rt.cli.main` puts it right.
# Of `python -m trml_rt` only the first word is known as yet, and the rest is in `sys.orig_argv`.
_program = "".join(sys.argv[:1])
if (
    _program.endswith("/trml-rt") or (_program == "-m" and "trml_rt" in sys.orig_argv[:3])
) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end_interrupted)

# ONNX Runtime's wheels since 1.30 write a device id under HOME and report to their vendor unless
# this stands there when they are imported. A value that is set is the user's own choice.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ.get("ORT_DISABLE_TELEMETRY") or "1"

from trml_rt._version import __version__
from trml_rt.answer import Answer, InputReport, Reason
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.modality import Modality
from trml_rt.errors import (
    ArtefactMismatch,
    BackendUnavailable,
    EnvironmentUnfit,
    InputUnusable,
    RowsFailed,
    TrmlError,
    UsageError,
    VerificationFailed,
)
from trml_rt.inputs.limits import MediaLimits
from trml_rt.inputs.prepare import Sample
from trml_rt.runtime import Runtime, load

if TYPE_CHECKING:
    from trml_rt.backends import CompileOptions
    from trml_rt.bench import BenchReport, bench
    from trml_rt.build import BuildPreview, BuildReport, build, preview_build
    from trml_rt.bundle.copy import BundleCopy, copy_bundle
    from trml_rt.bundle.signature import Signature, check_signature, sign
    from trml_rt.calibrate import CalibrationReport, calibrate
    from trml_rt.doctor import Diagnosis, doctor
    from trml_rt.engines.clean import CleanReport, clean
    from trml_rt.fleet import Deployment, TritonModel, deploy, export_triton, rollback
    from trml_rt.inspect import Inspection, inspect
    from trml_rt.lint import LintReport, lint
    from trml_rt.proof.check_data import DataCheck, DataProblem, check_data
    from trml_rt.proof.need import NeedReport, calibrate_need
    from trml_rt.serve import Server, ServeReport, serve
    from trml_rt.stream.answer import StreamAnswer, StreamEvent, Totals
    from trml_rt.stream.core import Stream
    from trml_rt.stream.record import Replay
    from trml_rt.timeline import Timeline, TimelineRow, timeline
    from trml_rt.verify import Verification, verify

# The same names again: they are imported on first use, because a first answer needs none of them.
_LATER = {
    "backends": ["CompileOptions"],
    "bench": ["BenchReport", "bench"],
    "build": ["BuildPreview", "BuildReport", "build", "preview_build"],
    "bundle.copy": ["BundleCopy", "copy_bundle"],
    "bundle.signature": ["Signature", "check_signature", "sign"],
    "calibrate": ["CalibrationReport", "calibrate"],
    "doctor": ["Diagnosis", "doctor"],
    "engines.clean": ["CleanReport", "clean"],
    "fleet": ["Deployment", "TritonModel", "deploy", "export_triton", "rollback"],
    "inspect": ["Inspection", "inspect"],
    "lint": ["LintReport", "lint"],
    "proof.check_data": ["DataCheck", "DataProblem", "check_data"],
    "proof.need": ["NeedReport", "calibrate_need"],
    "serve": ["ServeReport", "Server", "serve"],
    "stream.answer": ["StreamAnswer", "StreamEvent", "Totals"],
    "stream.core": ["Stream"],
    "stream.record": ["Replay"],
    "timeline": ["Timeline", "TimelineRow", "timeline"],
    "verify": ["Verification", "verify"],
}
_ROOM_OF = {name: room for room, names in _LATER.items() for name in names}

__all__ = [
    "Answer",
    "ArtefactMismatch",
    "BackendUnavailable",
    "BenchReport",
    "BuildPreview",
    "BuildReport",
    "Bundle",
    "BundleCopy",
    "CalibrationReport",
    "CleanReport",
    "CompileOptions",
    "DataCheck",
    "DataProblem",
    "Deployment",
    "Diagnosis",
    "EnvironmentUnfit",
    "InputReport",
    "InputUnusable",
    "Inspection",
    "LintReport",
    "MediaLimits",
    "Modality",
    "NeedReport",
    "Reason",
    "Replay",
    "RowsFailed",
    "Runtime",
    "Sample",
    "ServeReport",
    "Server",
    "Signature",
    "Stream",
    "StreamAnswer",
    "StreamEvent",
    "Timeline",
    "TimelineRow",
    "Totals",
    "TritonModel",
    "TrmlError",
    "UsageError",
    "Verification",
    "VerificationFailed",
    "__version__",
    "bench",
    "build",
    "calibrate",
    "calibrate_need",
    "check_data",
    "check_signature",
    "clean",
    "copy_bundle",
    "deploy",
    "doctor",
    "export_triton",
    "inspect",
    "lint",
    "load",
    "preview_build",
    "rollback",
    "serve",
    "sign",
    "timeline",
    "verify",
]


class _Package(ModuleType):
    """Keep `trml_rt.build` the function, whether it or the module of its name is imported first.

    The import system sets a module as an attribute of its package. Where both have one name, the
    function stands there instead.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _ROOM_OF.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _ROOM_OF:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{self.__name__}.{_ROOM_OF[name]}")
        value = getattr(module, name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
