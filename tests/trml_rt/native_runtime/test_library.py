"""The structs of the native library in Python are those of its header; an absent one is said."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from tests.conftest import TINY
from trml_rt import native_runtime
from trml_rt.errors import EnvironmentUnfit, UsageError
from trml_rt.native_runtime import library

ROOT = Path(__file__).parents[3]
HEADER = (ROOT / "trml_rt" / "native" / "include" / "trml_rt" / "trml_rt.h").read_text()

TYPES = {
    "const char*": ctypes.c_char_p,
    "const void*": ctypes.c_void_p,
    "void*": ctypes.c_void_p,
    "size_t": ctypes.c_size_t,
    "int32_t": ctypes.c_int32,
    "double": ctypes.c_double,
    "trml_rt_log_fn": library.LogFunction,
    "const trml_rt_frame*": ctypes.POINTER(library.Frame),
}


@pytest.mark.parametrize("name", ["options", "frame", "sample", "info"])
def test_the_structs_have_the_fields_of_the_header(name):
    body = re.search(rf"typedef struct trml_rt_{name} {{(.*?)}} trml_rt_{name};", HEADER, re.S)[1]
    stated = []
    for line in re.sub(r"/\*.*?\*/", "", body, flags=re.S).split(";")[:-1]:
        kind, names = re.fullmatch(r"\s*((?:const )?\w+\*?) (.+)", line, re.S).groups()
        stated += [(field.strip(), TYPES[kind]) for field in names.split(",")]
    assert list(getattr(library, name.title())._fields_) == stated


def test_an_absent_library_is_said_with_what_to_do(monkeypatch):
    with pytest.raises(EnvironmentUnfit, match=r"nowhere\.so: cannot be loaded .* TRML_RT_LIBRARY"):
        native_runtime.load(TINY, library="nowhere.so")
    monkeypatch.setenv("TRML_RT_LIBRARY", "/other/nowhere.so")
    with pytest.raises(EnvironmentUnfit, match=r"^/other/nowhere\.so: cannot be loaded"):
        native_runtime.probe()


def test_another_library_is_no_library_of_ours():
    with pytest.raises(EnvironmentUnfit, match=r"cannot be loaded .*trml_rt_abi_version"):
        native_runtime.load(TINY, library="libc.so.6")


@pytest.mark.parametrize("path", ["", 3, "a\0b"])
def test_what_is_no_path_of_a_library_is_refused(path):
    with pytest.raises(UsageError, match=r"^library: "):
        native_runtime.load(TINY, library=path)
