"""Packages that bring a back end: a broken one costs its own back end, and no other command."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import trml_rt
from trml_rt import backends
from trml_rt.backends import ONNXRUNTIME, TABLE, row_of, rows
from trml_rt.cli import trml_rt as program
from trml_rt.errors import EnvironmentUnfit, UsageError

ROW = """
from trml_rt.backends import BackendRow, Recipe
FP32 = Recipe("fp32/1", "fp32")
def row(**changed):
    right = dict(name="odd", module="odd_backend", suffix=".odd", recipes={"fp32": FP32})
    return BackendRow(**{**right, **changed})
"""

BROKEN = {
    "raises": ("raise RuntimeError('the driver\\nis gone')", "RuntimeError: the driver is gone"),
    "ends the process": ("raise SystemExit", "cannot be imported (SystemExit)"),
    "ends it well": ("import sys; sys.exit(0)", "cannot be imported (SystemExit: 0)"),
    "has no words": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        "cannot be imported (Mute)",
    ),
    "raises ours": (
        "from trml_rt.errors import UsageError; raise UsageError('no')",
        "cannot be imported (UsageError: no)",
    ),
    "lacks a module": ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
    "lacks the row": ("", "has no attribute 'ROW'"),
    "gives no row": ("ROW = {'name': 'odd'}", "a BackendRow expected, dict found"),
    "fails to load a file": (
        "open('/nowhere')",
        "No such file or directory: '/nowhere'); mend that",
    ),
    "cannot be read": (
        ROW + "class Odd(dict):\n    def items(self): raise KeyError('x')\n"
        "ROW = row(recipes=Odd(fp32=FP32))",
        "its row cannot be read (KeyError: 'x')",
    ),
}


def run(*words):
    return CliRunner().invoke(program, list(map(str, words)))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_package_is_named_to_who_asks_for_it_and_to_no_other(bring, bundle_copy, kind):
    source, reason = BROKEN[kind]
    bring("odd", source)
    assert rows() == TABLE

    asked = run("infer", "--bundle", bundle_copy, "--backend", "odd", "--text", "t.txt")
    assert (asked.exit_code, asked.stdout) == (3, "")
    assert asked.stderr.count("\n") == 1
    who = "back end odd (entry point odd = odd_backend:ROW of odd-backend 1.0): "
    assert asked.stderr.startswith(f"trml-rt: {who}")
    assert reason in asked.stderr
    assert asked.stderr.endswith("or take another back end\n")

    misspelt = run("build", "--bundle", bundle_copy, "--backend", "ood")
    assert (misspelt.exit_code, misspelt.stdout) == (2, "")
    assert misspelt.stderr.endswith("choose onnxruntime, tensorrt, tensorrt-rtx, openvino\n")

    shown = run("doctor", "--bundle", bundle_copy, "--json")
    assert shown.exit_code == 0, shown.output
    checks = {check["name"]: check for check in json.loads(shown.stdout)["checks"]}
    found = checks["entry point odd"]
    assert (found["ok"], found["required"]) == (False, False)
    assert reason in found["found"]
    assert found["found"].startswith(who)


def test_no_command_that_did_not_ask_for_a_broken_package_is_stopped(bring, bundle_copy, tmp_path):
    bring("odd", "raise SystemExit")
    (tmp_path / "t.txt").write_text("good")
    infer = ("infer", "--text", tmp_path / "t.txt")
    for command in (
        ("build", "--backend", "onnxruntime"),
        ("verify", "--precision", "fp32"),
        ("inspect",),
        ("doctor",),
        ("doctor", "--backend", "onnxruntime"),
        infer,
        (*infer, "--backend", "onnxruntime"),
        (*infer, "--precision", "fp32"),
        ("bench", "--calls", "1"),
    ):
        result = run(*command, "--bundle", bundle_copy)
        assert result.exit_code == 0, (command, result.output)
        assert result.stdout


def test_engines_of_a_package_that_broke_later_leave_plain_infer_to_onnx_runtime(
    toy, bring, bundle_copy
):
    trml_rt.build(bundle_copy, backend="toy")
    bring("toy", "raise SystemExit", package="toy-backend")  # it comes first on the path
    [shown] = trml_rt.inspect(bundle_copy).built.values()
    assert not shown["fits"]
    assert "cannot be imported (SystemExit)" in shown["why_not"][0]
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").backend == "onnxruntime"
    with pytest.raises(EnvironmentUnfit, match=r"back end toy .* cannot be imported \(SystemExit"):
        trml_rt.load(bundle_copy, backend="toy", precision="fp32")


def test_ctrl_c_passes_while_a_package_is_imported(bring):
    bring("odd", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        rows()


@pytest.mark.parametrize("name", ["auto", "onnxruntime", "tensorrt-rtx"])
def test_a_name_that_is_taken_is_refused_and_shown(bring, tiny_bundle, name):
    bring(name, ROW + f"ROW = row(name={name!r})", package="odd-backend")
    assert rows() == TABLE
    assert row_of("onnxruntime") is ONNXRUNTIME
    [check] = [c for c in trml_rt.doctor(tiny_bundle).checks if c.name == f"entry point {name}"]
    assert "this name is taken" in check.found or "and not auto" in check.found
    assert not check.required


def test_a_row_has_the_name_of_its_entry_point(bring):
    bring("odd", ROW + "ROW = row(name='even')")
    assert rows() == TABLE
    with pytest.raises(EnvironmentUnfit, match=r"back end odd .*: its row has the name 'even'"):
        row_of("odd")
    with pytest.raises(UsageError, match="no back end 'even'"):
        row_of("even")


def test_two_packages_with_one_name_are_both_refused_and_both_named(bring):
    bring("odd", ROW + "ROW = row()")
    assert row_of("odd").name == "odd"
    bring("odd", ROW + "ROW = row()", package="even-backend")
    assert rows() == TABLE
    with pytest.raises(EnvironmentUnfit, match=r"even_backend:ROW of even-backend 1\.0, .*odd-bac"):
        row_of("odd")


def test_a_package_that_is_there_twice_counts_once(bring, monkeypatch):
    bring("odd", ROW + "ROW = row()")
    find = backends.entry_points.importlib.metadata.distributions
    monkeypatch.setattr("importlib.metadata.distributions", lambda: [*find(), *find()])
    assert row_of("odd").name == "odd"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ("name='Odd'", "name must be of lower-case letters"),
        ("name='o d'", "name must be of lower-case letters"),
        ("name='odd/'", "name must be of lower-case letters"),
        ("name=''", "name must be of lower-case letters"),
        ("name=None", "name must be of lower-case letters"),
        ("module=''", "module must be the name of a module"),
        ("module=None", "module must be the name of a module"),
        ("suffix='odd'", "suffix must be an ending"),
        ("suffix='/../x.odd'", "suffix must be an ending"),
        ("recipes={}", "recipes must have a Recipe for one precision at least"),
        ("recipes=[FP32]", "recipes must have a Recipe for one precision at least"),
        ("recipes={'fp8': FP32}", "recipes must have a Recipe for each of fp32, fp16, int8"),
        ("recipes={'fp32': 'fp32'}", "recipes must have a Recipe for each of fp32, fp16, int8"),
        ("recipes={'fp32': Recipe('', 'fp32')}", "recipes must have a Recipe for each"),
        ("recipes={'fp32': Recipe('a', 'fp8')}", "recipes must have a Recipe for each"),
        ("recipes={'int8': Recipe('a', 'int8', 'gpu')}", "recipes must have a Recipe for each"),
        ("unasked=('fp16',)", "unasked must be a list of precisions that have a recipe"),
        ("unasked='fp32'", "unasked must be a list of precisions that have a recipe"),
        ("options=('threads',)", "options must be a list of target, workspace_mib"),
        ("options='target'", "options must be a list of target, workspace_mib"),
        (
            "recipes={'fp16': Recipe('a', 'fp32', store_in_fp16=True)}",
            "a recipe with store_in_fp16 needs the suffix '.onnx'",
        ),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_in_one_sentence(bring, changed, problem):
    bring("odd", ROW + f"ROW = row({changed})")
    assert rows() == TABLE
    with pytest.raises(EnvironmentUnfit, match=problem):
        row_of("odd")


def test_the_rows_of_the_table_keep_the_rules_for_rows():
    assert [problem for row in TABLE for problem in backends.row.row_problems(row)] == []


def test_a_package_whose_entry_points_cannot_be_read_costs_no_other(toy, bring, tiny_bundle):
    bring("odd", points="this is no entry point")
    assert [row.name for row in rows()] == [*(row.name for row in TABLE), "toy"]
    checks = {check.name: check for check in trml_rt.doctor(tiny_bundle).checks}
    assert "odd-backend 1.0: its metadata cannot be read" in checks["entry point odd-backend"].found
