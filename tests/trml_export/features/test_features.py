from __future__ import annotations

import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import media
from tests.trml_export.features.small import clip_vectors, compute, picture, sample, text_vector
from trml_export.features.features import Features
from trml_export.features.store import FeatureStore


def test_what_is_absent_stays_absent(clip, tmp_path):
    path = picture(tmp_path / "a.png")
    samples = [sample("a", text="x"), sample("b", video=path)]
    features = compute(samples, clip, tmp_path)
    assert features.has_text.tolist() == [True, False]
    assert features.has_video.tolist() == [False, True]


def test_an_undecodable_video_is_a_missing_modality_with_a_report(clip, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video" * 100)
    features = compute([sample("a", text="x", video=path)], clip, tmp_path)
    assert not features.has_video.any()
    problem = features.problems[0]
    assert (problem.id, problem.input, problem.reason) == ("a", str(path), "undecodable")


def test_a_sample_of_which_nothing_is_left_is_dropped_and_reported(clip, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video" * 100)
    features = compute([sample("a", video=path), sample("b", text="x")], clip, tmp_path)
    assert [sample.id for sample in features.samples] == ["b"]
    assert features.problems[0].id == "a"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"shortest_clip": 3.0}, "too_short"), ({"longest_clip": 1.5}, "too_long")],
)
def test_a_clip_outside_of_the_limits_is_a_missing_modality(clip, tmp_path, limits, reason):
    path = media.write_video(tmp_path / "two_seconds.mp4", 20)
    samples = [sample("a", text="x", video=path)]
    assert compute(samples, clip, tmp_path).has_video.all()
    features = compute(samples, clip, tmp_path, **limits)
    assert not features.has_video.any()
    (problem,) = features.problems
    assert problem.reason == reason
    assert "lasts 2 s" in problem.message


def test_a_picture_has_no_length_to_be_limited(clip, tmp_path):
    samples = [sample("a", video=picture(tmp_path / "a.png"))]
    assert compute(samples, clip, tmp_path, shortest_clip=0.1).has_video.all()


def test_features_travel_to_another_process_without_their_vectors(clip, tmp_path):
    samples = [sample(str(i), text=f"text {i}") for i in range(200)]
    features = compute(samples, clip, tmp_path)
    assert isinstance(features.vectors, np.memmap)
    sent = pickle.dumps(features)
    texts_alone = pickle.dumps(features.samples)
    assert len(sent) - len(texts_alone) < features.vectors.nbytes
    again = pickle.loads(sent)
    assert isinstance(again.vectors, np.memmap)
    assert np.array_equal(again.vectors, features.vectors)


def test_what_is_there_can_be_read_while_another_process_fills_the_store(clip, tmp_path):
    samples = [sample("a", text="x", video=picture(tmp_path / "a.png"))]
    first = compute(samples, clip, tmp_path)
    (folder,) = (tmp_path / "cache").iterdir()
    with FeatureStore(folder, clip.size).writing():
        again = compute(samples, clip, tmp_path)
    assert np.array_equal(text_vector(again), text_vector(first))


def test_equal_vectors_in_memory_share_their_rows_as_in_the_store():
    samples = [sample(f"s{number}") for number in range(3)]
    text, clip = np.ones(4, np.float32), np.zeros((2, 4), np.float32)
    features = Features.of(samples, [text, text + 1, text], [clip, clip, clip[:1]])
    assert features.text_rows[0] == features.text_rows[2] != features.text_rows[1]
    assert features.clip_starts[0] == features.clip_starts[1] != features.clip_starts[2]
    assert len(features.vectors) == 5
    np.testing.assert_array_equal(clip_vectors(features, 2), clip[:1])
    np.testing.assert_array_equal(text_vector(features, 1), text + 1)
