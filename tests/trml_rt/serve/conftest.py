"""One server on the tiny bundle, which tests share that change nothing about it."""

from __future__ import annotations

import io

import pytest
from PIL import Image

import trml_rt
from tests.conftest import TINY


@pytest.fixture(scope="session")
def server(cache):
    """A server; its batches are of one row, so that answers are those of `infer` to the bit."""
    for package in ("uvicorn", "starlette", "wsproto", "python_multipart"):
        pytest.importorskip(package, reason="needs the extra serve")
    with trml_rt.serve(TINY, port=0, batch=1, request_rows=50, body_mib=1, live=1) as running:
        yield running


@pytest.fixture(scope="session")
def rt(cache):
    """A runtime of its own on the same bundle."""
    with trml_rt.load(TINY) as runtime:
        yield runtime


@pytest.fixture(scope="session")
def picture():
    """A picture as PNG."""
    return picture_of((200, 150, 120))


def picture_of(colour):
    file = io.BytesIO()
    Image.new("RGB", (12, 10), colour).save(file, "PNG")
    return file.getvalue()
