"""A copy of a bundle: what it holds, and what it never replaces."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.trml_rt.backends.tensorrt.fake_device import calibrate_by_copying
from trml_rt import copy_bundle
from trml_rt.build import build
from trml_rt.bundle.calibration import open_calibration
from trml_rt.bundle.folder import Bundle
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_copy_has_the_files_of_the_bundle_and_no_others(bundle_copy, tmp_path):
    expected = files(bundle_copy)
    build(bundle_copy, "fp32")
    (bundle_copy / "notes.txt").write_text("of the user")
    report = copy_bundle(tmp_path / "new" / "copy", bundle_copy)
    assert files(report.folder) == expected
    assert report.files == len(expected)
    assert report.bytes == sum((report.folder / name).stat().st_size for name in expected)
    copied = Bundle(report.folder)
    copied.verify_files()
    assert copied.sha256 == Bundle(bundle_copy).sha256
    assert json.loads(json.dumps(report.to_dict()))["folder"] == str(report.folder)


def test_a_copy_has_the_calibration(bundle_copy, tmp_path):
    calibrate_by_copying(bundle_copy)
    (bundle_copy / "calibration" / "notes.txt").write_text("of the user")
    folder = copy_bundle(tmp_path / "copy", bundle_copy).folder
    open_calibration(Bundle(folder)).verify_files()
    assert not (folder / "calibration" / "notes.txt").exists()


def test_a_copy_of_a_bundle_that_cannot_be_written_can_be(bundle_copy, tmp_path):
    for path in bundle_copy.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder = copy_bundle(tmp_path / "copy", bundle_copy).folder
    assert all(path.stat().st_mode & 0o200 for path in (folder, *folder.rglob("*")))


def test_an_existing_folder_is_replaced_only_by_force_and_only_a_bundle(bundle_copy, tmp_path):
    target = tmp_path / "copy"
    copy_bundle(target, bundle_copy)
    build(target, "fp32")
    with pytest.raises(UsageError, match="exists already; name another folder, or pass --force"):
        copy_bundle(target, bundle_copy)
    assert (target / "engines").is_dir()
    copy_bundle(target, bundle_copy, force=True)
    assert not (target / "engines").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is not a bundle, so --force does not replace it"):
        copy_bundle(tmp_path / "thesis", bundle_copy, force=True)


@pytest.mark.parametrize("above", ["", ".."])
def test_a_bundle_is_never_replaced_by_its_own_copy(bundle_copy, tmp_path, above):
    build(bundle_copy, "fp32")
    (tmp_path / "link").symlink_to(bundle_copy / above)
    if above:
        shutil.copy(bundle_copy / "model.json", tmp_path / "model.json")
    before = files(bundle_copy)
    with pytest.raises(UsageError, match="holds the bundle that is to be copied"):
        copy_bundle(tmp_path / "link", bundle_copy, force=True)
    assert files(bundle_copy) == before


def test_a_damaged_bundle_is_not_copied(bundle_copy, tmp_path):
    path = bundle_copy / "onnx" / "text.onnx"
    path.write_bytes(b"damaged".ljust(path.stat().st_size))
    with pytest.raises(ArtefactMismatch, match=r"text\.onnx: the content differs"):
        copy_bundle(tmp_path / "copy", bundle_copy)
    assert not (tmp_path / "copy").exists()


def test_a_full_disk_is_said_and_leaves_nothing(bundle_copy, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(EnvironmentUnfit, match=r"copy: cannot be written .*; free some space"):
        copy_bundle(tmp_path / "copy", bundle_copy)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_is_no_path_is_refused(bundle_copy):
    with pytest.raises(UsageError, match="folder: must be a path"):
        copy_bundle(3, bundle_copy)
