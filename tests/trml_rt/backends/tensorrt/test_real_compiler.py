"""Every exported graph compiles, in every precision, with the real compiler of TensorRT for RTX.

It compiles for a GPU that is not here, so this proves that the graphs parse, are strongly typed,
and build with their profiles. It proves nothing about speed or answers on a GPU, and nothing about
Orin, which this compiler has no target for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.conftest import TINY, file_entry
from tests.trml_rt.backends.tensorrt.graphs_by_precision import PRECISIONS, graph_in
from trml_rt.backends.tensorrt.child import compile_apart
from trml_rt.backends.tensorrt.compiler import PlanRequest, compile_plan
from trml_rt.backends.tensorrt.plans import profile_of
from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.errors import EnvironmentUnfit, UsageError, VerificationFailed

trt = pytest.importorskip(
    "tensorrt_rtx", reason='needs the compiler of TensorRT for RTX: pip install ".[rtx]"'
)
onnx = pytest.importorskip("onnx", reason='needs onnx: pip install ".[build]"')

ENGINES = ["text", "frame", "fuse_text", "fuse_video", "fuse_text_video"]
TARGETS = {"8.6": "RTX 30, A10", "8.9": "RTX 40, L4", "12.0": "RTX 50"}


@pytest.fixture(scope="module")
def vit_b32():
    """A bundle of ViT-B/32 with random weights, made as by `make reference`, of three layers.

    The other nine are as the second: the same nodes of the same sizes.
    """
    pytest.importorskip("torch", reason="needs the training extra")
    root = Path(__file__).parents[4]
    paths = os.pathsep.join(str(root / part) for part in (".", "export", "calibration"))
    with tempfile.TemporaryDirectory() as folder:
        backbone = tiny.shallow_vit_b32(Path(folder) / "backbone")
        script = [sys.executable, root / "benchmarks" / "random_bundle.py"]
        subprocess.run(
            [*script, "--backbone", backbone, "--out", f"{folder}/bundle"],
            env={**os.environ, "PYTHONPATH": paths},
            check=True,
        )
        yield Path(folder) / "bundle"


def request(folder, engine, precision="fp32", *, bundle=None, targets=("8.9",)):
    opened = Bundle(bundle or default_bundle())
    spec = opened.manifest.engines[engine]
    graph, computes = graph_in(precision, opened, engine, folder)
    return PlanRequest(
        backend="tensorrt-rtx",
        graph=str(graph),
        plan=str(folder / f"{engine}.plan"),
        precision=computes,
        profile=profile_of(spec, opened.manifest.axes),
        targets=list(targets),
    )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_graph_of_the_shipped_bundle_compiles_for_every_target(tmp_path, engine, precision):
    wanted = request(tmp_path, engine, precision, targets=TARGETS)
    report = compile_plan(wanted)
    assert report.network.get(wanted.precision, 0) > 0
    assert precision == "fp32" or "fp32" not in report.network
    assert report.bytes > 50_000


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_graph_of_vit_b32_compiles_for_every_target(tmp_path, vit_b32, engine, precision):
    wanted = request(tmp_path, engine, precision, bundle=vit_b32, targets=TARGETS)
    report = compile_plan(wanted)
    assert report.network.get(wanted.precision, 0) > 0
    assert precision == "fp32" or "fp32" not in report.network
    assert report.bytes > 1_000_000


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_graph_of_the_tiny_bundle_compiles_for_each_target_alone(
    tmp_path, engine, precision, target
):
    report = compile_plan(request(tmp_path, engine, precision, bundle=TINY, targets=[target]))
    assert report.bytes > 50_000


def test_the_dynamic_axes_reach_the_plan_as_a_profile(tmp_path):
    wanted = request(tmp_path, "text", bundle=TINY)
    assert wanted.profile == {"ids": ([1, 1], [1, 4], [3, 8])}
    beyond = replace(wanted, profile={"ids": ([1, 1], [1, 4], [0, 8])})
    with pytest.raises(EnvironmentUnfit, match="TensorRT"):
        compile_plan(beyond)


def test_int8_of_an_encoder_is_explicit_and_the_rest_of_its_products_is_fp16(tmp_path):
    report = compile_plan(request(tmp_path, "text", "int8"))
    assert report.network == {"fp16": 12, "int8": 37}


def test_a_product_of_a_quantised_activation_and_a_float_weight_is_not_int8(tmp_path):
    from tests.trml_calibration import onnx_graphs

    size = onnx_graphs.SIZE
    constants = {
        "scale": np.array(0.1, np.float32),
        "zero": np.array(0, np.int8),
        "weight": np.ones((size, size), np.float32),
    }
    nodes = [
        ("QuantizeLinear", ["x", "scale", "zero"], "quantised", {}),
        ("DequantizeLinear", ["quantised", "scale", "zero"], "rounded", {}),
        ("MatMul", ["rounded", "weight"], "vector", {}),
    ]
    inputs = [("x", "float", ["rows", size])]
    wanted = PlanRequest(
        backend="tensorrt-rtx",
        graph=str(onnx_graphs.write(tmp_path / "g.onnx", nodes, inputs, "vector", constants)),
        plan=str(tmp_path / "g.plan"),
        precision="int8",
        profile={"x": ([1, size], [1, size], [2, size])},
        targets=["8.9"],
    )
    with pytest.raises(VerificationFailed, match=r"no layer computes in int8 \(1 fp32\)"):
        compile_plan(wanted)


def test_weights_that_are_only_stored_in_fp16_do_not_pass_for_fp16(tmp_path):
    wanted = replace(request(tmp_path, "fuse_text"), precision="fp16")
    with pytest.raises(VerificationFailed, match=r"no layer computes in fp16 \(5 fp32\)"):
        compile_plan(wanted)


def test_an_fp16_graph_does_not_pass_for_int8(tmp_path):
    wanted = replace(request(tmp_path, "text", "fp16"), precision="int8")
    with pytest.raises(VerificationFailed, match="no layer computes in int8"):
        compile_plan(wanted)


def test_orin_is_no_target_of_this_compiler_and_it_says_so(tmp_path):
    with pytest.raises(EnvironmentUnfit, match=r"does not compile for SM87; it does for .*SM89"):
        compile_plan(request(tmp_path, "fuse_text", bundle=TINY, targets=["8.7"]))


def test_a_graph_that_is_none_is_refused_in_tensorrts_words(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a graph")
    wanted = replace(request(tmp_path, "fuse_text", bundle=TINY), graph=str(broken))
    with pytest.raises(EnvironmentUnfit, match=r"cannot parse .*broken\.onnx: .*[Mm]odel"):
        compile_plan(wanted)


def test_without_a_gpu_the_compiler_says_what_cuda_says(tmp_path):
    if _has_gpu():
        pytest.skip("there is a GPU")
    with pytest.raises(EnvironmentUnfit, match="CUDA"):
        compile_plan(request(tmp_path, "fuse_text", bundle=TINY, targets=[]))


def test_doctor_finds_the_library_and_where_it_came_from():
    from trml_rt.backends.tensorrt.doctor import nvidia_checks

    checks = {check.name: check for check in nvidia_checks("tensorrt-rtx", True)}
    found = checks["back end tensorrt-rtx"]
    assert found.ok
    assert found.found.startswith(f"{trt.__version__} from ")
    assert "libtensorrt_rtx.so" in found.found


def test_only_rtx_compiles_for_a_gpu_that_is_not_here(monkeypatch, tmp_path):
    wanted = replace(request(tmp_path, "fuse_text", bundle=TINY), backend="tensorrt")
    monkeypatch.setattr("trml_rt.backends.tensorrt.compiler.import_tensorrt", lambda _: trt)
    with pytest.raises(UsageError, match="only tensorrt-rtx"):
        compile_plan(wanted)


def test_a_process_of_its_own_reports_progress_and_the_same_plan(tmp_path):
    steps = []
    report = compile_apart(
        request(tmp_path, "fuse_video"), lambda phase, step, of: steps.append((step, of))
    )
    assert [step for step, _ in steps] == list(range(len(steps)))
    assert (tmp_path / "fuse_video.plan").stat().st_size == report.bytes
    assert 100 < report.peak_mib < 1000
    assert any("Opset version" in line for line in report.log)


def test_the_peak_of_memory_is_the_compilers_own(tmp_path):
    held = b"1" * (700 << 20)  # what the parent holds must not count
    report = compile_apart(request(tmp_path, "fuse_text", bundle=TINY))
    assert len(held) >> 20 > report.peak_mib


def test_an_error_of_the_other_process_is_the_same_error_here(tmp_path):
    with pytest.raises(VerificationFailed, match="no layer computes in fp16"):
        compile_apart(replace(request(tmp_path, "fuse_text"), precision="fp16"))


def test_a_plan_is_a_plan_and_nothing_else(tmp_path):
    wanted = request(tmp_path, "fuse_text", bundle=TINY)
    before = {*tmp_path.iterdir()}
    compile_plan(wanted)
    assert (tmp_path / "fuse_text.plan").read_bytes()[:4] == b"vtrt"  # RTX's own first bytes
    assert {*tmp_path.iterdir()} - before == {tmp_path / "fuse_text.plan"}


def test_a_request_travels_as_json(tmp_path):
    from dataclasses import asdict

    wanted = request(tmp_path, "text", bundle=TINY)
    assert PlanRequest(**json.loads(json.dumps(asdict(wanted)))).graph == wanted.graph


def _has_gpu() -> bool:
    from trml_rt.backends.tensorrt.cuda import current_gpu
    from trml_rt.errors import TrmlError

    try:
        current_gpu("tensorrt-rtx")
    except TrmlError:
        return False
    return True


def test_the_command_builds_for_a_gpu_elsewhere_and_says_that_nothing_was_verified(bundle_copy):
    from click.testing import CliRunner

    from trml_rt.cli import trml_rt as cli

    words = ["build", "--bundle", str(bundle_copy), "--backend", "tensorrt-rtx", "--target", "8.6"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip().endswith(", not verified")
    (folder,) = (bundle_copy / "engines").glob("sm86_rtx*_fp32_*")
    content = json.loads((folder / "manifest.json").read_text())
    assert content["products"]["frame"] == {"fp32": 1}
    assert content["plan_layers"] == {}


def test_a_build_leaves_in_fp32_what_comes_near_the_limit_on_the_golden_inputs(
    bundle_copy, edit_manifest
):
    from click.testing import CliRunner

    from trml_rt.cli import trml_rt as cli

    path = bundle_copy / "onnx" / "frame.onnx"
    model = onnx.load(path)
    nodes = list(model.graph.node)
    place = [node.op_type for node in nodes].index("MatMul")
    make = onnx.helper.make_node
    nodes[place:place] = [  # means of pixels, times 200 and divided by it
        make("Mul", [nodes[place].input[0], "loud"], ["louder"], "louder"),
        make("Div", ["louder", "loud"], ["again"], "again"),
    ]
    nodes[place + 2].input[0] = "again"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(200), "loud"))
    onnx.save(model, path)
    edit_manifest(lambda m: m["files"].update({"onnx/frame.onnx": file_entry(path)}))

    words = ["build", "--bundle", str(bundle_copy), "--backend", "tensorrt-rtx", "--target", "8.6"]
    result = CliRunner().invoke(cli, [*words, "--precision", "fp16", "--json"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert {"louder", "again"} <= set(content["islands"]["frame"])
    assert content["products"]["frame"] == {"fp16": 1}
