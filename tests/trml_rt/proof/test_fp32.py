"""Verification: what is compared, what fails, and what an answer says of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import trml_rt
from tests.conftest import file_entry
from trml_rt.backends import ONNXRUNTIME
from trml_rt.build import build, preview_build
from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as program
from trml_rt.engines.choose import find_engines
from trml_rt.engines.dispatch import Dispatcher
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, VerificationFailed
from trml_rt.proof.compare import Case
from trml_rt.proof.fp32 import make_record, reference_answers, refuse_failed, verify
from trml_rt.proof.golden import golden_answers
from trml_rt.verify import verify as verify_engines


class Drifting(Dispatcher):
    """Gives the tensors of the portable graphs, one of them changed."""

    def __init__(self, bundle, name, change):
        from trml_rt.backends.onnxruntime import OnnxRuntimeBackend

        locate = lambda engine: bundle.path(bundle.manifest.engines[engine].file)  # noqa: E731
        super().__init__(bundle.manifest, OnnxRuntimeBackend(), locate)
        self._name, self._change = name, change

    def run(self, present, inputs):
        tensors, ms = super().run(present, inputs)
        if self._name in tensors:
            tensors = tensors | {self._name: self._change(tensors[self._name])}
        return tensors, ms


def record(folder, name, change, precision="int8", cases=None):
    bundle = Bundle(folder)
    verdicts = verify(bundle, Drifting(bundle, name, change), precision, cases or ())
    return make_record(precision, {}, verdicts)


def turn(vectors, angle=0.3):
    """Turn each row in the plane of its first two places; its length stays."""
    turned = vectors.copy()
    turned[:, 0] = np.cos(angle) * vectors[:, 0] - np.sin(angle) * vectors[:, 1]
    turned[:, 1] = np.sin(angle) * vectors[:, 0] + np.cos(angle) * vectors[:, 1]
    return turned


def test_equal_engines_pass_in_every_precision(tiny_bundle):
    for precision in ("fp32", "fp16", "int8"):
        found = record(tiny_bundle, "none", None, precision)
        assert (found.problems, found.warnings) == ([], [])


def test_cases_with_both_inputs_and_with_one_are_verified_together(tiny_bundle):
    both = max(golden_answers(Bundle(tiny_bundle))[0], key=lambda case: len(case.inputs))
    assert {"ids", "frames"} <= both.inputs.keys()
    text = Case({"ids": both.inputs["ids"]})
    found = record(tiny_bundle, "none", None, cases=[both, text])
    assert found.problems == []
    assert {name: each.fp32["rows"] for name, each in found.engine_sets.items()} == {
        "text": 2 * len(both.inputs["ids"]),
        "video": len(both.inputs["frame_mask"]),
        "text_video": len(both.inputs["ids"]),
    }


def test_every_tensor_of_every_set_is_compared(tiny_bundle):
    sets = record(tiny_bundle, "none", None).engine_sets
    assert {name: sorted(found.fp32["tensors"]) for name, found in sets.items()} == {
        "text": ["text_vector", "virtual_video"],
        "video": ["frame_vectors", "virtual_text"],
        "text_video": ["frame_vectors", "text_vector"],
    }


def test_a_generator_that_drifts_fails_though_the_head_hides_it(tiny_bundle):
    found = record(tiny_bundle, "virtual_video", turn)
    assert "text/virtual_video: least cosine" in found.problems[0]
    with pytest.raises(VerificationFailed, match=r"virtual_video.*take another precision"):
        refuse_failed(found, "here")


def test_one_bad_row_among_good_ones_is_not_averaged_away(tiny_bundle):
    def last(vectors):
        return np.concatenate([vectors[:-1], turn(vectors[-1:], 1.0)])

    assert record(tiny_bundle, "text_vector", last).problems


def test_between_the_two_cosines_is_a_warning(tiny_bundle):
    found = record(
        tiny_bundle,
        "virtual_video",
        lambda v: (
            v + 0.18 * np.linalg.norm(v, axis=1, keepdims=True) * np.array([[1, -1, 1, -1]]) / 2
        ),
    )
    least = found.engine_sets["text"].fp32["tensors"]["virtual_video"]["least_cosine"]
    assert 0.98 <= least < 0.99
    assert found.problems == []
    assert [text.rpartition("needed ")[2] for text in found.warnings] == [
        "(golden files)",
        "(FP32)",
    ]


def test_a_score_that_moves_fails(tiny_bundle):
    found = record(tiny_bundle, "prediction", lambda p: p + 0.1)
    assert "text/score: differs by 0.1, 0.05 allowed (FP32)" in found.problems


def test_nan_fails(tiny_bundle):
    found = record(tiny_bundle, "virtual_text", lambda v: v * np.nan)
    assert [name for name, each in found.engine_sets.items() if not each.passed] == ["video"]
    assert found.engine_sets["video"].fp32 == {}


def labelled(count=120):
    make = np.random.default_rng(0)
    for _ in range(count):
        ids = make.integers(4, 12, (1, 6)).astype(np.int32)
        yield Case({"ids": ids}, score=float(make.uniform(-1, 1)))


def test_flips_and_lost_accuracy_count_where_labels_are_known(tiny_bundle):
    found = record(tiny_bundle, "prediction", lambda p: -p, cases=list(labelled()))
    assert found.engine_sets["text"].fp32["accuracy"]["rows"] == 120
    assert any("flip" in problem for problem in found.problems)
    assert any("rank correlation" in problem for problem in found.problems)


def test_sets_whose_inputs_the_rows_lack_are_compared_on_the_golden_ones(tiny_bundle):
    found = record(tiny_bundle, "none", None, cases=list(labelled(3)))
    assert found.problems == []
    assert {name: (each.inputs, each.fp32["rows"]) for name, each in found.engine_sets.items()} == {
        "text": ("data", 3),
        "video": ("golden files", 4),
        "text_video": ("golden files", 2),
    }
    found = record(tiny_bundle, "virtual_text", turn, cases=list(labelled(3)))
    assert [name for name, each in found.engine_sets.items() if not each.passed] == ["video"]


def test_new_engines_are_refused_with_the_problems_of_both_references_named(tiny_bundle):
    bundle = Bundle(tiny_bundle)
    found = record(tiny_bundle, "prediction", lambda p: p + 0.1)
    with pytest.raises(VerificationFailed) as refused:
        refuse_failed(found, str(bundle.folder))
    for reference in ("golden files", "FP32"):
        for name in ("text", "video", "text_video"):
            problem = f"{name}/score: differs by 0.1, 0.05 allowed ({reference})"
            assert problem in str(refused.value)


def test_new_engines_that_equal_fp32_but_not_the_golden_files_are_refused(
    bundle_copy, edit_manifest
):
    path = bundle_copy / "golden" / "video.npz"
    golden = dict(np.load(path))
    golden["prediction"] = golden["prediction"] + np.float32(0.1)
    np.savez(path, **golden)
    folder = edit_manifest(lambda m: m["files"].update({"golden/video.npz": file_entry(path)}))
    with pytest.raises(VerificationFailed) as refused:
        build(folder, "fp32")
    assert "video/score: differs by 0.1, 0.001 allowed (golden files)" in str(refused.value)
    assert "(FP32)" not in str(refused.value)
    assert str(refused.value).endswith("so export the bundle again")
    assert not [path for path in (folder / "engines").iterdir() if path.is_dir()]


class Counting(Drifting):
    """Counts the cases that it runs."""

    def __init__(self, bundle):
        super().__init__(bundle, "none", None)
        self.cases = 0

    def run_all(self, inputs, sets=None):
        self.cases += 1
        return super().run_all(inputs, sets)


@pytest.mark.parametrize("rows", [0, 5])
def test_new_engines_run_the_golden_inputs_once_whatever_the_rows(tiny_bundle, rows):
    bundle = Bundle(tiny_bundle)
    engines, cases = Counting(bundle), golden_answers(bundle)[0]
    verdicts = verify(bundle, engines, "fp32", (cases * 2)[:rows])
    assert engines.cases == len(cases) + rows
    assert all(verdict.passed and verdict.golden for verdict in verdicts.values())


def test_engines_that_give_nan_lose_their_verification(bundle_copy, monkeypatch):
    bundle = Bundle(bundle_copy)
    folder = build(bundle, "fp32").folder
    run = Dispatcher.run

    def broken(self, present, inputs):
        tensors, ms = run(self, present, inputs)
        return tensors | {"prediction": tensors["prediction"] * np.nan}, ms

    monkeypatch.setattr(Dispatcher, "run", broken)
    assert not verify_engines(bundle, "fp32").passed
    assert verdicts_of(folder) == {"text": False, "video": False, "text_video": False}


def verdicts_of(folder):
    """What verify.json says of each engine set."""
    content = json.loads((folder / "verify.json").read_text())
    return {name: found["passed"] for name, found in content["engine_sets"].items()}


def test_a_build_leaves_verify_json_beside_the_engines(bundle_copy):
    folder = build(Bundle(bundle_copy), "fp32").folder
    assert verdicts_of(folder) == {"text": True, "video": True, "text_video": True}


def test_an_unverified_engine_says_so_in_every_answer(bundle_copy):
    build(Bundle(bundle_copy), "fp32", verify=False)
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert not rt.infer(text="good").verified


def test_unverified_engines_serve_a_build_only_if_it_does_not_verify_either(bundle_copy):
    bundle = Bundle(bundle_copy)
    build(bundle, "fp32", verify=False)
    assert preview_build(bundle, "fp32").would_build
    assert not preview_build(bundle, "fp32", verify=False).would_build
    assert not build(bundle, "fp32", verify=False).built
    assert build(bundle, "fp32").verified


def test_engines_that_pass_later_are_verified_from_then_on(bundle_copy):
    bundle = Bundle(bundle_copy)
    build(bundle, "fp32", verify=False)
    assert verify_engines(bundle, "fp32").passed
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert rt.infer(text="good").verified
    assert not build(bundle, "fp32").built


def test_engines_without_their_record_are_unverified(bundle_copy):
    (build(Bundle(bundle_copy), "fp32").folder / "verify.json").unlink()
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert not rt.infer(text="good").verified


def edit_record(folder, change):
    content = json.loads((folder / "verify.json").read_text())
    change(content)
    (folder / "verify.json").write_text(json.dumps(content))


def test_the_verdict_is_that_of_the_engine_set_that_answers(bundle_copy):
    folder = build(Bundle(bundle_copy), "fp32").folder
    edit_record(folder, lambda r: r["engine_sets"]["video"].update(passed=False))
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert rt.infer(text="good").verified
        assert not rt.infer(video=np.zeros((2, 8, 8, 3), np.uint8)).verified
    assert trml_rt.inspect(bundle_copy).built[folder.name]["verified"] == {
        "text": True,
        "video": False,
        "text_video": True,
    }
    assert preview_build(bundle_copy, "fp32").would_build
    shown = CliRunner().invoke(program, ["inspect", "--bundle", str(bundle_copy)]).stdout
    assert f"{folder.name}  fits this device, verified: text, text_video; not: video" in shown


def test_a_record_of_other_engines_verifies_none(bundle_copy):
    folder = build(Bundle(bundle_copy), "fp32").folder
    edit_record(folder, lambda r: r["engines"].update(text="0" * 64))
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert not rt.infer(text="good").verified
    assert preview_build(bundle_copy, "fp32").would_build


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(schema=3), "schema 3 is newer than this runtime reads"),
        (lambda r: r.update(passed=True), "passed: unknown key"),
        (lambda r: r.pop("engines"), "engines: key is missing"),
        (lambda r: r["engine_sets"]["text"].update(passed=1), "true or false expected, 1 found"),
        (lambda r: r["engine_sets"].update(text={}), "engine_sets.text.passed: key is missing"),
    ],
)
def test_a_damaged_record_is_refused_and_a_verification_writes_it_anew(bundle_copy, change, words):
    folder = build(Bundle(bundle_copy), "fp32").folder
    edit_record(folder, change)
    with pytest.raises(ArtefactMismatch, match=words):
        trml_rt.load(bundle_copy, precision="fp32").infer(text="good")
    assert verify_engines(bundle_copy, "fp32").passed
    with trml_rt.load(bundle_copy, precision="fp32") as rt:
        assert rt.infer(text="good").verified


def test_a_verification_holds_engines_against_the_golden_files_too(bundle_copy, edit_manifest):
    path = bundle_copy / "golden" / "video.npz"
    golden = dict(np.load(path))
    golden["prediction"] = golden["prediction"] + np.float32(0.1)
    np.savez(path, **golden)
    folder = edit_manifest(lambda m: m["files"].update({"golden/video.npz": file_entry(path)}))
    build(folder, "fp32", verify=False)
    found = verify_engines(folder, "fp32")
    assert found.problems == ["video/score: differs by 0.1, 0.001 allowed (golden files)"]
    with trml_rt.load(folder, precision="fp32") as rt:
        assert rt.infer(text="good").verified


def test_a_record_is_left_alone_where_that_is_asked(bundle_copy):
    folder = build(Bundle(bundle_copy), "fp32", verify=False).folder
    words = ["verify", "--bundle", str(bundle_copy), "--precision", "fp32", "--no-record"]
    assert CliRunner().invoke(program, words).exit_code == 0
    assert not (folder / "verify.json").exists()


def test_a_verification_asks_first_whether_it_can_write(bundle_copy, monkeypatch):
    build(bundle_copy, "fp32")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr(Dispatcher, "run", None)  # no engine runs before
    with pytest.raises(EnvironmentUnfit, match=r"Permission denied\); leave the record out"):
        verify_engines(bundle_copy, "fp32")


def test_engines_that_a_build_replaces_meanwhile_are_not_verified(bundle_copy, monkeypatch):
    folder = build(bundle_copy, "fp32", verify=False).folder

    def replace(*arguments, **options):
        content = json.loads((folder / "manifest.json").read_text())
        (folder / "text.onnx").write_bytes(b"another")
        content["files"]["text"].update(file_entry(folder / "text.onnx"))
        (folder / "manifest.json").write_text(json.dumps(content))
        return reference_answers(*arguments, **options)

    monkeypatch.setattr("trml_rt.proof.fp32.reference_answers", replace)
    with pytest.raises(EnvironmentUnfit, match="a build replaced the engines"):
        verify_engines(bundle_copy, "fp32")
    assert not (folder / "verify.json").exists()


def test_the_command_verifies_on_rows_and_says_what_it_found(bundle_copy, tmp_path):
    rows = [
        {"id": str(n), "split": "test", "text": w, "score": 0.5}
        for n, w in enumerate(["good day", "bad", "a day"])
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    build(Bundle(bundle_copy), "fp32", verify=False)

    def run(*words):
        words = ["verify", "--bundle", bundle_copy, "--precision", "fp32", *words]
        return CliRunner().invoke(program, [str(word) for word in words])

    assert run().exit_code == 0
    assert find_engines(Bundle(bundle_copy), "fp32", ONNXRUNTIME).is_verified(Bundle(bundle_copy))
    result = run("--data", tmp_path / "rows.jsonl", "--split", "test")
    assert result.exit_code == 0
    assert "against FP32, 3 rows of the data" in result.stdout
    assert "against FP32, 4 rows of the golden files" in result.stdout
    assert run("--data", tmp_path / "rows.jsonl", "--split", "none").exit_code == 2


def test_a_dry_run_names_the_folder_and_writes_nothing(bundle_copy):
    result = CliRunner().invoke(program, ["build", "--bundle", str(bundle_copy), "--dry-run"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"would build: {bundle_copy}")
    assert not (bundle_copy / "engines").exists()
    build(Bundle(bundle_copy), "fp32")
    assert not preview_build(bundle_copy, "fp32").would_build
