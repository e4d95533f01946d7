"""A checkpoint and its bundle for each kind of text tower, exported once."""

from __future__ import annotations

import pytest


def _world(backbone, folder):
    from tests.trml_export.to_bundle.checkpoints import checkpoint
    from trml_export.to_bundle.export import export

    trained = checkpoint(folder / "checkpoint", backbone)
    export(trained, folder / "bundle", name="tiny")
    return backbone, trained, folder / "bundle"


@pytest.fixture(scope="session")
def clip_world(clip, tmp_path_factory):
    """A backbone with byte pairs, its checkpoint and its bundle."""
    return _world(clip, tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def hf_world(hf, tmp_path_factory):
    """A backbone with WordPieces, its checkpoint and its bundle."""
    return _world(hf, tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="session", params=["clip_world", "hf_world"])
def world(request):
    """A backbone, its checkpoint and its bundle, of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def bundle(world):
    return world[2]
