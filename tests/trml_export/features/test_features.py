from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image

from tests import media
from trml_export.config import Config
from trml_export.data import Sample
from trml_export.features import encoding
from trml_export.features.features import Features, compute_features
from trml_export.features.store import FeatureStore
from trml_rt.errors import ArtefactMismatch, InputUnusable
from trml_rt.inputs.video import read_frames


def _sample(name, *, text=None, video=None) -> Sample:
    return Sample(id=name, split="train", text=text, video=video, target=0.0)


def _picture(path, level=128):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 48), (level, level // 2, 255 - level)).save(path)
    return path


def _compute(samples, backbone, tmp_path, **config):
    return compute_features(
        samples, backbone, Config(**{"frames": 4, **config}), cache=tmp_path / "cache"
    )


def _text(features: Features, sample: int = 0):
    return features.vectors[features.text_rows[sample]]


def _clip(features: Features, sample: int = 0):
    start = features.clip_starts[sample]
    return features.vectors[start : start + features.clip_lengths[sample]]


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
    torch.testing.assert_close(torch.tensor(_text(features)), expected, atol=1e-6, rtol=1e-5)


def test_a_picture_is_encoded_as_open_clip_does(clip, tmp_path):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    path = _picture(tmp_path / "a.png")
    features = _compute([_sample("a", video=path)], clip, tmp_path)
    transform = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    expected = clip.encode_image(transform(Image.open(path)).unsqueeze(0))
    torch.testing.assert_close(torch.tensor(_clip(features)), expected, atol=1e-5, rtol=1e-5)


def test_a_folder_gives_its_pictures_in_order_evenly_chosen(tmp_path):
    for index in range(6):
        _picture(tmp_path / "clip" / f"{index}.png", level=index * 40)
    (tmp_path / "clip" / "notes.txt").write_text("no picture")
    frames = read_frames(tmp_path / "clip", 3).frames
    assert [frame.getpixel((0, 0))[0] for frame in frames] == [40, 120, 200]


def test_a_folder_without_a_picture_is_unusable(tmp_path):
    with pytest.raises(InputUnusable, match="no picture"):
        read_frames(tmp_path, 3)


def test_what_is_absent_stays_absent(clip, tmp_path):
    path = _picture(tmp_path / "a.png")
    samples = [_sample("a", text="x"), _sample("b", video=path)]
    features = _compute(samples, clip, tmp_path)
    assert features.has_text.tolist() == [True, False]
    assert features.has_video.tolist() == [False, True]


def test_an_undecodable_video_is_a_missing_modality_with_a_report(clip, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video" * 100)
    features = _compute([_sample("a", text="x", video=path)], clip, tmp_path)
    assert not features.has_video.any()
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
    np.testing.assert_allclose(features.vectors[features.text_rows], full, atol=1e-5)


def test_nothing_is_encoded_twice(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("trml_export.features.encoding.cutting_is_exact", lambda _: False)
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
    assert np.array_equal(_text(first), _text(second))
    assert np.array_equal(_clip(first), _clip(second))


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
    assert not np.array_equal(_clip(before), _clip(after))


def test_another_number_of_frames_is_another_feature(clip, tmp_path):
    for index in range(4):
        _picture(tmp_path / "clip" / f"{index}.png", level=index * 40)
    samples = [_sample("a", video=tmp_path / "clip")]
    assert len(_clip(_compute(samples, clip, tmp_path, frames=4))) == 4
    assert len(_clip(_compute(samples, clip, tmp_path, frames=2))) == 2


def test_an_interrupted_run_goes_on_where_it_was(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "_CHUNK", 2)

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


def test_a_killed_run_that_goes_on_ends_with_the_same_bits(clip_folder, clip, tmp_path):
    """Killed for real, with SIGKILL, as soon as the store holds something."""
    texts = [f"a text with the number {i} " * (1 + i % 7) for i in range(400)]
    samples = [_sample(str(i), text=text) for i, text in enumerate(texts)]
    program = f"""
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from trml_export.backbone.backbone import load_backbone
from trml_export.config import Config
from trml_export.data import Sample
from trml_export.features.features import compute_features
texts = [f"a text with the number {{i}} " * (1 + i % 7) for i in range(400)]
samples = [Sample(str(i), "train", text, None, 0.0) for i, text in enumerate(texts)]
compute_features(samples, load_backbone(Path({str(clip_folder)!r})), Config(frames=4),
                 cache=Path({str(tmp_path / "cache")!r}))
"""
    paths = os.pathsep.join(str(Path(__file__).parents[3] / part) for part in (".", "export"))
    with subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths}
    ) as run:
        while run.poll() is None and not any(
            file.stat().st_size for file in tmp_path.glob("cache/*/vectors.f32")
        ):
            time.sleep(0.001)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    counting = _Counting(clip)
    resumed = _compute(samples, counting, tmp_path)
    whole = compute_features(samples, clip, Config(frames=4), cache=tmp_path / "other")
    assert np.array_equal(
        resumed.vectors[resumed.text_rows].view(np.uint32),
        whole.vectors[whole.text_rows].view(np.uint32),
    )


def test_clips_are_decoded_ahead_but_not_without_bound(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "_CHUNK", 1)
    monkeypatch.setattr(encoding, "_AHEAD", 3)
    started, lock, most = [], threading.Lock(), []
    decode = encoding._decode

    def watched(*arguments):
        with lock:
            started.append(arguments)
        return decode(*arguments)

    class _Slow(_Counting):
        def encode_image(self, pixels):
            time.sleep(0.02)  # long enough for the threads to run ahead as far as they may
            most.append(len(started) - self.frames)
            return super().encode_image(pixels)

    monkeypatch.setattr(encoding, "_decode", watched)
    samples = [_sample(str(i), video=_picture(tmp_path / f"{i}.png", i)) for i in range(12)]
    _compute(samples, _Slow(clip), tmp_path)
    assert max(most) <= 4  # the one in hand, and three


def test_what_cannot_be_decoded_is_not_decoded_again(clip, tmp_path, monkeypatch):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video" * 100)
    samples = [_sample("a", text="x", video=path)]
    first = _compute(samples, clip, tmp_path)
    monkeypatch.setattr(encoding, "_decode", None)
    assert _compute(samples, clip, tmp_path).problems == first.problems


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"shortest_clip": 3.0}, "too_short"), ({"longest_clip": 1.5}, "too_long")],
)
def test_a_clip_outside_of_the_limits_is_a_missing_modality(clip, tmp_path, limits, reason):
    path = media.write_video(tmp_path / "two_seconds.mp4", 20)
    samples = [_sample("a", text="x", video=path)]
    assert _compute(samples, clip, tmp_path).has_video.all()
    features = _compute(samples, clip, tmp_path, **limits)
    assert not features.has_video.any()
    (problem,) = features.problems
    assert problem.reason == reason
    assert "lasts 2 s" in problem.message


