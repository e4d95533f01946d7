"""Where engines lie: beside the bundle, or in the user's cache."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import trml_rt
from trml_rt.build import build, preview_build
from trml_rt.bundle import places
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit
from trml_rt.inspect import inspect
from trml_rt.verify import verify


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of the cache, which does not exist yet."""
    monkeypatch.setenv("TRML_RT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def read_only(bundle_copy, monkeypatch):
    """A bundle that cannot be written, whoever runs the tests."""
    access = os.access

    def no_writing(path, mode):
        return access(path, mode) and not (
            mode & os.W_OK and Path(path).is_relative_to(bundle_copy)
        )

    monkeypatch.setattr(places.os, "access", no_writing)
    return bundle_copy


@pytest.fixture
def shipped(bundle_copy, monkeypatch):
    """A bundle as if it were the one inside the package."""
    monkeypatch.setattr(places, "default_bundle", lambda: bundle_copy)
    return bundle_copy


def place_of(cache, bundle):
    return cache / "engines" / Bundle(bundle).sha256[:16]


def damage(folder):
    path = folder / "text.onnx"
    path.write_bytes(b"damaged".ljust(path.stat().st_size))


def test_engines_of_a_bundle_that_can_be_written_lie_beside_it(bundle_copy, cache):
    assert build(bundle_copy, "fp32").folder.parent == bundle_copy / "engines"
    assert not cache.exists()


@pytest.mark.parametrize("kind", ["read_only", "shipped"])
def test_engines_of_another_bundle_lie_in_the_cache_and_are_found_there(kind, cache, request):
    bundle = request.getfixturevalue(kind)
    before = sorted(bundle.rglob("*"))
    preview = preview_build(bundle, "fp32")
    assert not cache.exists()
    report = build(bundle, "fp32")
    assert report.folder == preview.engines == place_of(cache, bundle) / report.folder.name
    assert sorted(bundle.rglob("*")) == before
    assert not build(bundle, "fp32").built
    assert not preview_build(bundle, "fp32").would_build
    with trml_rt.load(bundle, precision="fp32") as rt:
        assert rt.infer(text="good").engines == report.folder.name
    built = inspect(bundle).built[report.folder.name]
    assert (built["folder"], built["fits"]) == (str(report.folder), True)
    verification = verify(bundle, "fp32")
    assert verification.passed
    assert verification.folder == report.folder


def test_a_folder_that_really_cannot_be_written_sends_the_build_to_the_cache(bundle_copy, cache):
    bundle_copy.chmod(0o555)
    if os.access(bundle_copy, os.W_OK):
        pytest.skip("nothing keeps root from writing")
    try:
        assert build(bundle_copy, "fp32").folder.parent == place_of(cache, bundle_copy)
    finally:
        bundle_copy.chmod(0o755)


def test_a_read_only_bundle_that_brings_engines_needs_no_place_to_write(
    bundle_copy, monkeypatch, request
):
    folder = build(bundle_copy, "fp32").folder
    request.getfixturevalue("read_only")
    for name in ("TRML_RT_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    report = build(bundle_copy, "fp32")
    assert (report.built, report.folder) == (False, folder)
    assert preview_build(bundle_copy, "fp32").engines == folder


def test_e5_engines_that_are_built_win_over_damaged_ones_beside_a_read_only_bundle(
    bundle_copy, cache, request
):
    own = build(bundle_copy, "fp32").folder
    damage(own)
    request.getfixturevalue("read_only")
    report = build(bundle_copy, "fp32")
    assert report.built
    assert report.folder == place_of(cache, bundle_copy) / own.name
    assert inspect(bundle_copy).built[own.name]["fits"]
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert rt.infer(text="good").verified


def test_e5_what_is_built_anew_wins_where_the_cache_has_the_same_key(bundle_copy, cache):
    own = build(bundle_copy, "fp32").folder
    cached = place_of(cache, bundle_copy) / own.name
    shutil.copytree(own, cached)
    damage(cached)
    assert not inspect(bundle_copy).built[own.name]["fits"]
    assert preview_build(bundle_copy, "fp32").engines == cached
    assert build(bundle_copy, "fp32").folder == cached
    assert inspect(bundle_copy).built[own.name]["fits"]


def test_e5_of_one_key_the_engines_in_the_cache_are_taken(bundle_copy, cache):
    own = build(bundle_copy, "fp32").folder
    shutil.copytree(own, place_of(cache, bundle_copy) / own.name)
    damage(own)
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert rt.infer(text="good").engines == own.name
    assert [Path(b["folder"]).parents[1] for b in inspect(bundle_copy).built.values()] == [
        cache / "engines"
    ]


def test_engines_in_the_cache_belong_to_one_manifest(shipped, cache):
    folder = build(shipped, "fp32").folder
    content = json.loads((shipped / "model.json").read_text())
    (shipped / "model.json").write_text(json.dumps(content | {"name": "another"}))
    assert inspect(shipped).built == {}
    assert folder.is_dir()


def test_without_a_home_only_a_build_is_refused(shipped, monkeypatch):
    for name in ("TRML_RT_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    with trml_rt.load(shipped) as rt:
        assert rt.infer(text="good").engines == "portable"
    for call in (build, preview_build):
        with pytest.raises(EnvironmentUnfit) as caught:
            call(shipped, "fp32")
        assert str(caught.value) == (
            f"{shipped}: its engines belong into a cache, and HOME names no folder for one; name "
            "a folder with TRML_RT_CACHE"
        )


def test_a_cache_that_cannot_be_made_is_said_and_does_not_stop_an_answer(shipped, cache):
    cache.write_text("in the way")
    with pytest.raises(EnvironmentUnfit) as caught:
        build(shipped, "fp32")
    assert str(caught.value) == (
        f"{place_of(cache, shipped)}: cannot be written (Not a directory); name another folder "
        "for built engines with TRML_RT_CACHE"
    )
    with trml_rt.load(shipped) as rt:
        assert rt.infer(text="good").engines == "portable"


def test_e5_a_cache_that_may_not_be_entered_is_as_none(shipped, cache, monkeypatch):
    folder = build(shipped, "fp32").folder
    monkeypatch.setattr(places.os, "access", lambda path, mode: False)
    assert places.engine_places(Bundle(shipped)) == [shipped / "engines"]
    with pytest.raises(ArtefactMismatch, match="no fp32 engines yet"):
        trml_rt.load(shipped, precision="fp32")
    assert folder.is_dir()


@pytest.mark.parametrize("place", ["", "{key}", ".lock"])
def test_a_build_writes_through_no_link_in_the_cache(shipped, cache, tmp_path, place):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("years of work")
    key = preview_build(shipped, "fp32").engines.name
    folder = place_of(cache, shipped)
    link = folder / place.format(key=key) if place else folder
    link.parent.mkdir(parents=True)
    link.symlink_to(victim / "thesis.txt" if place == ".lock" else victim)
    with pytest.raises(ArtefactMismatch, match="is a link, which no build writes through"):
        build(shipped, "fp32")
    assert [path.name for path in victim.iterdir()] == ["thesis.txt"]
    assert (victim / "thesis.txt").read_text() == "years of work"
