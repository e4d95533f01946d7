"""Break the native TensorRT back end in one way after another, and see that a test fails each time.

    make mutations

Every change is one that a GPU would answer with wrong results, a crash or a leak. It is made in a
copy of the sources, and the tests on stand-ins for TensorRT and CUDA are built there, with the
address sanitizer. A change that does not compile is a fault of this list, and ends it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.trml_rt.backends.tensorrt.mutations import Mutation, try_all

ROOT = Path(__file__).parents[2]
HERE = "trml_rt/native/src/backends/tensorrt"
LEFT_OUT = shutil.ignore_patterns("__pycache__")
OPTIONS = ("OPENVINO=OFF", "TENSORRT=OFF", "EXAMPLES=OFF", "SANITIZE=address,undefined")

MUTATIONS = (
    Mutation(
        "results are read before the stream is done",
        f"{HERE}/session.cpp",
        '    check(cudaStreamSynchronize(lane_->stream), "finish a run");\n',
        "",
    ),
    Mutation(
        "results are copied as if to the device",
        f"{HERE}/cuda.hpp",
        "cudaMemcpyAsync(host_, device_, size, cudaMemcpyDefault",
        "cudaMemcpyAsync(host_, device_, size, cudaMemcpyHostToDevice",
    ),
    Mutation(
        "scratch memory is as large as the first engine needs",
        f"{HERE}/cuda.hpp",
        "if (size <= scratch_size) return;",
        "if (scratch_size > 0) return;",
    ),
    Mutation(
        "contexts are not told that scratch memory has moved",
        f"{HERE}/cuda.hpp",
        "    ++generation;\n",
        "",
    ),
    Mutation(
        "graphs are kept when scratch memory has moved",
        f"{HERE}/session.cpp",
        "    forget();\n    generation_ = lane_.generation;",
        "    generation_ = lane_.generation;",
    ),
    Mutation(
        "memory is allocated in every capture",
        f"{HERE}/session.cpp",
        "    const bool queued = context->enqueueV3(lane_.stream);",
        "    void* extra = nullptr;\n    cudaMalloc(&extra, 256);\n"
        "    const bool queued = context->enqueueV3(lane_.stream);",
    ),
    Mutation(
        "other threads can break a capture",
        f"{HERE}/session.cpp",
        "cudaStreamCaptureModeThreadLocal",
        "cudaStreamCaptureModeGlobal",
    ),
    Mutation(
        "graphs are launched in the default stream",
        f"{HERE}/session.cpp",
        "cudaGraphLaunch(graph_, lane_.stream)",
        "cudaGraphLaunch(graph_, nullptr)",
    ),
    Mutation(
        "a context is captured before it has run",
        f"{HERE}/session.cpp",
        '    if (!context->enqueueV3(lane_.stream)) plan_.fail("run a context");\n',
        "",
    ),
    Mutation(
        "captured graphs are never destroyed",
        f"{HERE}/session.cpp",
        "    if (graph != nullptr) cudaGraphDestroy(graph);\n",
        "",
    ),
    Mutation(
        "old graphs are never destroyed",
        f"{HERE}/session.cpp",
        "    if (graph_ != nullptr) cudaGraphExecDestroy(graph_);\n",
        "",
    ),
    Mutation(
        "memory is freed while work waits in the stream",
        f"{HERE}/session.cpp",
        "    cudaStreamSynchronize(lane_->stream);\n    shapes_.clear();",
        "    shapes_.clear();",
    ),
    Mutation(
        "contexts of a graph are shared with other shapes",
        f"{HERE}/session.cpp",
        "key.insert(key.end(), input->shape.begin(), input->shape.end());",
        "key.push_back(std::int64_t(input->shape.size()));",
    ),
    Mutation(
        "a call leaves the thread on another device",
        f"{HERE}/cuda.hpp",
        "~OnDevice() { cudaSetDevice(before_); }",
        "~OnDevice() {}",
    ),
    Mutation(
        "errors of earlier calls are told again",
        f"{HERE}/backend.cpp",
        "    logger_->forget();\n",
        "",
    ),
    Mutation(
        "texts are not padded to few lengths",
        "trml_rt/native/src/runtime.cpp",
        "Tensors tensors = stack(rows, manifest, model_->backend->works_by_shape());",
        "Tensors tensors = stack(rows, manifest, false);",
    ),
)


def passes(copy: Path) -> bool:
    """Build the tests in the copy, and say whether they pass."""
    build = ["cmake", "--build", "build", "--target", "test_tensorrt", "--parallel", "2"]
    done = subprocess.run(build, cwd=copy, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"it does not compile:\n{done.stdout}{done.stderr}")
    test = ["build/tests/native/test_tensorrt"]
    return subprocess.run(test, cwd=copy, capture_output=True).returncode == 0


def main() -> int:
    """Try every mutation, and name those that survive."""
    with tempfile.TemporaryDirectory() as parent:
        copy = Path(parent) / "copy"
        for name in ("trml_rt/native", "tests/native", "tests/bundles", "tests/conformance"):
            shutil.copytree(ROOT / name, copy / name, ignore=LEFT_OUT)
        (copy / "benchmarks").symlink_to(ROOT / "benchmarks")
        for name in ("CMakeLists.txt", "trml_rt/_version.py"):
            shutil.copy(ROOT / name, copy / name)
        configure = ["cmake", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=None"]
        configure += ["-DCMAKE_CXX_FLAGS=-O0", *(f"-DTRML_RT_{option}" for option in OPTIONS)]
        subprocess.run(configure, cwd=copy, check=True, capture_output=True)
        return try_all(MUTATIONS, copy, passes)


if __name__ == "__main__":
    sys.exit(main())