def test_a_picture_has_no_length_to_be_limited(clip, tmp_path):
    samples = [_sample("a", video=_picture(tmp_path / "a.png"))]
    assert _compute(samples, clip, tmp_path, shortest_clip=0.1).has_video.all()


def test_features_travel_to_another_process_without_their_vectors(clip, tmp_path):
    samples = [_sample(str(i), text=f"text {i}") for i in range(200)]
    features = _compute(samples, clip, tmp_path)
    assert isinstance(features.vectors, np.memmap)
    sent = pickle.dumps(features)
    texts_alone = pickle.dumps(features.samples)
    assert len(sent) - len(texts_alone) < features.vectors.nbytes
    again = pickle.loads(sent)
    assert isinstance(again.vectors, np.memmap)
    assert np.array_equal(again.vectors, features.vectors)


def test_what_is_there_can_be_read_while_another_process_fills_the_store(clip, tmp_path):
    samples = [_sample("a", text="x", video=_picture(tmp_path / "a.png"))]
    first = _compute(samples, clip, tmp_path)
    (folder,) = (tmp_path / "cache").iterdir()
    with FeatureStore(folder, clip.size).writing():
        again = _compute(samples, clip, tmp_path)
    assert np.array_equal(_text(again), _text(first))


def test_vectors_that_are_no_numbers_blame_the_backbone(clip, tmp_path):
    class _Broken(_Counting):
        def encode_text(self, ids):
            return super().encode_text(ids) * float("nan")

    with pytest.raises(ArtefactMismatch, match="check its weights"):
        _compute([_sample("a", text="x")], _Broken(clip), tmp_path)
