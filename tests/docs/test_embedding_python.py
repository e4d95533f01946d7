"""The page on embedding in Python names every public name, with the arguments that it has."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import trml_rt

PAGE = (Path(__file__).parents[2] / "docs" / "embedding-python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FUNCTIONS = [name for name in trml_rt.__all__ if inspect.isfunction(getattr(trml_rt, name))]
SHOWN = {
    node.name: node
    for block in BLOCKS
    if block.startswith("def ")
    for node in ast.parse(block).body
    if isinstance(node, ast.FunctionDef)
}
EXAMPLES = [block for block in BLOCKS if "import trml_rt" in block]  # test_examples.py runs them


def test_the_page_shows_every_public_function_and_no_other():
    assert len(FUNCTIONS) > 8
    assert sorted(SHOWN) == sorted(FUNCTIONS)
    assert len(EXAMPLES) + len(SHOWN) == len(BLOCKS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_signature_of_the_page_is_that_of_the_function(name):
    shown, real = SHOWN[name], inspect.signature(getattr(trml_rt, name))
    of_kind = {kind: [] for kind in inspect._ParameterKind}
    for parameter in real.parameters.values():
        of_kind[parameter.kind].append(parameter)
    positional = of_kind[inspect.Parameter.POSITIONAL_OR_KEYWORD]
    named = of_kind[inspect.Parameter.KEYWORD_ONLY]
    assert [argument.arg for argument in shown.args.args] == [p.name for p in positional]
    assert [argument.arg for argument in shown.args.kwonlyargs] == [p.name for p in named]
    defaults = [*shown.args.defaults, *shown.args.kw_defaults]
    expected = [p.default for p in (*positional, *named) if p.default is not p.empty]
    assert [ast.literal_eval(default) for default in defaults] == expected
    assert ast.unparse(shown.returns) == real.return_annotation


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_example_calls_every_public_function(name):
    assert [block for block in EXAMPLES if f"trml_rt.{name}(" in block]


def test_every_argument_is_described_once():
    table = PAGE.split("### The arguments")[1].split("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    arguments = {
        a for name in FUNCTIONS for a in inspect.signature(getattr(trml_rt, name)).parameters
    }
    assert sorted(described) == sorted(arguments)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_field_of_a_result_is_named_in_the_section_of_its_function(name):
    section = PAGE.split(f"### {name}\n")[1].split("\n### ")[0]
    result = getattr(trml_rt, inspect.signature(getattr(trml_rt, name)).return_annotation)
    fields = dataclasses.fields(result) if dataclasses.is_dataclass(result) else ()
    methods = [n for n in vars(result) if not n.startswith("_") and n != "to_dict"]
    names = {field.name for field in fields} | {n for n in methods if callable(vars(result)[n])}
    assert names
    assert [n for n in sorted(names) if not re.search(rf"`(rt\.)?{n}(\(.*?\))?`", section)] == []


def test_every_public_name_is_on_the_page():
    public = [name for name in trml_rt.__all__ if not name.startswith("__")]
    assert [name for name in public if not re.search(rf"\b{name}\b", PAGE)] == []
