"""Small samples and what their features are."""

from __future__ import annotations

from PIL import Image

from trml_export.config import Config
from trml_export.data import Sample
from trml_export.features.features import Features, compute_features


def sample(name, *, text=None, video=None) -> Sample:
    return Sample(id=name, split="train", text=text, video=video, target=0.0)


def picture(path, level=128):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 48), (level, level // 2, 255 - level)).save(path)
    return path


def compute(samples, backbone, tmp_path, **config):
    return compute_features(
        samples, backbone, Config(**{"frames": 4, **config}), cache=tmp_path / "cache"
    )


def text_vector(features: Features, sample: int = 0):
    return features.vectors[features.text_rows[sample]]


def clip_vectors(features: Features, sample: int = 0):
    start = features.clip_starts[sample]
    return features.vectors[start : start + features.clip_lengths[sample]]


class Counting:
    """A backbone that counts what it is asked to encode."""

    def __init__(self, backbone) -> None:
        self._backbone = backbone
        self.texts = self.frames = 0

    def __getattr__(self, name):
        return getattr(self._backbone, name)

    def encode_text(self, ids):
        self.texts += len(ids)
        return self._backbone.encode_text(ids)

    def encode_frames(self, frames):
        self.frames += len(frames)
        return self._backbone.encode_frames(frames)
