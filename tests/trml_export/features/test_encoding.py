from __future__ import annotations

import os
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

from tests.trml_export.features.small import (
    Counting,
    clip_vectors,
    compute,
    picture,
    sample,
    text_vector,
)
from trml_export.config import Config
from trml_export.features import encoding
from trml_export.features.features import compute_features
from trml_rt.errors import ArtefactMismatch


def test_a_text_is_encoded_as_open_clip_does(clip, tmp_path):
    features = compute([sample("a", text="a happy day")], clip, tmp_path)
    expected = clip.model.encode_text(clip.tokenizer(["a happy day"]))[0]
    torch.testing.assert_close(torch.tensor(text_vector(features)), expected, atol=1e-6, rtol=1e-5)


def test_a_picture_is_encoded_as_open_clip_does(clip, tmp_path):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    path = picture(tmp_path / "a.png")
    features = compute([sample("a", video=path)], clip, tmp_path)
    transform = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    expected = clip.encode_image(transform(Image.open(path)).unsqueeze(0))
    torch.testing.assert_close(torch.tensor(clip_vectors(features)), expected, atol=1e-5, rtol=1e-5)


def test_texts_are_encoded_as_on_the_full_sequence(clip, tmp_path):
    texts = ["x", "a good deal longer than the other one", "so so"]
    features = compute([sample(t, text=t) for t in texts], clip, tmp_path)
    with torch.inference_mode():
        full = clip.model.encode_text(clip.tokenize(texts)).numpy()
    np.testing.assert_allclose(features.vectors[features.text_rows], full, atol=1e-5)


def test_nothing_is_encoded_twice(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("trml_export.features.encoding.cutting_is_exact", lambda _: False)
    path = picture(tmp_path / "a.png")
    samples = [sample("a", text="x", video=path), sample("b", text="x", video=path)]
    first, second = Counting(clip), Counting(clip)
    compute(samples, first, tmp_path)
    compute(samples, second, tmp_path)
    assert (first.texts, first.frames) == (1, 1)
    assert (second.texts, second.frames) == (0, 0)


def test_encoding_says_how_much_there_is_to_do_and_nothing_where_there_is_nothing(
    clip, tmp_path, caplog
):
    caplog.set_level("INFO", "trml_export")
    path = picture(tmp_path / "a.png")
    samples = [sample("a", text="x", video=path), sample("b", text="y"), sample("c", text="z")]
    compute(samples[:1], clip, tmp_path)
    compute(samples, clip, tmp_path)
    compute(samples, clip, tmp_path)
    assert caplog.messages == [
        "texts to encode: 1; in the cache: 0",
        "clips to encode: 1; in the cache: 0",
        "texts to encode: 2; in the cache: 1",
    ]


def test_the_cache_gives_the_very_same_numbers(clip, tmp_path):
    samples = [sample("a", text="x", video=picture(tmp_path / "a.png"))]
    first = compute(samples, clip, tmp_path)
    second = compute(samples, clip, tmp_path)
    assert np.array_equal(text_vector(first), text_vector(second))
    assert np.array_equal(clip_vectors(first), clip_vectors(second))


def test_a_file_that_moves_is_found_again(clip, tmp_path):
    path = picture(tmp_path / "a.png")
    compute([sample("a", video=path)], clip, tmp_path)
    moved = path.rename(tmp_path / "moved.png")
    counting = Counting(clip)
    compute([sample("a", video=moved)], counting, tmp_path)
    assert counting.frames == 0


def test_a_file_that_changes_is_encoded_again(clip, tmp_path):
    before = compute([sample("a", video=picture(tmp_path / "a.png"))], clip, tmp_path)
    after = compute([sample("a", video=picture(tmp_path / "a.png", 7))], clip, tmp_path)
    assert not np.array_equal(clip_vectors(before), clip_vectors(after))


def test_another_number_of_frames_is_another_feature(clip, tmp_path):
    for index in range(4):
        picture(tmp_path / "clip" / f"{index}.png", level=index * 40)
    samples = [sample("a", video=tmp_path / "clip")]
    assert len(clip_vectors(compute(samples, clip, tmp_path, frames=4))) == 4
    assert len(clip_vectors(compute(samples, clip, tmp_path, frames=2))) == 2


def test_an_interrupted_run_goes_on_where_it_was(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "_CHUNK", 2)

    class _Interrupted(Counting):
        def encode_frames(self, pixels):
            if self.frames == 2:
                raise KeyboardInterrupt
            return super().encode_frames(pixels)

    samples = [sample(str(i), video=picture(tmp_path / f"{i}.png", i)) for i in range(5)]
    with pytest.raises(KeyboardInterrupt):
        compute(samples, _Interrupted(clip), tmp_path)
    counting = Counting(clip)
    compute(samples, counting, tmp_path)
    assert counting.frames == 3


def test_a_killed_run_that_goes_on_ends_with_the_same_bits(clip_folder, clip, tmp_path):
    """Killed for real, with SIGKILL, as soon as the store holds something."""
    texts = [f"a text with the number {i} " * (1 + i % 7) for i in range(400)]
    samples = [sample(str(i), text=text) for i, text in enumerate(texts)]
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
    counting = Counting(clip)
    resumed = compute(samples, counting, tmp_path)
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

    class _Slow(Counting):
        def encode_frames(self, pixels):
            time.sleep(0.02)  # long enough for the threads to run ahead as far as they may
            most.append(len(started) - self.frames)
            return super().encode_frames(pixels)

    monkeypatch.setattr(encoding, "_decode", watched)
    samples = [sample(str(i), video=picture(tmp_path / f"{i}.png", i)) for i in range(12)]
    compute(samples, _Slow(clip), tmp_path)
    assert max(most) <= 4  # the one in hand, and three


def test_what_cannot_be_decoded_is_not_decoded_again(clip, tmp_path, monkeypatch):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video" * 100)
    samples = [sample("a", text="x", video=path)]
    first = compute(samples, clip, tmp_path)
    monkeypatch.setattr(encoding, "_decode", None)
    assert compute(samples, clip, tmp_path).problems == first.problems


def test_vectors_that_are_no_numbers_blame_the_backbone(clip, tmp_path):
    class _Broken(Counting):
        def encode_text(self, ids):
            return super().encode_text(ids) * float("nan")

    with pytest.raises(ArtefactMismatch, match="check its weights"):
        compute([sample("a", text="x")], _Broken(clip), tmp_path)
