"""The dispatcher: which engines run, when they load, and how tensors travel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY
from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.modality import Modality
from trml_rt.engines.dispatch import Dispatcher, lay_out
from trml_rt.errors import ArtefactMismatch, UsageError


def shape_of_one(tensor):
    """Return the shape of a tensor where every axis has the size 1."""
    return [1 if isinstance(size, str) else size for size in tensor.shape]


class SumEngine:
    """Adds up the means of its inputs and gives the sum as every number of each output."""

    def __init__(self, spec):
        self.spec = spec
        self.closed = 0
        self.runs = 0

    def run(self, inputs):
        self.runs += 1
        total = np.float32(sum(float(value.mean()) for value in inputs.values()))
        return {t.name: np.full(shape_of_one(t), total) for t in self.spec.outputs}

    def close(self):
        self.closed += 1


class SumBackend:
    name = "sum"

    def __init__(self):
        self.engines = {}

    def load(self, engine, path):
        self.engines[path.name] = SumEngine(engine)
        return self.engines[path.name]


@pytest.fixture
def backend():
    return SumBackend()


@pytest.fixture
def dispatcher(backend):
    with Dispatcher(Bundle(TINY).manifest, backend, Path) as made:
        yield made


def test_text_alone_never_loads_the_image_encoder(dispatcher, backend):
    tensors, _ = dispatcher.run(Modality.TEXT, {"ids": np.array([[2]])})
    assert tensors["prediction"] == [[2.0]]
    assert list(backend.engines) == ["text", "fuse_text"]


def test_the_engines_of_a_set_are_shared_with_the_next(dispatcher, backend):
    dispatcher.run(Modality.TEXT, {"ids": np.array([[2]])})
    first = backend.engines["text"]
    dispatcher.run(Modality.TEXT, {"ids": np.array([[3]])})
    assert backend.engines["text"] is first


def test_an_engine_whose_outputs_are_given_is_not_loaded(dispatcher, backend):
    inputs = {"ids": np.array([[2]])}
    kept, _ = dispatcher.run(Modality.TEXT, inputs)
    fresh = SumBackend()
    with Dispatcher(Bundle(TINY).manifest, fresh, Path) as other:
        tensors, _ = other.run(Modality.TEXT, {"text_vector": kept["text_vector"]})
    assert tensors["prediction"] == kept["prediction"]
    assert list(fresh.engines) == ["fuse_text"]


def test_what_an_encoder_made_alone_is_what_it_makes_in_a_set(dispatcher, backend):
    expected, _ = dispatcher.run(Modality.TEXT, {"ids": np.array([[2]])})
    assert dispatcher.encoder("ids") == "text"
    assert dispatcher.encoder("frames") == "frame"
    made, ms = dispatcher.encode("text", {"ids": np.array([[2]])})
    assert list(made) == ["text_vector"]
    assert np.array_equal(made["text_vector"], expected["text_vector"])
    assert ms >= 0


INPUTS = {
    "ids": np.array([[2]]),
    "frames": np.array([[[[3]]]]),
    "frame_mask": np.array([[True, False, False, False]]),
}


@pytest.mark.parametrize(
    ("names", "sets"),
    [
        (["ids"], ["text"]),
        (["frames", "frame_mask"], ["video"]),
        (["ids", "frames", "frame_mask"], ["text", "text_video", "video"]),
        (["frames"], []),
    ],
)
def test_all_sets_run_that_the_inputs_allow_and_no_others(dispatcher, names, sets):
    assert sorted(dispatcher.run_all({name: INPUTS[name] for name in names})) == sets


def test_an_encoder_runs_once_for_all_sets(dispatcher, backend):
    dispatcher.run_all(INPUTS)
    assert {name: engine.runs for name, engine in backend.engines.items()} == dict.fromkeys(
        ["text", "frame", "fuse_text", "fuse_video", "fuse_text_video"], 1
    )


def test_each_set_has_a_prediction_of_its_own(dispatcher):
    both = dispatcher.run_all(INPUTS)
    for names, name in ((["ids"], "text"), (["frames", "frame_mask"], "video")):
        alone = dispatcher.run_all({key: INPUTS[key] for key in names})[name]
        assert both[name]["prediction"] == alone["prediction"]
        assert both["text_video"]["prediction"] != alone["prediction"]


def test_a_prediction_among_the_inputs_is_made_anew(dispatcher):
    expected = dispatcher.run_all(INPUTS)["text_video"]["prediction"]
    stale = INPUTS | {"prediction": np.array([[-1.0]])}
    assert dispatcher.run_all(stale)["text_video"]["prediction"] == expected


def test_only_the_sets_that_are_named_run(dispatcher, backend):
    [text_set] = [s for s in Bundle(TINY).manifest.engine_sets if s.name == "text"]
    assert list(dispatcher.run_all(INPUTS, [text_set])) == ["text"]
    assert list(backend.engines) == ["text", "fuse_text"]


def test_every_engine_is_timed(dispatcher):
    _, milliseconds = dispatcher.run(Modality.TEXT, {"ids": np.array([[2]])})
    assert list(milliseconds) == ["text", "fuse_text"]


def test_nothing_present_is_refused(dispatcher):
    with pytest.raises(UsageError, match="does not serve nothing"):
        dispatcher.select(Modality(0))


def test_a_closed_dispatcher_refuses_to_run_and_closes_twice(dispatcher, backend):
    dispatcher.run(Modality.TEXT, {"ids": np.array([[2]])})
    dispatcher.close()
    dispatcher.close()
    assert backend.engines["text"].closed == 1
    with pytest.raises(UsageError, match="closed"):
        dispatcher.run(Modality.TEXT, {"ids": np.array([[2]])})


def test_engines_are_freed_with_the_last_clone(dispatcher, backend):
    inputs = {"ids": np.array([[2]])}
    clone = dispatcher.clone()
    expected, _ = clone.run(Modality.TEXT, inputs)
    dispatcher.close()
    dispatcher.close()
    assert backend.engines["text"].closed == 0
    assert clone.run(Modality.TEXT, inputs)[0]["prediction"] == expected["prediction"]
    clone.close()
    assert backend.engines["text"].closed == 1
    for each in (dispatcher, clone):
        with pytest.raises(UsageError, match="closed"):
            each.run(Modality.TEXT, inputs)


class WrongBackend(SumBackend):
    """Its engines give `wrong` of what they should, under the name of one output."""

    def __init__(self, output, wrong):
        super().__init__()
        self.output, self.wrong = output, wrong

    def load(self, engine, path):
        loaded = super().load(engine, path)
        right = loaded.run

        def run(inputs):
            outputs = right(inputs)
            if self.output in outputs:
                outputs[self.output] = self.wrong(outputs[self.output])
            return outputs

        loaded.run = run
        return loaded


class LinkingBackend(WrongBackend):
    """Also runs engines as a chain, each on what those before it gave."""

    def link(self, engines):
        self.linked = engines
        return self

    def run(self, tensors):
        made = {}
        for engine in self.linked.values():
            given = tensors | made
            feed = {t.name: lay_out(given[t.name], len(t.shape), given) for t in engine.spec.inputs}
            made |= engine.run(feed)
        return made, dict.fromkeys(self.linked, 1.0)

    def close(self):
        pass


THREE_FRAMES = {
    "frames": np.zeros((3, 8, 8, 3), np.uint8),
    "frame_mask": np.array([[True, True, True, False]]),
}


@pytest.mark.parametrize("kind", [WrongBackend, LinkingBackend])
@pytest.mark.parametrize(
    ("output", "wrong", "found"),
    [
        ("prediction", lambda a: np.hstack([a, a]), r"\[1, 1\], float32 \[1, 2\] found"),
        ("prediction", lambda a: np.vstack([a, a]), r"\[1, 1\], float32 \[2, 1\] found"),
        ("prediction", lambda a: a[0], r"\[1, 1\], float32 \[1\] found"),
        ("prediction", lambda a: a.astype(np.float64), "float64"),
        ("prediction", lambda a: a.astype(">f4"), ">f4|float32"),
        ("prediction", lambda a: a.tolist(), "list found"),
        ("prediction", lambda a: None, "nothing found"),
        ("virtual_text", lambda a: a[:, :3], r"\[1, 4\], float32 \[1, 3\] found"),
    ],
)
def test_an_output_of_another_shape_or_type_is_refused_by_name(kind, output, wrong, found):
    with (
        Dispatcher(Bundle(TINY).manifest, kind(output, wrong), Path) as engines,
        pytest.raises(ArtefactMismatch, match=f"fuse_video on sum: '{output}' must be .*{found}"),
    ):
        engines.run(Modality.VIDEO, THREE_FRAMES | {"frame_vectors": np.ones((3, 4), np.float32)})


@pytest.mark.parametrize("kind", [WrongBackend, LinkingBackend])
def test_one_vector_for_three_frames_is_refused_and_not_spread(kind):
    with (
        Dispatcher(Bundle(TINY).manifest, kind("", None), Path) as engines,
        pytest.raises(ArtefactMismatch, match=r"3 frames|'frame_vectors' must be float32 .3, 4."),
    ):
        engines.run(Modality.VIDEO, THREE_FRAMES)


def test_an_output_that_the_manifest_does_not_know_is_refused():
    class Backend(SumBackend):
        def load(self, engine, path):
            loaded = super().load(engine, path)
            right = loaded.run
            loaded.run = lambda inputs: right(inputs) | {"frame_mask": np.ones((1, 4), bool)}
            return loaded

    with (
        Dispatcher(Bundle(TINY).manifest, Backend(), Path) as engines,
        pytest.raises(ArtefactMismatch, match="text on sum: 'frame_mask' is no output"),
    ):
        engines.run(Modality.TEXT, {"ids": np.array([[2]])})


def test_outputs_that_are_no_dict_are_refused(backend):
    with Dispatcher(Bundle(TINY).manifest, backend, Path) as engines:
        engines.run(Modality.TEXT, {"ids": np.array([[2]])})
        backend.engines["text"].run = lambda inputs: [inputs["ids"]]
        with pytest.raises(ArtefactMismatch, match="a dict of arrays expected, list found"):
            engines.run(Modality.TEXT, {"ids": np.array([[2]])})


def test_a_graph_of_onnx_that_leaves_its_shape_open_is_held_to_the_manifest(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    vector = helper.make_tensor_value_info("text_vector", float32, ["batch", 4])
    outputs = [
        helper.make_tensor_value_info("prediction", float32, ["batch", "k"]),
        helper.make_tensor_value_info("virtual_video", float32, ["batch", 4]),
    ]
    nodes = [
        helper.make_node("Compress", ["text_vector", "two"], ["prediction"], axis=1),
        helper.make_node("Identity", ["text_vector"], ["virtual_video"]),
    ]
    two = helper.make_tensor("two", onnx.TensorProto.BOOL, [4], [1, 1, 0, 0])
    graph = helper.make_graph(nodes, "fuse_text", [vector], outputs, [two])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "fuse_text.onnx")
    with (
        Dispatcher(
            Bundle(TINY).manifest, OnnxRuntimeBackend(), lambda name: tmp_path / f"{name}.onnx"
        ) as engines,
        pytest.raises(ArtefactMismatch, match=r"'prediction' must be float32 \[2, 1\], .*\[2, 2\]"),
    ):
        engines.run(Modality.TEXT, {"text_vector": np.ones((2, 4), np.float32)})


def test_frame_vectors_are_laid_out_by_the_mask():
    packed = np.array([[1.0], [2.0], [3.0]])
    mask = np.array([[True, True], [True, False]])
    assert lay_out(packed, 3, {"frame_mask": mask}).tolist() == [[[1], [2]], [[3], [0]]]


@pytest.mark.parametrize("vectors", [np.ones((1, 1)), np.ones((2, 1)), np.ones(1)])
def test_vectors_that_do_not_fit_the_mask_are_refused_and_not_spread(vectors):
    with pytest.raises(ArtefactMismatch, match="are there for 3 frames; export the bundle again"):
        lay_out(vectors, 3, {"frame_mask": np.array([[True, True], [True, False]])})


def test_a_tensor_of_the_right_rank_passes_untouched():
    tensor = np.zeros((2, 3))
    assert lay_out(tensor, 2, {}) is tensor
