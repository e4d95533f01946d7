"""The tiny world, made once a session; tests that write use a folder of their own."""

from __future__ import annotations

import shutil

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


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """The run of `trml-rt export` on `checkpoint`, and the folder of its bundle; write nowhere."""
    from click.testing import CliRunner

    from trml_rt.cli import trml_rt as program

    folder = tmp_path_factory.mktemp("exported") / "bundle"
    run = CliRunner().invoke(program, ["export", str(checkpoint), "--out", str(folder)])
    assert run.exit_code == 0, run.output
    return run, folder


@pytest.fixture
def take_graphs(monkeypatch):
    """Return what makes exports take the named graphs of a bundle rather than trace them again.

    A trace takes seconds. The export still compares each graph with PyTorch, so that one which
    is not the same fails.
    """
    from trml_export.to_bundle import export as export_module

    def take(bundle, *names):
        trace = export_module.write_onnx

        def write(spec, path):
            if path.stem in names:
                shutil.copyfile(bundle / "onnx" / path.name, path)
            else:
                trace(spec, path)

        monkeypatch.setattr(export_module, "write_onnx", write)

    return take
