"""A checkpoint and its bundle for each kind of text tower, exported once."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", params=["clip", "hf"])
def world(request, tmp_path_factory):
    """A backbone, its checkpoint and its bundle."""
    from tests.trml_export.to_bundle.checkpoints import checkpoint
    from trml_export.to_bundle.export import export

    backbone = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    trained = checkpoint(folder / "checkpoint", backbone)
    export(trained, folder / "bundle", name="tiny")
    return backbone, trained, folder / "bundle"


@pytest.fixture
def bundle(world):
    return world[2]
