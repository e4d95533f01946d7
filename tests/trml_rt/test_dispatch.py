"""The dispatcher: which engines run, when they load, and how tensors travel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY
from trml_rt.bundle.folder import Bundle
from trml_rt.bundle.modality import Modality
from trml_rt.dispatch import Dispatcher, lay_out
from trml_rt.errors import UsageError


class SumEngine:
    """Adds up all its inputs and gives the sum under each output's name."""

    def __init__(self, spec):
        self.spec = spec
        self.closed = 0
        self.runs = 0

    def run(self, inputs):
        self.runs += 1
        total = np.float32(sum(float(value.sum()) for value in inputs.values()))
        return {t.name: np.full([1] * len(t.shape), total) for t in self.spec.outputs}

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


def test_frame_vectors_are_laid_out_by_the_mask():
    packed = np.array([[1.0], [2.0], [3.0]])
    mask = np.array([[True, True], [True, False]])
    assert lay_out(packed, 3, {"frame_mask": mask}).tolist() == [[[1], [2]], [[3], [0]]]


def test_a_tensor_of_the_right_rank_passes_untouched():
    tensor = np.zeros((2, 3))
    assert lay_out(tensor, 2, {}) is tensor
