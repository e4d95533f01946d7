"""The tiny world, made once a session; tests that write use a folder of their own."""

from __future__ import annotations

import pytest

from tests import tiny


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Compute on one thread: on a busy machine two spend their time waiting for each other."""
    try:
        import torch
    except ImportError:  # some tests here need none
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    return tiny.clip_backbone(tmp_path_factory.mktemp("world") / "clip")


@pytest.fixture(scope="session")
def hf_folder(tmp_path_factory):
    return tiny.hf_backbone(tmp_path_factory.mktemp("world") / "hf")


@pytest.fixture(scope="session")
def clip(clip_folder):
    from trml_export.backbone.backbone import load_backbone

    return load_backbone(clip_folder)


@pytest.fixture(scope="session")
def hf(hf_folder):
    from trml_export.backbone.backbone import load_backbone

    return load_backbone(hf_folder)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return tiny.dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tiny_config():
    from trml_export.config import Config

    return Config(frames=2, epochs=2, batch_size=8)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def checkpoint(clip_folder, data, tiny_config, cache, tmp_path_factory):
    """A model trained by `tiny_config` on `data`."""
    from trml_export.training.train import train

    folder = tmp_path_factory.mktemp("checkpoint") / "checkpoint"
    train(data, clip_folder, folder, config=tiny_config, cache=cache)
    return folder
