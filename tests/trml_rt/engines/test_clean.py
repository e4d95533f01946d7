"""What `clean` removes, what it leaves, and what it says of both."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import filelock
import pytest

import trml_rt
from trml_rt import CleanReport, clean
from trml_rt.build import build
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of the cache, which does not exist yet."""
    monkeypatch.setenv("TRML_RT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def built(bundle_copy, cache):
    """Engines of one key in both places: beside the bundle first."""
    own = build(bundle_copy, "fp32").folder
    cached = cache / "engines" / Bundle(bundle_copy).sha256[:16] / own.name
    shutil.copytree(own, cached)
    return own, cached


def entries(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def size(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def change(folder, **fields):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | fields))


def test_all_engines_go_from_both_places_and_the_bundle_stays(bundle_copy, cache):
    before = entries(bundle_copy)
    own = build(bundle_copy, "fp32").folder
    cached = cache / "engines" / Bundle(bundle_copy).sha256[:16] / own.name
    shutil.copytree(own, cached)
    (own.parent / ".timing-of-a-gpu").write_bytes(b"12345")
    (own.parent / ".partial-killed").mkdir()
    freed = size(own) + size(cached) + 5
    told = clean(bundle_copy, dry_run=True)
    assert own.is_dir()
    report = clean(bundle_copy)
    assert report == told == CleanReport([cached, own, own.parent / ".timing-of-a-gpu"], {}, freed)
    assert entries(bundle_copy) == sorted([*before, "engines", "engines/.lock"])
    assert [p.name for p in cache.rglob("*") if p.is_file()] == [".lock"]
    assert clean(bundle_copy) == CleanReport([], {}, 0)
    assert build(bundle_copy, "fp32").built


def test_engines_of_other_bundles_stay_in_the_cache(bundle_copy, built, cache):
    other = cache / "engines" / "0123456789abcdef" / "key"
    other.mkdir(parents=True)
    clean(bundle_copy)
    assert other.is_dir()


def test_only_what_does_not_fit_goes_with_unfit(bundle_copy, built):
    own, cached = built
    of_another_device = own.with_name("elsewhere")
    damaged = own.with_name("damaged")
    for folder in (of_another_device, damaged):
        shutil.copytree(own, folder)
    fields = json.loads((own / "manifest.json").read_text())["built_for"]
    change(of_another_device, built_for=fields | {"back end version": "0.1"})
    (damaged / "text.onnx").write_bytes(b"x".ljust((own / "text.onnx").stat().st_size))
    (own.parent / ".timing-of-a-gpu").write_bytes(b"12345")
    report = clean(bundle_copy, unfit=True)
    assert report.removed == [damaged, of_another_device]
    assert report.kept == dict.fromkeys((cached, own), "fits this device")
    assert sorted(p.name for p in own.parent.iterdir()) == [".lock", ".timing-of-a-gpu", own.name]
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert rt.infer(text="good").verified


@pytest.mark.parametrize("backend", ["of a package that is gone", "tensorrt"])
def test_engines_whose_back_end_cannot_say_whether_they_fit_stay(
    bundle_copy, built, backend, monkeypatch
):
    def absent(*_):
        raise EnvironmentUnfit("no GPU can be used")

    monkeypatch.setattr("trml_rt.backends.tensorrt.plans.built_for", absent)
    own, _ = built
    change(own, backend=backend)
    report = clean(bundle_copy, unfit=True)
    assert report.removed == []
    assert report.kept[own].startswith("nothing here can say whether it fits: no ")
    assert clean(bundle_copy).removed[-1] == own


def test_a_folder_that_no_build_made_stays(bundle_copy, built):
    own, cached = built
    (own.parent / "notes").mkdir()
    (own.parent / "notes" / "thesis.txt").write_text("years of work")
    report = clean(bundle_copy)
    assert report.removed == [cached, own]
    assert report.kept == {own.parent / "notes": "has no manifest.json, so no build made it"}
    assert entries(own.parent) == [".lock", "notes", "notes/thesis.txt"]


@pytest.mark.parametrize("linked", ["", "{key}", ".lock"])
def test_nothing_is_removed_through_a_link(bundle_copy, tmp_path, linked):
    own = build(bundle_copy, "fp32").folder
    place = own.parent / linked.format(key=own.name) if linked else own.parent
    victim = Path(shutil.move(place, tmp_path / "victim"))
    place.symlink_to(victim)
    before = entries(tmp_path / "victim")
    with pytest.raises(ArtefactMismatch, match="is a link"):
        clean(bundle_copy)
    assert victim.exists()
    assert entries(victim) == before


def test_a_clean_waits_for_a_build_and_judges_what_it_left(bundle_copy, built):
    own, _ = built
    right = (own / "manifest.json").read_text()
    change(own, built_for={})
    lock = filelock.FileLock(own.parent / ".lock", thread_local=False)
    lock.acquire()

    def build_ends():
        (own / "manifest.json").write_text(right)
        lock.release()

    threading.Timer(0.3, build_ends).start()
    assert clean(bundle_copy, unfit=True).removed == []
    assert own.is_dir()


def test_what_killed_builds_left_goes_alone(bundle_copy):
    (bundle_copy / "engines" / ".partial-killed").mkdir(parents=True)
    assert clean(bundle_copy, dry_run=True) == clean(bundle_copy) == CleanReport([], {}, 0)
    assert entries(bundle_copy / "engines") == [".lock"]


def test_a_place_that_cannot_be_written_is_said_after_the_cache_is_cleaned(
    bundle_copy, built, monkeypatch
):
    own, cached = built
    remove = trml_rt.engines.clean.remove_folder

    def refused(folder):
        if folder == own:
            raise PermissionError(13, "Permission denied")
        remove(folder)

    monkeypatch.setattr(trml_rt.engines.clean, "remove_folder", refused)
    with pytest.raises(EnvironmentUnfit) as caught:
        clean(bundle_copy)
    assert str(caught.value) == (
        f"{own.parent}: cannot be written (Permission denied); clean it as the user who built there"
    )
    assert not cached.exists()


def test_where_nothing_is_to_be_removed_nothing_is_written(bundle_copy, cache):
    before = entries(bundle_copy)
    assert clean(bundle_copy) == CleanReport([], {}, 0)
    assert entries(bundle_copy) == before
    assert not cache.exists()
    own = build(bundle_copy, "fp32").folder
    (own.parent / ".lock").unlink()
    assert clean(bundle_copy, unfit=True) == CleanReport([], {own: "fits this device"}, 0)
    assert entries(own.parent)[0] == own.name
