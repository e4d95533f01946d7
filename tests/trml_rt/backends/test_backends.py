"""The table of back ends: a row from outside serves every command as the built-in ones do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import trml_rt
from trml_rt import backends
from trml_rt.backends import TABLE, row_of
from trml_rt.bundle.engine_folder import PRECISIONS
from trml_rt.cli import trml_rt as program
from trml_rt.errors import ArtefactMismatch, UsageError


def run(command, bundle, *words):
    words = [command, "--bundle", str(bundle), *map(str, words)]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_engines_of_a_back_end_from_outside_are_built_verified_timed_used_and_shown(
    toy, bundle_copy, tmp_path
):
    built = run("build", bundle_copy, "--backend", "toy", "--json")
    folder = Path(built["engines"])
    assert folder.name.startswith("red_toy1.0_fp32_")
    assert (folder / "text.toy").read_bytes().startswith(b"toy 1.0\n")
    assert built["products"]["text"] == {"fp32": 1}
    assert "== text: toyed with" in (folder / "build.log").read_text()

    assert run("verify", bundle_copy, "--backend", "toy", "--precision", "fp32", "--json")["passed"]

    timed = run("bench", bundle_copy, "--backend", "toy", "--calls", 1, "--json")
    assert list(timed["engine_sets"]["text"]) == ["portable", "fp32"]
    assert timed["device"]["toy"] == "red"

    (tmp_path / "t.txt").write_text("good")
    words = ("--text", tmp_path / "t.txt", "--precision", "fp32", "--json")
    answer = run("infer", bundle_copy, "--backend", "toy", *words)
    assert (answer["backend"], answer["engines"]) == ("toy", folder.name)
    assert answer["verified"]

    assert run("inspect", bundle_copy, "--json")["built"][folder.name]["fits"]
    checks = {check["name"] for check in run("doctor", bundle_copy, "--json")["checks"]}
    assert "back end toy" in checks


def test_without_its_package_engines_of_a_back_end_are_shown_as_not_fitting(toy, bundle_copy):
    folder = trml_rt.build(bundle_copy, backend="toy").folder
    sys.path.remove(str(Path(sys.modules["toy_backend"].__file__).parent))
    backends.outside.cache_clear()
    shown = trml_rt.inspect(bundle_copy).built[folder.name]
    assert not shown["fits"]
    assert "no back end 'toy'" in shown["why_not"][0]
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").backend == "onnxruntime"


def test_engines_for_another_toy_box_are_refused_by_field(toy, bundle_copy, monkeypatch):
    trml_rt.build(bundle_copy, backend="toy")
    module = sys.modules["toy_backend"]
    fields = module.built_for("toy", trml_rt.CompileOptions()) | {"toy box": "blue"}
    monkeypatch.setattr(module, "built_for", lambda name, options: fields)
    with pytest.raises(ArtefactMismatch, match="toy box is 'red' there, 'blue' here"):
        trml_rt.load(bundle_copy, backend="toy", precision="fp32")


def test_a_back_end_says_which_precisions_and_options_it_has(toy, bundle_copy):
    with pytest.raises(UsageError, match="no precision 'fp16' on toy; choose fp32"):
        trml_rt.build(bundle_copy, "fp16", backend="toy")
    options = trml_rt.CompileOptions(workspace_mib=1)
    with pytest.raises(UsageError, match="--workspace: has no meaning with toy"):
        trml_rt.build(bundle_copy, backend="toy", options=options)


def test_a_bench_without_engines_names_a_precision_that_the_back_end_has(toy, bundle_copy):
    with pytest.raises(
        ArtefactMismatch, match=r"no toy engines that fit; .* --precision fp32 --ba"
    ):
        trml_rt.bench(bundle_copy, backend="toy")


def test_an_unknown_back_end_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match="no back end 'magic'; choose onnxruntime, tensorrt, "):
        row_of("magic")


def test_every_row_builds_every_precision_and_its_module_offers_what_is_asked():
    functions = [name for name in vars(backends.BackendModule) if not name.startswith("_")]
    assert len(functions) == 6
    for row in TABLE:
        assert tuple(row.recipes) == PRECISIONS
        assert [name for name in functions if not callable(getattr(row.load(), name, None))] == []


def test_recipes_have_names_of_their_own_where_they_differ():
    recipes = {recipe for row in TABLE for recipe in row.recipes.values()}
    assert len({recipe.name for recipe in recipes}) == len(recipes)
