"""Compiled engines: what a build leaves, what it refuses, and what loads them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import numpy as np
import pytest

import trml_rt
from trml_rt.backends import ONNXRUNTIME
from trml_rt.build import build, preview_build
from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.engines.choose import find_engines
from trml_rt.engines.compile import GraphTools
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, VerificationFailed
from trml_rt.verify import verify

NOISE = np.random.default_rng(5).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


# Builds fp32 engines and kills itself at a step of the build, before a rename to a file, before two
# folders change names, or before a folder is removed.
KILLED = """
import logging, os, signal, sys
from pathlib import Path
from trml_rt.build import build, preview_build

folder, point, force = sys.argv[1:]

def reach(name):
    if name.startswith(point):
        os.kill(os.getpid(), signal.SIGKILL)

class Reach(logging.Handler):
    def emit(self, record):
        reach(record.getMessage())

logging.getLogger("trml_rt").addHandler(Reach())
logging.getLogger("trml_rt").setLevel("INFO")
place = {"os.rename": 1, "ctypes.dlsym": 1, "shutil.rmtree": 0}
sys.addaudithook(lambda event, args: event in place and reach(Path(str(args[place[event]])).name))
build(folder, "fp32", force=force == "force")
"""
POINTS = {
    "some graphs are written": "[3/5]",
    "all graphs are written": "comparing",
    "verify.json is not in place": "verify.json",
    "the manifest is not in place": "manifest.json",
    "the folder is not in place": "cpu-",
}


def kill_build(folder, point, force="no"):
    """Let a build in a process of its own die by SIGKILL at `point`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", KILLED, str(folder), point, force]
    ended = subprocess.run(words, env=environment, capture_output=True, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def built(folder):
    return sorted(path.name for path in (folder / "engines").iterdir())


def test_built_engines_give_the_answers_of_the_portable_graphs(bundle_copy):
    report = build(Bundle(bundle_copy), "fp32")
    with trml_rt.load(bundle_copy) as portable, trml_rt.load(bundle_copy, precision="fp32") as rt:
        expected = portable.infer(text="good", video=NOISE)
        answer = rt.infer(text="good", video=NOISE)
    assert answer.score == pytest.approx(expected.score, abs=1e-6)
    assert answer.engines == report.folder.name


def test_a_second_build_finds_the_first(bundle_copy):
    assert build(Bundle(bundle_copy), "fp32").built
    assert not build(Bundle(bundle_copy), "fp32").built


def test_force_builds_again(bundle_copy):
    build(Bundle(bundle_copy), "fp32")
    assert build(Bundle(bundle_copy), "fp32", force=True).built


def test_the_manifest_says_how_weights_are_stored_and_computed(bundle_copy, monkeypatch):
    stored = []
    tools = GraphTools(convert=None, store=stored.append, plain=None)
    monkeypatch.setattr("trml_rt.engines.compile._graph_tools", lambda recipe: tools)
    manifest = build(Bundle(bundle_copy), "fp16").manifest
    assert [path.stem for path in stored] == list(manifest.files)
    assert (manifest.weights, manifest.compute) == ("fp16", "fp32")


def change_built_for(folder, field, value):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["built_for"][field] = value
    path.write_text(json.dumps(content))


def test_e1_engines_for_another_device_are_refused_with_the_differing_field(bundle_copy):
    folder = build(Bundle(bundle_copy), "fp32").folder
    change_built_for(folder, "CPU features", "abacus")
    with pytest.raises(ArtefactMismatch) as caught:
        trml_rt.load(bundle_copy, precision="fp32")
    assert "CPU features is 'abacus' there" in str(caught.value)
    assert "trml-rt build --bundle" in str(caught.value)


def test_e1_engines_of_another_version_under_another_key_are_refused_too(bundle_copy):
    folder = build(Bundle(bundle_copy), "fp32").folder
    change_built_for(folder, "back end version", "0.1")
    folder.rename(folder.with_name("cpu-avx2_ort0.1_fp32_00000000"))
    with pytest.raises(ArtefactMismatch, match=r"back end version is '0\.1' there"):
        trml_rt.load(bundle_copy, precision="fp32")


def test_e2_a_build_that_dies_installs_nothing_and_the_next_cleans_up(bundle_copy, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["trml_rt.build"], "prove", die)
        with pytest.raises(KeyboardInterrupt):
            build(Bundle(bundle_copy), "fp32")
    assert built(bundle_copy) == [".lock"]
    (bundle_copy / "engines" / ".partial-killed").mkdir()
    report = build(Bundle(bundle_copy), "fp32")
    assert built(bundle_copy) == [".lock", report.folder.name]


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_e2_a_killed_build_leaves_nothing_that_opens_and_the_next_one_works(bundle_copy, point):
    kill_build(bundle_copy, point)
    [lock, partial] = built(bundle_copy)
    assert lock == ".lock"
    assert partial.startswith(".partial-")
    assert any(Path(bundle_copy, "engines", partial).iterdir())
    with pytest.raises(ArtefactMismatch, match="no fp32 engines yet"):
        trml_rt.load(bundle_copy, precision="fp32")
    report = build(Bundle(bundle_copy), "fp32")
    assert report.built
    assert built(bundle_copy) == [".lock", report.folder.name]
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert rt.infer(text="good", video=NOISE).verified


@pytest.mark.parametrize("point", ["manifest.json", "renameat2", ".partial-"])
def test_e2_engines_outlive_a_killed_rebuild_at_every_moment(bundle_copy, point):
    folder = build(Bundle(bundle_copy), "fp32").folder
    kill_build(bundle_copy, point, "force")
    assert [name[:9] for name in built(bundle_copy)] == [".lock", ".partial-", folder.name[:9]]
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert rt.infer(text="good").engines == folder.name
    assert not build(Bundle(bundle_copy), "fp32").built
    build(Bundle(bundle_copy), "fp32", force=True)
    assert built(bundle_copy) == [".lock", folder.name]


def test_e3_a_changed_engine_is_refused_when_it_is_opened(bundle_copy):
    folder = build(Bundle(bundle_copy), "fp32").folder
    data = bytearray((folder / "text.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "text.onnx").write_bytes(data)
    with (
        trml_rt.load(bundle_copy, precision="fp32") as rt,
        pytest.raises(ArtefactMismatch, match=r"text\.onnx: the content differs"),
    ):
        rt.infer(text="good")


def test_e3_damaged_engines_are_seen_by_inspect_and_built_anew(bundle_copy, caplog):
    from trml_rt.inspect import inspect

    folder = build(Bundle(bundle_copy), "fp32").folder
    (folder / "text.onnx").write_bytes(b"damaged".ljust((folder / "text.onnx").stat().st_size))
    assert not inspect(bundle_copy).built[folder.name]["fits"]
    with caplog.at_level("INFO", "trml_rt"):
        assert build(Bundle(bundle_copy), "fp32").built
    assert "building anew" in caplog.messages[0]
    assert inspect(bundle_copy).built[folder.name]["fits"]


def test_e1_engines_that_lack_one_are_refused_and_built_anew(bundle_copy):
    folder = build(Bundle(bundle_copy), "fp32").folder
    content = json.loads((folder / "manifest.json").read_text())
    del content["files"]["text"]
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ArtefactMismatch, match="text is not among its engines"):
        trml_rt.load(bundle_copy, precision="fp32")
    assert build(Bundle(bundle_copy), "fp32").built


def test_e4_a_precision_that_was_not_built_is_refused_with_the_command(bundle_copy):
    with pytest.raises(ArtefactMismatch, match="no fp16 engines yet; build them: trml-rt build"):
        trml_rt.load(bundle_copy, precision="fp16")


def test_e4_int8_that_was_not_built_is_refused_with_every_command_that_it_takes(bundle_copy):
    build = f"trml-rt build --bundle {bundle_copy} --precision int8"
    calibrate = f"trml-rt calibrate {bundle_copy} --data rows.jsonl"
    with pytest.raises(ArtefactMismatch, match=f"build them: {calibrate}, then {build}$"):
        trml_rt.load(bundle_copy, precision="int8")
    (bundle_copy / "calibration").mkdir()
    (bundle_copy / "calibration" / "calibration.json").touch()
    with pytest.raises(ArtefactMismatch, match=f"build them: {build}$"):
        trml_rt.load(bundle_copy, precision="int8")
    with pytest.raises(
        ArtefactMismatch, match=r" --out calibration, then .* --calibration calibration$"
    ):
        find_engines(Bundle(default_bundle()), "int8", ONNXRUNTIME)


def test_e4_no_precision_takes_the_portable_graphs_even_beside_built_ones(bundle_copy):
    build(Bundle(bundle_copy), "fp32")
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").engines == "portable"


def test_engines_that_miss_the_gate_are_not_installed(bundle_copy, edit_manifest):
    from tests.conftest import file_entry

    path = bundle_copy / "golden" / "text.npz"
    golden = dict(np.load(path))
    golden["prediction"] = golden["prediction"] + 0.5
    np.savez(path, **golden)
    folder = edit_manifest(lambda m: m["files"].update({"golden/text.npz": file_entry(path)}))
    with pytest.raises(VerificationFailed, match=r"text/score: differs by 0\.5.*golden files"):
        build(Bundle(folder), "fp32")
    assert built(folder) == [".lock"]


@pytest.mark.parametrize(
    "change",
    [
        lambda golden: {k: v for k, v in golden.items() if k == "ids"},
        lambda golden: golden | {"mood": golden["prediction"]},
        lambda golden: {k: v for k, v in golden.items() if k != "ids"},
    ],
    ids=["outputs missing", "one too many", "inputs missing"],
)
def test_a_golden_file_that_would_not_check_all_is_refused(bundle_copy, edit_manifest, change):
    from tests.conftest import file_entry

    path = bundle_copy / "golden" / "text.npz"
    np.savez(path, **change(dict(np.load(path))))
    folder = edit_manifest(lambda m: m["files"].update({"golden/text.npz": file_entry(path)}))
    with pytest.raises(ArtefactMismatch, match="must hold the inputs"):
        build(Bundle(folder), "fp32")


def test_an_empty_golden_file_is_refused(bundle_copy, edit_manifest):
    from tests.conftest import file_entry

    path = bundle_copy / "golden" / "text.npz"
    path.write_bytes(b"")
    folder = edit_manifest(lambda m: m["files"].update({"golden/text.npz": file_entry(path)}))
    with pytest.raises(ArtefactMismatch, match="not a golden file"):
        build(Bundle(folder), "fp32")


def test_a_golden_value_that_is_not_a_number_fails_the_gate(bundle_copy, edit_manifest):
    from tests.conftest import file_entry

    path = bundle_copy / "golden" / "text.npz"
    golden = dict(np.load(path))
    golden["virtual_video"][0, 0] = np.nan
    np.savez(path, **golden)
    folder = edit_manifest(lambda m: m["files"].update({"golden/text.npz": file_entry(path)}))
    with pytest.raises(VerificationFailed, match="NaN"):
        build(Bundle(folder), "fp32")


def test_a_full_disk_is_said_and_leaves_nothing(bundle_copy, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys.modules["trml_rt.build"], "write_bytes", full)
    with pytest.raises(EnvironmentUnfit, match=r"\(No space left on device\); free some space"):
        build(Bundle(bundle_copy), "fp32")
    assert built(bundle_copy) == [".lock"]


def test_a_folder_that_cannot_be_made_is_said(bundle_copy):
    (bundle_copy / "engines").write_text("in the way")
    with pytest.raises(EnvironmentUnfit, match="cannot be written"):
        build(Bundle(bundle_copy), "fp32")


def test_a_bundle_keeps_its_engines_when_it_moves(bundle_copy, tmp_path):
    build(Bundle(bundle_copy), "fp32")
    moved = shutil.move(bundle_copy, tmp_path / "elsewhere")
    with trml_rt.load(moved, precision="fp32") as rt:
        assert rt.infer(text="good").engines != "portable"


@pytest.fixture
def victim(tmp_path):
    """A folder of the user's that a bundle's links lead to."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "thesis.txt").write_text("years of work")
    return tmp_path / "victim"


@pytest.mark.parametrize("place", ["", "{key}", ".lock"])
@pytest.mark.parametrize("force", [False, True])
def test_a_build_writes_through_no_link(bundle_copy, victim, place, force):
    engines = bundle_copy / "engines"
    key = preview_build(bundle_copy, "fp32").engines.name
    link = engines / place.format(key=key) if place else engines
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(victim / "thesis.txt" if place == ".lock" else victim)
    with pytest.raises(
        ArtefactMismatch, match="is a link, which no build writes through; remove it"
    ):
        build(bundle_copy, "fp32", force=force)
    assert [path.name for path in victim.iterdir()] == ["thesis.txt"]
    assert (victim / "thesis.txt").read_text() == "years of work"


def test_a_link_among_the_leavings_of_a_killed_build_is_removed_alone(bundle_copy, victim):
    (bundle_copy / "engines").mkdir()
    (bundle_copy / "engines" / ".partial-link").symlink_to(victim)
    folder = build(bundle_copy, "fp32").folder
    assert built(bundle_copy) == [".lock", folder.name]
    assert (victim / "thesis.txt").is_file()


def test_a_verification_writes_through_no_link(bundle_copy, victim):
    folder = build(bundle_copy, "fp32").folder
    outside = shutil.move(folder, victim / "engines")
    before = (Path(outside) / "verify.json").read_bytes()
    folder.symlink_to(outside)
    with pytest.raises(ArtefactMismatch, match="is a link"):
        verify(bundle_copy, "fp32")
    assert (Path(outside) / "verify.json").read_bytes() == before


def test_a_build_that_waits_for_another_says_so(bundle_copy, caplog):
    caplog.set_level("INFO")
    (bundle_copy / "engines").mkdir()
    other = filelock.FileLock(bundle_copy / "engines" / ".lock", thread_local=False)
    other.acquire()
    threading.Timer(0.3, other.release).start()
    assert build(bundle_copy, "fp32").built
    assert "waiting for another build" in caplog.text


# Stands for a full disk: no file may be larger, which ONNX Runtime calls a fault of the graph.
SMALL_FILES = """
import resource, sys
from trml_rt.build import build
from trml_rt.errors import EnvironmentUnfit

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))
try:
    build(sys.argv[1], "fp32")
except EnvironmentUnfit as error:
    print(error)
"""


def test_a_graph_that_cannot_be_written_is_no_fault_of_the_graph(bundle_copy):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", SMALL_FILES, str(bundle_copy)]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"{bundle_copy / 'engines'}: cannot be written (File too large)")
    assert built(bundle_copy) == [".lock"]
