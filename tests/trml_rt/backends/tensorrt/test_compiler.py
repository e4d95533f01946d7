"""What surrounds the TensorRT compiler: finding it, memory, its process.

Nothing here needs TensorRT.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import types
from dataclasses import asdict
from pathlib import Path

import pytest

from trml_rt.backends.tensorrt import child as tensorrt_apart
from trml_rt.backends.tensorrt import library as tensorrt_library
from trml_rt.backends.tensorrt.child import available_memory, compile_apart, memory_needed
from trml_rt.backends.tensorrt.compiler import MEBIBYTE, PlanRequest
from trml_rt.backends.tensorrt.library import import_tensorrt, refusal
from trml_rt.errors import BackendUnavailable, EnvironmentUnfit

SOURCES = sorted(Path(tensorrt_library.__file__).parent.glob("*.py"))
assert len(SOURCES) > 5


@pytest.fixture
def request_of(tmp_path):
    def make(size=1, **changes):
        (tmp_path / "g.onnx").write_bytes(b"\0" * size)
        given = {"backend": "tensorrt", "precision": "fp32", "profile": {}} | changes
        return PlanRequest(graph=str(tmp_path / "g.onnx"), plan=str(tmp_path / "g.plan"), **given)

    return make


def test_tensorrt_that_is_absent_names_both_ways_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailable, match=r"JetPack.*pip install.*onnxruntime"):
        import_tensorrt("tensorrt")


def test_type_stubs_do_not_pass_for_tensorrt(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))
    with pytest.raises(BackendUnavailable, match="holds no library"):
        import_tensorrt("tensorrt")


def test_a_library_that_does_not_load_says_which(monkeypatch):
    def broken(name):
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(tensorrt_library.importlib, "import_module", broken)
    with pytest.raises(BackendUnavailable, match=r"cannot be loaded \(libcudart"):
        import_tensorrt("tensorrt")


@pytest.mark.parametrize("version", ["10.3.0", "10.13.3.9", "10.16.1.11", "11.4.1"])
def test_versions_from_10_3_to_11_are_taken(version):
    assert refusal("tensorrt", version, "/usr/lib/python3/dist-packages/tensorrt") is None


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("8.5.2", "upgrade to JetPack 6.1"),
        ("8.6.2", "upgrade to JetPack 6.1"),
        ("10.2.0", "10.3 or later"),
        ("12.0.0", "newer than"),
        ("new", "cannot be read"),
    ],
)
def test_other_versions_are_refused_with_the_reason(version, reason):
    assert reason in refusal("tensorrt", version, None)


def test_a_wheel_with_a_library_of_its_own_is_refused_on_a_jetson(monkeypatch, tmp_path):
    monkeypatch.setattr(tensorrt_library, "TEGRA_RELEASE", tmp_path)
    wheel = str(tmp_path / "site-packages" / "tensorrt" / "__init__.py")
    assert refusal("tensorrt", "10.3.0", wheel) is None  # as containers for Jetson have it
    (tmp_path / "site-packages" / "tensorrt_libs").mkdir(parents=True)
    assert "lack kernels" in refusal("tensorrt", "10.3.0", wheel)
    own = "/usr/lib/python3.10/dist-packages/tensorrt/__init__.py"
    assert refusal("tensorrt", "10.3.0", own) is None


def test_memory_is_looked_at_before_anything_starts(request_of, monkeypatch):
    monkeypatch.setattr(tensorrt_apart, "available_memory", lambda: 100 * MEBIBYTE)
    monkeypatch.setattr(tensorrt_apart, "free_swap", lambda: 20 * MEBIBYTE)
    monkeypatch.setattr(tensorrt_apart.subprocess, "Popen", None)
    with pytest.raises(EnvironmentUnfit, match=r"takes about \d+ MiB and 120 MiB are free, swap"):
        compile_apart(request_of())


@pytest.mark.parametrize(
    ("free", "swap", "workspace", "started"),
    [
        (4000, 0, 1024, True),
        (1500, 2500, 1024, True),
        (1500, 1000, 1024, False),
        (1000, 9000, 1024, False),  # scratch memory of a GPU is not swapped out
        (1000, 9000, 512, True),
    ],
)
def test_swap_counts_for_what_the_compiler_itself_takes(
    request_of, monkeypatch, free, swap, workspace, started
):
    monkeypatch.setattr(tensorrt_apart, "available_memory", lambda: free * MEBIBYTE)
    monkeypatch.setattr(tensorrt_apart, "free_swap", lambda: swap * MEBIBYTE)
    monkeypatch.setattr(tensorrt_apart, "_COMPILER", "none.such")
    words = "the compiler ended with exit code 1" if started else "takes about"
    with pytest.raises(EnvironmentUnfit, match=words):
        compile_apart(request_of(workspace_mib=workspace))


def test_the_look_at_memory_can_be_passed_over(request_of, monkeypatch):
    monkeypatch.setattr(tensorrt_apart, "available_memory", lambda: 0)
    monkeypatch.setattr(tensorrt_apart, "_COMPILER", "none.such")
    with pytest.raises(EnvironmentUnfit, match="the compiler ended with exit code 1"):
        compile_apart(request_of(), check_memory=False)


def test_the_need_grows_with_graph_precision_and_workspace(request_of):
    base = memory_needed(request_of())
    assert memory_needed(request_of(size=MEBIBYTE)) > base
    assert memory_needed(request_of(precision="int8", size=MEBIBYTE)) > memory_needed(
        request_of(size=MEBIBYTE)
    )
    assert memory_needed(request_of(workspace_mib=4096)) > base
    abroad = {"backend": "tensorrt-rtx", "targets": ["8.9"]}  # no kernel is timed
    assert memory_needed(request_of(**abroad, workspace_mib=1)) == memory_needed(
        request_of(**abroad, workspace_mib=4096)
    )


def test_free_memory_is_read_from_the_system():
    assert available_memory() > MEBIBYTE


COMPILERS = {
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "crashed": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "silent": "raise SystemExit(7)",
    "noisy": "print('hello'); import sys; print('out of luck', file=sys.stderr); sys.exit(1)",
    "lying": "print('{}'); print('[1]')",
}


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("killed", "was killed while it compiled .*want of memory"),
        ("crashed", "ended with signal 11"),
        ("silent", "ended with exit code 7 .*: it said nothing"),
        ("noisy", "ended with exit code 1 .*: out of luck"),
        ("lying", "ended with exit code 0"),
    ],
)
def test_a_compiler_that_dies_takes_nobody_with_it(
    request_of, monkeypatch, tmp_path, compiler, reason
):
    (tmp_path / "pretended_compiler.py").write_text(COMPILERS[compiler])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tensorrt_apart, "_COMPILER", "pretended_compiler")
    monkeypatch.setattr(tensorrt_apart, "available_memory", lambda: None)
    with pytest.raises(EnvironmentUnfit, match=reason):
        compile_apart(request_of())


def test_an_interrupted_build_ends_its_compiler(request_of, monkeypatch, tmp_path):
    (tmp_path / "pretended_compiler.py").write_text(
        "import json, os, time\n"
        "print(json.dumps({'progress': ['phase', os.getpid(), 1]}), flush=True)\n"
        "time.sleep(60)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tensorrt_apart, "_COMPILER", "pretended_compiler")
    monkeypatch.setattr(tensorrt_apart, "available_memory", lambda: None)
    seen = []

    def interrupt(phase, pid, steps):
        seen.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compile_apart(request_of(), interrupt)
    assert not Path(f"/proc/{seen[0]}").exists()


def test_a_compiler_ends_with_its_parent(request_of):
    work = (
        "import time; from trml_rt.backends.tensorrt import compiler; "
        "compiler.compile_plan = lambda *_: print('begun', flush=True) or time.sleep(60); "
        "compiler.main()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", work],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child.stdin.write(json.dumps(asdict(request_of())) + "\n")
    child.stdin.flush()
    assert child.stdout.readline() == "begun\n"
    child.communicate(timeout=30)  # closes its input
    assert child.returncode == 1


# Gone in TensorRT 11, or never to be used: precision lives in the graph.
REMOVED = {
    *("BuilderFlag.FP16", "BuilderFlag.INT8", "BuilderFlag.BF16", "BuilderFlag.FP8"),
    *("EXPLICIT_BATCH", "IInt8Calibrator", "int8_calibrator"),
    *("OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS", "execute_v2", "execute_async"),
    *("execute_async_v2", "num_bindings", "get_binding_name", "get_binding_shape", "set_precision"),
    *("binding_is_input", "set_binding_shape", "max_workspace_size", "max_batch_size"),
    *("build_engine", "build_cuda_engine", "device_memory_size", "set_output_type"),
    *("create_execution_context_without_device_memory", "set_calibration_profile"),
    *("platform_has_fast_fp16", "platform_has_fast_int8", "set_dynamic_range"),
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_removed_name_of_the_api_stands_in_the_source(path):
    tree = ast.parse(path.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used = {node.attr for node in nodes}
    used |= {f"{n.value.attr}.{n.attr}" for n in nodes if isinstance(n.value, ast.Attribute)}
    assert used & REMOVED == set()
