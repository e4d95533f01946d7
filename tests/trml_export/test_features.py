from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image

from trml_export.data import Sample
from trml_export.feature_store import FeatureStore, Stored
from trml_export.features import compute_features, read_clip
from trml_rt.errors import ArtefactMismatch, InputUnusable


def _sample(name, *, text=None, video=None) -> Sample:
    return Sample(id=name, split="train", text=text, video=video, target=0.0)


def _picture(path, level=128):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 48), (level, level // 2, 255 - level)).save(path)
    return path


def _compute(samples, backbone, tmp_path, *, frames=4):
    return compute_features(samples, backbone, frames=frames, cache=tmp_path / "cache")


class _Counting:
    """A backbone that counts what it is asked to encode."""

    def __init__(self, backbone) -> None:
        self._backbone = backbone
        self.texts = self.frames = 0

    def __getattr__(self, name):
        return getattr(self._backbone, name)

    def encode_text(self, ids):
        self.texts += len(ids)
        return self._backbone.encode_text(ids)

    def encode_image(self, pixels):
        self.frames += len(pixels)
        return self._backbone.encode_image(pixels)


def test_a_text_is_encoded_as_open_clip_does(clip, tmp_path):
    features = _compute([_sample("a", text="a happy day")], clip, tmp_path)
    expected = clip.model.encode_text(clip.tokenizer(["a happy day"]))[0]
    torch.testing.assert_close(torch.tensor(features.text[0]), expected, atol=1e-6, rtol=1e-5)


def test_a_picture_is_encoded_as_open_clip_does(clip, tmp_path):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    path = _picture(tmp_path / "a.png")
    features = _compute([_sample("a", video=path)], clip, tmp_path)
    transform = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    expected = clip.encode_image(transform(Image.open(path)).unsqueeze(0))
    torch.testing.assert_close(torch.tensor(features.video[0]), expected, atol=1e-5, rtol=1e-5)


def test_a_folder_gives_its_pictures_in_order_evenly_chosen(tmp_path):
    for index in range(6):
        _picture(tmp_path / "clip" / f"{index}.png", level=index * 40)
    (tmp_path / "clip" / "notes.txt").write_text("no picture")
    frames = read_clip(tmp_path / "clip", 3).frames
    assert [frame.getpixel((0, 0))[0] for frame in frames] == [40, 120, 200]


def test_a_folder_without_a_picture_is_unusable(tmp_path):
    with pytest.raises(InputUnusable, match="no picture"):
        read_clip(tmp_path, 3)


def test_what_is_absent_stays_absent(clip, tmp_path):
    path = _picture(tmp_path / "a.png")
    samples = [_sample("a", text="x"), _sample("b", video=path)]
    features = _compute(samples, clip, tmp_path)
    assert [vector is not None for vector in features.text] == [True, False]
    assert [vector is not None for vector in features.video] == [False, True]


def test_an_undecodable_video_is_a_missing_modality_with_a_report(clip, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video" * 100)
    features = _compute([_sample("a", text="x", video=path)], clip, tmp_path)
    assert features.video == (None,)
    problem = features.problems[0]
    assert (problem.id, problem.input, problem.reason) == ("a", str(path), "undecodable")


def test_a_sample_of_which_nothing_is_left_is_dropped_and_reported(clip, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video" * 100)
    features = _compute([_sample("a", video=path), _sample("b", text="x")], clip, tmp_path)
    assert [sample.id for sample in features.samples] == ["b"]
    assert features.problems[0].id == "a"


def test_texts_are_encoded_as_on_the_full_sequence(clip, tmp_path):
    texts = ["x", "a good deal longer than the other one", "so so"]
    features = _compute([_sample(t, text=t) for t in texts], clip, tmp_path)
    with torch.inference_mode():
        full = clip.model.encode_text(clip.tokenize(texts)).numpy()
    np.testing.assert_allclose(np.stack(features.text), full, atol=1e-5)


def test_nothing_is_encoded_twice(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("trml_export.features.cutting_is_exact", lambda _: False)
    path = _picture(tmp_path / "a.png")
    samples = [_sample("a", text="x", video=path), _sample("b", text="x", video=path)]
    first, second = _Counting(clip), _Counting(clip)
    _compute(samples, first, tmp_path)
    _compute(samples, second, tmp_path)
    assert (first.texts, first.frames) == (1, 1)
    assert (second.texts, second.frames) == (0, 0)


def test_the_cache_gives_the_very_same_numbers(clip, tmp_path):
    samples = [_sample("a", text="x", video=_picture(tmp_path / "a.png"))]
    first = _compute(samples, clip, tmp_path)
    second = _compute(samples, clip, tmp_path)
    assert np.array_equal(first.text[0], second.text[0])
    assert np.array_equal(first.video[0], second.video[0])


def test_a_file_that_moves_is_found_again(clip, tmp_path):
    path = _picture(tmp_path / "a.png")
    _compute([_sample("a", video=path)], clip, tmp_path)
    moved = path.rename(tmp_path / "moved.png")
    counting = _Counting(clip)
    _compute([_sample("a", video=moved)], counting, tmp_path)
    assert counting.frames == 0


def test_a_file_that_changes_is_encoded_again(clip, tmp_path):
    before = _compute([_sample("a", video=_picture(tmp_path / "a.png"))], clip, tmp_path)
    after = _compute([_sample("a", video=_picture(tmp_path / "a.png", 7))], clip, tmp_path)
    assert not np.array_equal(before.video[0], after.video[0])


def test_another_number_of_frames_is_another_feature(clip, tmp_path):
    for index in range(4):
        _picture(tmp_path / "clip" / f"{index}.png", level=index * 40)
    samples = [_sample("a", video=tmp_path / "clip")]
    assert _compute(samples, clip, tmp_path, frames=4).video[0].shape[0] == 4
    assert _compute(samples, clip, tmp_path, frames=2).video[0].shape[0] == 2


def test_an_interrupted_run_goes_on_where_it_was(clip, tmp_path):
    class _Interrupted(_Counting):
        def encode_image(self, pixels):
            if self.frames == 2:
                raise KeyboardInterrupt
            return super().encode_image(pixels)

    samples = [_sample(str(i), video=_picture(tmp_path / f"{i}.png", i)) for i in range(5)]
    with pytest.raises(KeyboardInterrupt):
        _compute(samples, _Interrupted(clip), tmp_path)
    counting = _Counting(clip)
    _compute(samples, counting, tmp_path)
    assert counting.frames == 3


def test_vectors_that_are_no_numbers_blame_the_backbone(clip, tmp_path):
    class _Broken(_Counting):
        def encode_text(self, ids):
            return super().encode_text(ids) * float("nan")

    with pytest.raises(ArtefactMismatch, match="check its weights"):
        _compute([_sample("a", text="x")], _Broken(clip), tmp_path)


def test_stored_vectors_are_maps_of_the_file(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.add("key", Stored(np.ones((2, 4), np.float32)))
    vectors = FeatureStore(tmp_path).get("key").vectors
    assert not vectors.flags.writeable
    assert not vectors.flags.owndata


def test_vectors_without_an_index_are_as_if_never_written(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.add("key", Stored(np.ones((2, 4), np.float32)))
    next(tmp_path.glob("*.json")).unlink()
    assert FeatureStore(tmp_path).get("key") is None


def test_an_incomplete_clip_stays_marked(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.add("key", Stored(np.ones((2, 4), np.float32), incomplete=True))
    assert FeatureStore(tmp_path).get("key").incomplete


def test_a_damaged_block_names_the_folder_to_delete(tmp_path):
    with FeatureStore(tmp_path) as store:
        store.add("key", Stored(np.ones((2, 4), np.float32)))
    index = next(tmp_path.glob("*.json"))
    index.write_text(json.dumps([["key", 0, 3, False]]))
    with pytest.raises(ArtefactMismatch, match="delete"):
        FeatureStore(tmp_path)
