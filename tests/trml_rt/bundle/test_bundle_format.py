"""Each rule of docs/bundle-format.md, by its number."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import trml_rt
from tests.conformance.graphs import outside
from tests.conftest import TINY, file_entry
from trml_rt import ArtefactMismatch
from trml_rt.bundle.folder import Bundle

DOC = Path(__file__).parents[3] / "docs" / "bundle-format.md"


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(ArtefactMismatch) as caught:
        Bundle(folder)
    for word in words:
        assert word in str(caught.value)


def test_every_rule_has_a_test_named_after_it():
    rules = set(re.findall(r"^- \*\*(R\d+|E\d+)\*\*", DOC.read_text(), re.MULTILINE))
    here = Path(__file__)
    tests = here.parents[1]
    files = (
        *(here, here.with_name("test_places.py"), tests / "test_build.py"),
        tests / "engines/test_fastest.py",
    )
    said = "".join(path.read_text() for path in files)
    tested = {name.upper() for name in re.findall(r"def test_([re]\d+)_", said)}
    assert rules == tested


def test_the_tiny_bundle_of_schema_1_opens_and_is_whole():
    Bundle(TINY).verify_files()


def test_every_key_of_the_tiny_bundle_is_in_the_specification():
    for key in json.loads((TINY / "model.json").read_text()):
        assert f"`{key}`" in DOC.read_text()


def test_r1_a_folder_without_manifest_is_refused(tmp_path):
    refused(tmp_path, "not a bundle", "model.json")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"schema": 1, "schema": 1}', "stands twice"),
        ('{"schema": NaN}', "NaN"),
        ("[" * 100_000, "not valid JSON"),
        ('{"schema": 1e999}', "too large"),
        ('{"name": "\\ud800"}', "not valid JSON"),
    ],
)
def test_r1_a_manifest_that_is_not_one_strict_json_object_is_refused(tmp_path, text, word):
    (tmp_path / "model.json").write_text(text)
    refused(tmp_path, word)


def test_r1_a_manifest_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "model.json").write_bytes(b"\xff\xfe{}")
    refused(tmp_path, "not valid JSON")


def test_r2_a_newer_schema_is_refused_with_one_sentence(edit_manifest):
    folder = edit_manifest(lambda m: m.update(schema=3, surprise=1))
    with pytest.raises(ArtefactMismatch) as caught:
        Bundle(folder)
    assert str(caught.value).endswith(
        "model.json: schema 3 is newer than this runtime reads (1); upgrade trml-rt"
    )


@pytest.mark.parametrize("schema", [0, -1, "1", None, 1.0, True])
def test_r2_a_schema_that_never_was_is_refused(edit_manifest, schema):
    refused(edit_manifest(lambda m: m.update(schema=schema)), "schema")


@pytest.mark.parametrize("part", [None, "text", "video", "task", "axes", "engines.text"])
def test_r3_an_unknown_key_is_refused_at_every_level(edit_manifest, part):
    def add(manifest):
        for key in part.split(".") if part else []:
            manifest = manifest[key]
        manifest["surprise"] = 1

    refused(edit_manifest(add), "surprise: unknown key")


@pytest.mark.parametrize("key", sorted(json.loads((TINY / "model.json").read_text())))
def test_r3_a_missing_key_is_refused(edit_manifest, key):
    refused(edit_manifest(lambda m: m.pop(key)), key)


def test_r3_a_value_of_the_wrong_type_is_refused(edit_manifest):
    refused(edit_manifest(lambda m: m["video"].update(frames="8")), "video.frames")


def test_r3_all_problems_are_listed_at_once(edit_manifest):
    def harm(manifest):
        manifest["surprise"] = 1
        del manifest["name"]
        manifest["text"]["context"] = -1

    refused(edit_manifest(harm), "surprise", "name: key is missing", "text.context")


@pytest.mark.parametrize(
    "path", ["../model.onnx", "/etc/hosts", "onnx/../../x", "onnx\\text.onnx", "", "./a", "a//b"]
)
def test_r4_a_path_that_leaves_the_folder_is_refused(edit_manifest, path):
    def point(manifest):
        entry = manifest["files"][manifest["engines"]["text"]["file"]]
        manifest["engines"]["text"]["file"] = path
        manifest["files"][path] = entry

    refused(edit_manifest(point), repr(path))


def test_r4_a_symbolic_link_that_leaves_the_folder_is_refused(bundle_copy, tmp_path):
    path = bundle_copy / "onnx" / "text.onnx"
    path.rename(tmp_path / "elsewhere.onnx")
    path.symlink_to(tmp_path / "elsewhere.onnx")
    refused(bundle_copy, "onnx/text.onnx: leads out of the folder")


def test_r5_a_file_that_is_named_but_not_listed_is_refused(edit_manifest):
    folder = edit_manifest(lambda m: m["files"].pop("onnx/frame.onnx"))
    refused(folder, "'onnx/frame.onnx': named, but not listed")


def test_r6_a_missing_file_is_refused(bundle_copy):
    (bundle_copy / "golden" / "video.npz").unlink()
    refused(bundle_copy, "golden/video.npz: file is missing")


def test_r6_a_file_of_another_size_is_refused(bundle_copy):
    with (bundle_copy / "onnx" / "frame.onnx").open("ab") as file:
        file.write(b"\0")
    refused(bundle_copy, "onnx/frame.onnx:", "bytes expected")


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["tokenizer.json", "onnx/text.onnx", "onnx/fuse_text.onnx"])
def test_r7_a_changed_byte_is_refused_when_the_file_is_opened(bundle_copy, name):
    flip_a_byte(bundle_copy / name)
    with trml_rt.load(bundle_copy) as rt, pytest.raises(ArtefactMismatch, match=name):
        rt.infer(text="good day")


def test_r7_a_file_that_may_not_be_read_is_refused(bundle_copy, monkeypatch):
    def forbid(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("trml_rt.bundle.files.sha256_of", forbid)
    with pytest.raises(ArtefactMismatch, match="cannot be read"):
        Bundle(bundle_copy).verify_files()


@pytest.mark.parametrize("name", sorted(json.loads((TINY / "model.json").read_text())["files"]))
def test_r7_a_changed_byte_anywhere_is_found_when_all_files_are_compared(bundle_copy, name):
    flip_a_byte(bundle_copy / name)
    with pytest.raises(ArtefactMismatch, match=name):
        Bundle(bundle_copy).verify_files()


def test_r8_an_engine_input_that_nothing_gives_is_refused(edit_manifest):
    folder = edit_manifest(lambda m: m["engine_sets"][0].update(engines=["fuse_text"]))
    refused(folder, "fuse_text needs 'text_vector'")


def test_r8_an_unknown_engine_is_refused(edit_manifest):
    folder = edit_manifest(lambda m: m["engine_sets"][0]["engines"].append("magic"))
    refused(folder, "no engine 'magic'")


def test_r8_an_output_that_no_engine_gives_is_refused(edit_manifest):
    folder = edit_manifest(lambda m: m["engine_sets"][0]["outputs"].append("mood"))
    refused(folder, "no engine gives the output 'mood'")


def test_r9_two_sets_for_the_same_modalities_are_refused(edit_manifest):
    refused(edit_manifest(lambda m: m["engine_sets"].append(m["engine_sets"][0])), "stands twice")


def test_r9_a_combination_without_a_set_is_not_served(edit_manifest):
    folder = edit_manifest(lambda m: m["engine_sets"].pop(1))
    with trml_rt.load(folder) as rt, pytest.raises(trml_rt.UsageError, match="not serve video"):
        rt.infer(video=np.zeros((1, 8, 8, 3), np.uint8))


def test_r10_tensors_that_disagree_are_refused(edit_manifest):
    def shrink(manifest):
        manifest["engines"]["text"]["outputs"][0]["shape"][1] = 3

    refused(edit_manifest(shrink), "'text_vector' is not what an earlier engine gives")


@pytest.mark.parametrize(
    "task",
    [
        {"labels": ["a", "a", "b"]},
        {"thresholds": [0.2, -0.2]},
        {"thresholds": [0.0]},
        {"thresholds": [-2.0, 0.0]},
        {"range": [1.0, -1.0]},
        {"range": None},
        {"kind": "classification"},
    ],
)
def test_r11_a_task_that_makes_no_sense_is_refused(edit_manifest, task):
    refused(edit_manifest(lambda m: m["task"].update(task)), "task")


@pytest.mark.parametrize(
    ("axis", "sizes"),
    [("batch", {"min": 9}), ("tokens", {"max": 9}), ("frames", {"max": 3, "opt": 2})],
)
def test_r12_axes_that_contradict_are_refused(edit_manifest, axis, sizes):
    refused(edit_manifest(lambda m: m["axes"][axis].update(sizes)), f"axes.{axis}")


def test_r13_a_graph_with_other_tensors_than_stated_is_refused_when_loaded(edit_manifest):
    def swap(manifest):
        manifest["engines"]["text"]["file"] = "onnx/frame.onnx"

    with trml_rt.load(edit_manifest(swap)) as rt, pytest.raises(ArtefactMismatch) as caught:
        rt.infer(text="good")
    assert "input 'ids': int32 stated, nothing found" in str(caught.value)


def test_r13_a_graph_that_cannot_be_loaded_is_refused(bundle_copy, edit_manifest):
    (bundle_copy / "onnx" / "text.onnx").write_bytes(b"\x08\x08")  # a version, and no graph
    entry = file_entry(bundle_copy / "onnx" / "text.onnx")
    folder = edit_manifest(lambda m: m["files"].update({"onnx/text.onnx": entry}))
    with trml_rt.load(folder) as rt, pytest.raises(ArtefactMismatch, match="cannot load it"):
        rt.infer(text="good")


def test_r13_a_graph_of_another_shape_than_stated_is_refused(edit_manifest):
    def widen(manifest):
        manifest["embedding_dim"] = 5
        for engine in manifest["engines"].values():
            for tensor in (*engine["inputs"], *engine["outputs"]):
                tensor["shape"] = [5 if size == 4 else size for size in tensor["shape"]]
        manifest["video"]["frames"] = 5

    with trml_rt.load(edit_manifest(widen)) as rt, pytest.raises(ArtefactMismatch, match="shape"):
        rt.infer(text="good")


@pytest.mark.parametrize(
    ("part", "change", "word"),
    [
        ("video", {"height": 9}, "'frames' must be uint8"),
        ("video", {"frames": 3}, "'frame_mask' must be bool"),
        ("text", {"cut": False}, "'ids' must be int32"),
        ("task", {"labels": ["a", "b"], "kind": "classification"}, "'prediction' must be float32"),
    ],
)
def test_r15_a_tensor_that_the_runtime_makes_must_be_as_it_makes_it(
    edit_manifest, part, change, word
):
    def spoil(manifest):
        manifest[part].update(change)
        if part == "task":
            del manifest["task"]["range"], manifest["task"]["thresholds"]

    refused(edit_manifest(spoil), word)


def test_r15_a_set_without_prediction_is_refused(edit_manifest):
    folder = edit_manifest(lambda m: m["engine_sets"][0].update(outputs=["virtual_video"]))
    refused(folder, "'prediction' is not among its outputs")


def test_r15_a_set_with_other_inputs_is_refused(edit_manifest):
    folder = edit_manifest(lambda m: m["engine_sets"][0]["inputs"].append("mood"))
    refused(folder, "its inputs must be ids")


def test_r16_vectors_are_of_the_stated_size(edit_manifest):
    folder = edit_manifest(lambda m: m.update(embedding_dim=7))
    refused(folder, "engine text: the last size of 'text_vector' must be embedding_dim, 7")


def test_r14_a_writer_that_dies_leaves_no_folder(tmp_path):
    from trml_rt.bundle.atomic import staged_folder

    def die():
        with staged_folder(tmp_path / "bundle") as staging:
            (staging / "model.json").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", outside())
def test_r17_a_graph_that_names_another_file_is_refused_unread(bundle_copy, edit_manifest, place):
    graph = bundle_copy / "onnx" / "text.onnx"
    graph.write_bytes(outside()[place])
    folder = edit_manifest(lambda m: m["files"].update({"onnx/text.onnx": file_entry(graph)}))
    with pytest.raises(ArtefactMismatch, match="a tensor of the graph lies in another file"):
        trml_rt.inspect(folder)


def test_r18_sizes_have_limits(edit_manifest):
    folder = edit_manifest(lambda m: m["text"].update(context=10**9))
    refused(folder, "text.context: at most 65536 expected, 1000000000 found")


def test_r18_what_sizes_give_together_has_limits(edit_manifest):
    def grow(manifest):
        manifest["video"].update(height=2**15, width=2**15)
        manifest["engines"]["fuse_text"]["outputs"][1]["shape"] = [2**31, "batch", 2]
        manifest["files"]["tokenizer.json"]["bytes"] = 2**40

    refused(
        edit_manifest(grow),
        "video: a clip of these frames has more than 1073741824 bytes",
        "engine fuse_text: 'virtual_video' has more than 2147483648 values",
        "text.tokenizer: has more than 67108864 bytes",
    )
