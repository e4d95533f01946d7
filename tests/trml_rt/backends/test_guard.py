"""A back end from outside that breaks the contract is named in one sentence, at the door."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import trml_rt
from tests.trml_rt.backends.tensorrt.fake_device import calibrate_by_copying
from trml_rt import CompileOptions, backends
from trml_rt.backends import CompileReport, row_of
from trml_rt.backends.check import Check
from trml_rt.backends.guard import is_own_field
from trml_rt.bundle.engine_folder import PRECISIONS
from trml_rt.bundle.folder import Bundle
from trml_rt.cli import trml_rt as program
from trml_rt.engines.key import built_for_here
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError

WHO = r"back end toy \(entry point toy = toy_backend:ROW of toy-backend 1\.0\): "


def run(*words):
    return CliRunner().invoke(program, list(map(str, words)))


@pytest.fixture
def change(toy, monkeypatch):
    """Return what puts another function or row into the toy back end."""

    def put(name, value):
        monkeypatch.setattr(sys.modules["toy_backend"], name, value)
        backends.outside.cache_clear()

    return put


@pytest.fixture
def unasked(change, bundle_copy):
    """A bundle with toy engines that `auto` takes, and what changes the toy afterwards."""
    change("ROW", replace(sys.modules["toy_backend"].ROW, unasked=("fp32",)))
    trml_rt.build(bundle_copy, backend="toy")
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").backend == "toy"
    return bundle_copy


def raising(error):
    def function(*_, **__):
        raise error

    return function


def giving(value):
    return lambda *_, **__: value


ERRORS = [RuntimeError("gone"), SystemExit(), AttributeError(), OSError(28, "No space left")]
CALLS = {
    "open_backend": lambda module: module.open_backend("toy", None, 1, compiled=True),
    "built_for": lambda module: module.built_for("toy", CompileOptions()),
    "key_prefix": lambda module: module.key_prefix({}),
    "compile_graph": lambda module: module.compile_graph("toy", None),
    "checks": lambda module: module.checks("toy", False),
    "device": lambda module: module.device("toy"),
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("function", CALLS)
def test_an_error_of_any_function_becomes_one_sentence(change, function, error):
    change(function, raising(error))
    sentence = rf"^{WHO}{function} failed \({type(error).__name__}"
    with pytest.raises(EnvironmentUnfit, match=sentence) as caught:
        CALLS[function](row_of("toy").load())
    assert caught.value.__cause__ is error  # for who writes the back end


@pytest.mark.parametrize("error", [UsageError("no"), ArtefactMismatch("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("function", CALLS)
def test_errors_of_ours_and_ctrl_c_pass(change, function, error):
    change(function, raising(error))
    with pytest.raises(type(error)) as caught:
        CALLS[function](row_of("toy").load())
    assert caught.value is error


RIGHT = {"builder options": "level=0", "back end version": "1.0"}


class Named:
    def __init__(self, name):
        self.name = name

    def load(self, engine, path):
        raise AssertionError


@pytest.mark.parametrize(
    ("function", "answer", "problem"),
    [
        ("open_backend", None, "what open_backend gives lacks load"),
        ("open_backend", Named("onnxruntime"), "must have the name 'toy', not 'onnxruntime'"),
        ("open_backend", Named(None), "must have the name 'toy', not None"),
        ("built_for", None, "built_for must give a dict of str to str"),
        ("built_for", RIGHT | {"level": 1}, "built_for must give a dict of str to str"),
        ("built_for", {1: "x"} | RIGHT, "built_for must give a dict of str to str"),
        ("built_for", {}, "built_for lacks 'builder options', 'back end version'"),
        ("built_for", RIGHT | {"back end version": ""}, "built_for lacks 'back end version'"),
        ("built_for", RIGHT | {"schema": "2"}, "built_for gives 'schema', which every key has"),
        ("built_for", RIGHT | {"source of text": "0"}, "built_for gives 'source of text'"),
        *(
            ("key_prefix", prefix, "key_prefix must give a word of letters, digits")
            for prefix in ("../../x", "a/b", ".hid", "", "a b", "ä", "a\n", "a" * 101, None, b"a")
        ),
        ("checks", None, "checks must give a list of Check"),
        ("checks", ["fine"], "checks must give a list of Check"),
        ("checks", [Check("a", True, 1, False)], "checks must give a list of Check"),
        ("checks", [Check("a", True, "1")], "a required Check where the back end is not required"),
        ("device", None, "device must give a dict of str to str"),
        ("device", {"gpu": 1}, "device must give a dict of str to str"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_refused(change, function, answer, problem):
    change(function, giving(answer))
    with pytest.raises(EnvironmentUnfit, match=f"^{WHO}.*{problem}.*; upgrade or uninstall"):
        CALLS[function](row_of("toy").load())


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (CompileReport(), "compile_graph did not write text.toy"),
        (None, "compile_graph gives no CompileReport"),
        (CompileReport(products={"fp32": "many"}), "must hold counts by type"),
        (CompileReport(layers=[1]), "must hold counts by type"),
        (CompileReport(log="text"), "and lines of text"),
        (CompileReport(log=[b"text"]), "and lines of text"),
    ],
)
def test_a_build_ends_where_compile_graph_breaks_the_contract(change, bundle_copy, report, problem):
    change("compile_graph", giving(report))
    with pytest.raises(EnvironmentUnfit, match=f"^{WHO}.*{problem}"):
        trml_rt.build(bundle_copy, backend="toy")
    assert [p.name for p in (bundle_copy / "engines").iterdir() if p.name != ".lock"] == []


def test_a_module_that_lacks_functions_is_refused_by_their_names(bring):
    bring(
        "odd",
        "from trml_rt.backends import BackendRow, Recipe\n"
        "ROW = BackendRow('odd', 'odd_backend', '.odd', {'fp32': Recipe('a', 'fp32')})\n"
        "def built_for(name, options): ...",
    )
    with pytest.raises(EnvironmentUnfit, match="odd_backend lacks open_backend, key_prefix, comp"):
        row_of("odd").load()


def test_every_field_that_a_key_has_of_ours_is_kept_from_back_ends(device, bundle_copy):
    calibrate_by_copying(bundle_copy)
    row = row_of("tensorrt")
    theirs = row.load().built_for("tensorrt", CompileOptions())
    for precision in PRECISIONS:
        fields = built_for_here(Bundle(bundle_copy), precision, row)
        assert {field for field in fields if not is_own_field(field)} == set(theirs)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("function", ["built_for", "key_prefix"])
def test_auto_passes_over_a_back_end_that_cannot_say_whether_its_engines_fit(
    unasked, change, tmp_path, function, error
):
    change(function, raising(error))
    (tmp_path / "t.txt").write_text("good")
    words = ("infer", "--bundle", unasked, "--text", tmp_path / "t.txt")
    plain = run(*words)
    assert plain.exit_code == 0, plain.output
    assert "on onnxruntime, portable engines" in plain.stdout
    named = run(*words, "--backend", "toy")
    assert (named.exit_code, named.stdout) == (3, "")
    assert named.stderr.startswith("trml-rt: back end toy (entry point ")
    assert named.stderr.count("\n") == 1
    if function == "built_for":
        [shown] = trml_rt.inspect(unasked).built.values()
        assert "built_for failed" in shown["why_not"][0]


def test_auto_does_not_replace_verified_engines_that_fit_and_cannot_be_opened(
    unasked, change, tmp_path
):
    change("open_backend", raising(RuntimeError("the box is shut")))
    (tmp_path / "t.txt").write_text("good")
    result = run("infer", "--bundle", unasked, "--text", tmp_path / "t.txt")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "open_backend failed (RuntimeError: the box is shut)" in result.stderr


def test_doctor_shows_a_back_end_whose_checks_fail_and_is_stopped_only_for_it(change, tiny_bundle):
    change("checks", raising(RuntimeError("gone")))
    plain = run("doctor", "--bundle", tiny_bundle)
    assert plain.exit_code == 0, plain.output
    assert "absent   back end toy: back end toy (" in plain.stdout
    named = run("doctor", "--bundle", tiny_bundle, "--backend", "toy")
    assert named.exit_code == 3
    assert "MISSING  back end toy: " in named.stdout
    assert "Traceback" not in named.output


def test_a_check_from_outside_does_not_hide_one_of_ours(change, tiny_bundle):
    change("checks", giving([Check("back end onnxruntime", False, "no", required=False)]))
    checks = {check.name: check for check in trml_rt.doctor(tiny_bundle).checks}
    assert checks["back end onnxruntime"].ok


class Engine:
    """A toy engine with one part changed."""

    def __init__(self, inner, **changed):
        self._inner = inner
        self.__dict__ |= changed

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.fixture
def spoil(change, bundle_copy, monkeypatch):
    """Return a runtime on toy engines that are built right, and then changed."""
    trml_rt.build(bundle_copy, backend="toy")
    right = sys.modules["toy_backend"].ToyBackend.load

    def put(make):
        def load(self, engine, path):
            return make(right(self, engine, path))

        monkeypatch.setattr(sys.modules["toy_backend"].ToyBackend, "load", load)
        return trml_rt.load(bundle_copy, backend="toy", precision="fp32")

    return put


@pytest.mark.parametrize("lacking", ["run", "close"])
def test_an_engine_without_a_function_is_refused_when_it_loads(spoil, lacking):
    rt = spoil(lambda engine: Engine(engine, **{lacking: None}))
    with rt, pytest.raises(EnvironmentUnfit, match=f"{WHO}what load gives lacks {lacking}; "):
        rt.infer(text="good")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_engine_that_errs_is_named(spoil, error):
    rt = spoil(lambda engine: Engine(engine, run=raising(error)))
    with rt, pytest.raises(EnvironmentUnfit, match=rf"{WHO}run failed \({type(error).__name__}"):
        rt.infer(text="good")


def test_a_load_that_errs_is_named(spoil):
    rt = spoil(raising(ValueError("no toy")))
    with rt, pytest.raises(EnvironmentUnfit, match=rf"{WHO}load failed \(ValueError: no toy\)"):
        rt.infer(text="good")


def test_an_engine_that_cannot_be_closed_costs_no_answer(spoil, caplog):
    with spoil(lambda engine: Engine(engine, close=raising(RuntimeError("stuck")))) as rt:
        assert rt.infer(text="good").backend == "toy"
    warned = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 2  # each engine was closed
    assert "close failed (RuntimeError: stuck)" in warned[0]


def test_outputs_that_are_not_those_of_the_manifest_are_refused(spoil):
    rt = spoil(lambda engine: Engine(engine, run=giving({"text_vector": np.zeros((1, 5))})))
    with rt, pytest.raises(ArtefactMismatch, match="text on toy: 'text_vector' must be float32"):
        rt.infer(text="good")


class Chain:
    def __init__(self, engines, answer):
        self.engines, self.answer = engines, answer

    def run(self, tensors):
        made = {}
        for engine in self.engines.values():
            names = [each.name for each in engine._session.get_inputs()]
            made |= engine.run({name: (tensors | made)[name] for name in names})
        return self.answer(made, dict.fromkeys(self.engines, 1.5))

    def close(self):
        pass


def linking(change, answer):
    class Linking(sys.modules["toy_backend"].ToyBackend):
        def link(self, engines):
            return Chain(engines, answer)

    change("ToyBackend", Linking)


def test_a_back_end_from_outside_links_its_own_engines(change, bundle_copy):
    linking(change, lambda made, ms: (made, ms))
    trml_rt.build(bundle_copy, backend="toy", verify=False)
    with trml_rt.load(bundle_copy, backend="toy", precision="fp32") as rt:
        assert rt.infer(text="good").ms["fuse_text"] == 1.5


@pytest.mark.parametrize(
    "answer",
    [lambda made, ms: made, lambda made, ms: (made, None), lambda made, ms: (made, {1: 1})],
)
def test_a_chain_that_gives_no_times_is_refused(change, bundle_copy, answer):
    linking(change, answer)
    trml_rt.build(bundle_copy, backend="toy", verify=False)
    with (
        trml_rt.load(bundle_copy, backend="toy", precision="fp32") as rt,
        pytest.raises(EnvironmentUnfit, match=f"{WHO}run of a chain must give its tensors and mil"),
    ):
        rt.infer(text="good")


def test_a_device_that_cannot_be_told_ends_a_bench_before_it_times(
    change, bundle_copy, monkeypatch
):
    trml_rt.build(bundle_copy, backend="toy")
    change("device", raising(RuntimeError("gone")))
    monkeypatch.setattr(sys.modules["trml_rt.bench"], "interleave", None)
    with pytest.raises(EnvironmentUnfit, match=f"{WHO}device failed"):
        trml_rt.bench(bundle_copy, backend="toy")
