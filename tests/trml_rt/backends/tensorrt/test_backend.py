"""How the TensorRT back end drives CUDA and TensorRT, with stand-ins for both.

Control flow only: addresses, sizes, shapes, the order of calls, graphs, memory. See
fake_tensorrt.py for what that does not prove; nothing here has run on a GPU.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.conftest import TINY
from tests.golden import largest_differences
from tests.trml_rt.backends.tensorrt.fake_cuda import FakeCuda
from tests.trml_rt.backends.tensorrt.fake_tensorrt import FakeTensorRt, fake_plan
from trml_rt.backends import LinkingBackend
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.backends.shaping import ReadsDeviceFrames
from trml_rt.backends.tensorrt.backend import TensorRtBackend, TensorRtEngine
from trml_rt.backends.tensorrt.chain import TensorRtChain
from trml_rt.backends.tensorrt.plans import profile_of
from trml_rt.backends.tensors import lay_out, real_places
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.modality import Modality
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError
from trml_rt.proof.golden import load_golden

BOTH = Modality.TEXT | Modality.VIDEO


@pytest.fixture
def cuda():
    return FakeCuda()


@pytest.fixture
def trt(cuda, monkeypatch):
    module = FakeTensorRt(cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr("trml_rt.backends.tensorrt.backend.cuda_runtime", lambda: cuda)
    return module


@pytest.fixture
def plans(tmp_path):
    bundle = Bundle(TINY)
    for name, spec in bundle.manifest.engines.items():
        plan = fake_plan(bundle.path(spec.file), profile_of(spec, bundle.manifest.axes))
        (tmp_path / name).write_bytes(plan)
    return tmp_path


@pytest.fixture
def dispatcher(trt, plans):
    manifest = Bundle(TINY).manifest
    with Dispatcher(manifest, TensorRtBackend(), lambda name: plans / name) as made:
        yield made


def inputs_of(name, seed=0):
    golden = load_golden(TINY / "golden" / f"{name}.npz")
    rng = np.random.default_rng(seed)
    found = {key: golden[key] for key in ("ids", "frames", "frame_mask") if key in golden}
    if "frames" in found and seed:
        found["frames"] = rng.integers(0, 256, found["frames"].shape, dtype=np.uint8)
    return found


def on_cpu(present, inputs):
    bundle = Bundle(TINY)
    backend = OnnxRuntimeBackend()
    with Dispatcher(
        bundle.manifest, backend, lambda name: bundle.path(bundle.manifest.engines[name].file)
    ) as cpu:
        return cpu.run(present, inputs)[0]


def test_the_back_end_runs_engines_as_chains(trt):
    assert isinstance(TensorRtBackend(), LinkingBackend)
    assert isinstance(TensorRtBackend(), ReadsDeviceFrames)
    assert not isinstance(OnnxRuntimeBackend(), LinkingBackend)


def test_every_engine_set_gives_the_golden_tensors(dispatcher):
    differences = largest_differences(Bundle(TINY), dispatcher)
    assert max(differences.values()) < 1e-5


@pytest.mark.parametrize("runs", [1, 2, 3, 4])
def test_plainly_captured_or_launched_the_answer_is_that_of_the_cpu(dispatcher, cuda, runs):
    for seed in range(1, runs + 1):  # other pixels each time, so a stale buffer would show
        inputs = inputs_of("text_video", seed)
        tensors, _ = dispatcher.run(BOTH, inputs)
    expected = on_cpu(BOTH, inputs)
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(tensors[name], value, atol=1e-6, err_msg=name)
    assert cuda.launches == max(0, runs - 2)


def test_every_engine_has_its_milliseconds_also_in_a_graph(dispatcher):
    for _ in range(3):
        _, milliseconds = dispatcher.run(BOTH, inputs_of("text_video"))
        assert list(milliseconds) == ["text", "frame", "fuse_text_video"]
        assert min(milliseconds.values()) > 0


def test_without_cuda_graphs_nothing_is_captured(trt, plans, cuda):
    backend = TensorRtBackend(cuda_graphs=False)
    with Dispatcher(Bundle(TINY).manifest, backend, lambda name: plans / name) as dispatcher:
        for _ in range(4):
            dispatcher.run(Modality.TEXT, inputs_of("text"))
    assert cuda.launches == 0


def test_what_cannot_be_captured_goes_on_running_plainly(dispatcher, cuda):
    cuda.uncapturable = True
    for seed in range(1, 5):
        inputs = inputs_of("video", seed)
        tensors, _ = dispatcher.run(Modality.VIDEO, inputs)
    np.testing.assert_allclose(
        tensors["prediction"], on_cpu(Modality.VIDEO, inputs)["prediction"], atol=1e-6
    )
    assert cuda.launches == 0


def test_the_engines_of_a_set_share_one_scratch_block_and_their_weights(dispatcher, trt):
    for _ in range(3):
        dispatcher.run(BOTH, inputs_of("text_video"))
    assert len(trt.engines) == 3  # one a plan, however many contexts
    contexts = [context for engine in trt.engines for context in engine.contexts]
    assert len(contexts) == 6  # a plain one and one in the graph, each
    assert len({context.scratch for context in contexts}) == 1


def test_a_graph_belongs_to_shapes_and_places_of_frames(dispatcher, cuda):
    inputs = inputs_of("video")
    other = {**inputs, "frame_mask": inputs["frame_mask"][::-1].copy()}
    for given in (inputs, inputs, inputs, other, other, other):
        tensors, _ = dispatcher.run(Modality.VIDEO, given)
    assert cuda.launches == 2
    expected = on_cpu(Modality.VIDEO, other)["prediction"]
    np.testing.assert_allclose(tensors["prediction"], expected, atol=1e-6)


def test_old_shapes_give_way_and_free_their_graphs(dispatcher, cuda, monkeypatch):
    monkeypatch.setattr("trml_rt.backends.tensorrt.chain._MOST_SHAPES", 2)
    lengths = (1, 2, 3)
    alive = []
    for length in lengths:
        for _ in range(3):
            dispatcher.run(Modality.TEXT, {"ids": np.full((1, length), 4, np.int32)})
        alive.append(len(cuda.alive))
    assert alive[1] == alive[2] == alive[0] + 1


def test_vectors_that_are_kept_are_laid_out_and_uploaded(dispatcher):
    inputs = inputs_of("video")
    kept = on_cpu(Modality.VIDEO, inputs)
    given = {**inputs, "frame_vectors": kept["frame_vectors"]}
    tensors, milliseconds = dispatcher.run(Modality.VIDEO, given)
    assert list(milliseconds) == ["fuse_video"]
    np.testing.assert_allclose(tensors["prediction"], kept["prediction"], atol=1e-6)


def test_a_mask_that_does_not_fit_the_frames_is_refused(dispatcher):
    inputs = inputs_of("video")
    inputs["frames"] = inputs["frames"][:-1]
    with pytest.raises(UsageError, match="frame_mask"):
        dispatcher.run(Modality.VIDEO, inputs)


def test_a_shape_outside_the_profile_is_refused_in_tensorrts_words(dispatcher):
    with pytest.raises(EnvironmentUnfit, match=r"refuses the shape \(9, 2\) of ids: shape"):
        dispatcher.run(Modality.TEXT, {"ids": np.full((9, 2), 4, np.int32)})


def test_on_an_integrated_gpu_nothing_is_copied_between_host_and_device(monkeypatch, plans):
    cuda = FakeCuda(integrated=True)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt(cuda))
    monkeypatch.setattr("trml_rt.backends.tensorrt.backend.cuda_runtime", lambda: cuda)
    with Dispatcher(Bundle(TINY).manifest, TensorRtBackend(), lambda name: plans / name) as made:
        for seed in (1, 2, 3):
            inputs = inputs_of("text_video", seed)
            tensors, _ = made.run(BOTH, inputs)
    assert {ends for ends, _ in cuda.copies} == {("mapped", "device")}  # laid out by the mask
    expected = on_cpu(BOTH, inputs)["prediction"]
    np.testing.assert_allclose(tensors["prediction"], expected, atol=1e-6)


def test_closing_frees_every_byte_stream_event_and_graph(trt, plans, cuda):
    with Dispatcher(Bundle(TINY).manifest, TensorRtBackend(), lambda name: plans / name) as made:
        for _ in range(3):
            made.run(BOTH, inputs_of("text_video"))
            made.run(Modality.TEXT, inputs_of("text"))
    assert (cuda.buffers, cuda.alive) == ({}, set())


def test_a_clone_runs_on_the_same_plans_while_the_first_chain_is_busy(dispatcher):
    inputs = inputs_of("text")
    expected, _ = dispatcher.run(Modality.TEXT, inputs)
    [busy] = dispatcher._chains.values()
    engines = dict(dispatcher._engines._loaded)
    with dispatcher.clone() as clone:
        assert clone._chains == {}  # else the next lines would wait for ever
        with busy._lock:
            tensors, _ = clone.run(Modality.TEXT, inputs)
        assert clone._engines._loaded == engines
    np.testing.assert_array_equal(tensors["prediction"], expected["prediction"])
    dispatcher.run(Modality.TEXT, inputs)


def test_what_a_clone_took_of_the_gpu_is_freed_when_it_is_closed(dispatcher, cuda):
    dispatcher.run(Modality.TEXT, inputs_of("text"))
    before = (dict(cuda.buffers), set(cuda.alive))
    clone = dispatcher.clone()
    clone.run(Modality.TEXT, inputs_of("text"))
    assert len(cuda.buffers) > len(before[0])
    clone.close()
    assert (cuda.buffers, cuda.alive) == before


def test_a_closed_chain_refuses(dispatcher):
    dispatcher.run(Modality.TEXT, inputs_of("text"))
    chain = next(iter(dispatcher._chains.values()))
    chain.close()
    with pytest.raises(UsageError, match="closed"):
        chain.run(inputs_of("text"))


def test_an_engine_runs_by_itself_too(trt, plans, cuda):
    spec = Bundle(TINY).manifest.engines["text"]
    engine = TensorRtBackend().load(spec, plans / "text")
    inputs = inputs_of("text")
    expected = on_cpu(Modality.TEXT, inputs)["text_vector"]
    np.testing.assert_allclose(engine.run(inputs)["text_vector"], expected, atol=1e-6)
    engine.close()
    engine.close()
    with pytest.raises(UsageError, match="closed"):
        engine.run(inputs)
    assert cuda.buffers == {}


def test_a_null_runtime_is_an_error_with_tensorrts_last_words(trt):
    trt.null_runtime = True
    with pytest.raises(EnvironmentUnfit, match="makes no runtime: CUDA initialization failure"):
        TensorRtBackend()


def test_a_plan_that_tensorrt_refuses_is_said_with_its_last_words(trt, tmp_path):
    (tmp_path / "plan").write_bytes(b"\0" * 10)
    with pytest.raises(ArtefactMismatch, match="cannot load it: the plan is of another version"):
        TensorRtBackend().load(Bundle(TINY).manifest.engines["text"], tmp_path / "plan")


def test_a_plan_of_other_tensors_is_refused(trt, plans):
    with pytest.raises(ArtefactMismatch, match="input 'ids': nothing stated, int32 found"):
        TensorRtBackend().load(Bundle(TINY).manifest.engines["frame"], plans / "text")


def test_no_context_is_an_error_at_once_and_frees_what_was_there(dispatcher, trt, cuda):
    trt.no_contexts = True
    with pytest.raises(EnvironmentUnfit, match="no context for text: no room for a context"):
        dispatcher.run(Modality.TEXT, inputs_of("text"))
    assert (cuda.buffers, cuda.alive) == ({}, set())


def test_no_room_for_a_graph_is_no_error(dispatcher, trt, cuda):
    dispatcher.run(Modality.TEXT, inputs_of("text"))
    trt.no_contexts = True
    for _ in range(3):
        tensors, _ = dispatcher.run(Modality.TEXT, inputs_of("text"))
    assert cuda.launches == 0
    assert tensors["prediction"].shape == (2, 1)


def test_too_little_gpu_memory_is_said_in_cudas_words(monkeypatch, plans):
    cuda = FakeCuda(memory=100)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt(cuda))
    monkeypatch.setattr("trml_rt.backends.tensorrt.backend.cuda_runtime", lambda: cuda)
    with (
        Dispatcher(Bundle(TINY).manifest, TensorRtBackend(), lambda name: plans / name) as made,
        pytest.raises(EnvironmentUnfit, match=r"CUDA: cudaMalloc: out of memory \(error 2\)"),
    ):
        made.run(Modality.TEXT, inputs_of("text"))


@pytest.mark.parametrize("seed", range(20))
def test_copying_runs_of_places_is_laying_out(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((3, 5)) < rng.random()
    vectors = rng.normal(size=(mask.sum(), 2)).astype(np.float32)
    spread = np.zeros((15, 2), np.float32)
    for place, vector, count in real_places(mask):
        spread[place : place + count] = vectors[vector : vector + count]
    expected = lay_out(vectors, 3, {"frame_mask": mask})
    np.testing.assert_array_equal(spread.reshape(3, 5, 2), expected)


def test_an_error_ends_in_what_its_own_call_said(dispatcher, trt, tmp_path):
    with pytest.raises(EnvironmentUnfit):
        dispatcher.run(Modality.TEXT, {"ids": np.full((9, 2), 4, np.int32)})
    (tmp_path / "plan").write_bytes(b"\0" * 10)
    with pytest.raises(ArtefactMismatch, match=r"cannot load it: the plan is of another version$"):
        dispatcher._backend.load(Bundle(TINY).manifest.engines["text"], tmp_path / "plan")


def test_other_threads_run_on_the_device_that_was_loaded_on(trt, plans, cuda):
    cuda.device = 1
    with Dispatcher(Bundle(TINY).manifest, TensorRtBackend(), lambda name: plans / name) as made:
        cuda.device = 0  # that of another thread
        seen, real = set(), cuda.work
        cuda.work = lambda *words: seen.add(cuda.device) or real(*words)
        for _ in range(3):
            made.run(Modality.TEXT, inputs_of("text"))
        assert (seen, cuda.device) == ({1}, 0)


def test_chains_close_before_their_engines(trt, plans, monkeypatch):
    closed = []
    for kind in (TensorRtChain, TensorRtEngine):
        real = kind.close
        note = lambda self, real=real: closed.append(type(self)) or real(self)  # noqa: E731
        monkeypatch.setattr(kind, "close", note)
    with Dispatcher(Bundle(TINY).manifest, TensorRtBackend(), lambda name: plans / name) as made:
        made.run(Modality.TEXT, inputs_of("text"))
    assert closed == [TensorRtChain, TensorRtEngine, TensorRtEngine]
