"""Every sentence that troubleshooting shows is one of ours, and stands under its exit code.

The templates come from the places in the source that make an error. What a template fills in may
be anything; the words around it must be those of the page, from the first to the last.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from trml_rt import errors

ROOT = Path(__file__).parents[2]
SOURCES = ("trml_rt", "export/trml_export", "calibration/trml_calibration")
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
CODES = {
    name: kind.exit_code
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.TrmlError)
}
HOLE, QUOTED, MORE = "\0", "\1", "\2"  # anything; anything in quotes; anything or nothing
FILLED = {HOLE: "(?s:.+)", QUOTED: "(?s:'.*'|\".*\")", MORE: "(?s:.*)"}
LEAST = 7  # letters of its own that a template needs to say anything


class Templates:
    """What the sentences of one module look like."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = tree
        self.functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for scope in (*self.functions.values(), self.module):
            for call in ast.walk(scope):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                    continue
                if call.func.id in CODES and call.args:
                    for text in self.texts(call.args[0], scope):
                        yield CODES[call.func.id], text
                elif call.func.id == "refuse":
                    source, problems = call.args
                    pairs = itertools.product(
                        self.texts(source, scope), self.joined("; ", problems, scope)
                    )
                    for before, after in pairs:
                        yield errors.ArtefactMismatch.exit_code, f"{before}: {after}"

    def texts(self, node: ast.expr, scope: ast.AST, depth: int = 0) -> list[str]:
        """Return what the expression may be, with holes where the source does not say."""
        if depth > 8:
            return [HOLE]
        deeper = (scope, depth + 1)
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return self.product(self.texts(part, *deeper) for part in parts)
            case ast.FormattedValue(conversion=conversion) if conversion == ord("r"):
                return [QUOTED]
            case ast.FormattedValue(value=value, format_spec=None):
                return self.texts(value, *deeper)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.product(self.texts(side, *deeper) for side in (left, right))
            case ast.IfExp(body=body, orelse=other):
                return self.texts(body, *deeper) + self.texts(other, *deeper)
            case ast.Name(id=name):
                values = list(self.values(name, scope))
                return [t for value in values for t in self.texts(value, *deeper)] or [HOLE]
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(sep)), attr="join")):
                return self.joined(sep, node.args[0], scope)
            case ast.Call(func=ast.Attribute(value=text, attr="format")):
                return [t.replace("{}", HOLE) for t in self.texts(text, *deeper)]
            case ast.Call(func=ast.Name(id=name)) if name in self.functions:
                function = self.functions[name]
                given = [n.value for n in ast.walk(function) if isinstance(n, ast.Return)]
                said = [t for v in given if v for t in self.texts(v, function, depth + 1)]
                return said or [HOLE]
        return [HOLE]

    def values(self, name: str, scope: ast.AST) -> Iterator[ast.expr]:
        """Yield what is put under `name` in the function, else in the module."""
        for place in (scope, self.module):
            found = False
            for node in ast.walk(place) if place is scope else ast.iter_child_nodes(place):
                match node:
                    case ast.Assign(targets=[ast.Name(id=target)], value=value):
                        pass
                    case ast.NamedExpr(target=ast.Name(id=target), value=value):
                        pass
                    case _:
                        continue
                if target == name and not (isinstance(value, ast.Constant) and value.value is None):
                    found = True
                    yield value
            if found:
                return

    def joined(self, separator: str, items: ast.expr, scope: ast.AST) -> list[str]:
        """Return what a list of texts gives when it is joined."""
        match items:
            case ast.List(elts=elements):
                parts = [
                    [HOLE] if isinstance(e, ast.Starred) else self.texts(e, scope) for e in elements
                ]
                return [separator.join(each) for each in itertools.product(*parts)]
            case ast.Name(id=name):
                said = []
                for node in ast.walk(scope):
                    match node:
                        case ast.Call(func=ast.Attribute(ast.Name(id=listed), "append")):
                            said += self.texts(node.args[0], scope) if listed == name else []
                        case ast.Assign([ast.Name(id=listed)], ast.List(elts=[first, *_])):
                            said += self.texts(first, scope) if listed == name else []
                return [text + MORE for text in said] or [HOLE]
        return [HOLE]

    @staticmethod
    def product(parts: Iterator[list[str]]) -> list[str]:
        return ["".join(each) for each in itertools.islice(itertools.product(*parts), 64)]


@cache
def templates() -> tuple[tuple[int, int, re.Pattern[str]], ...]:
    """Return the exit code, the number of own letters and the pattern of every template."""
    found = {
        template
        for source in SOURCES
        for path in (ROOT / source).rglob("*.py")
        for template in Templates(ast.parse(path.read_text()))
    }
    counted = [(code, sum(c.isalpha() for c in text), text) for code, text in found]
    return tuple(
        (code, own, re.compile("".join(FILLED.get(c) or re.escape(c) for c in text)))
        for code, own, text in counted
        if own >= LEAST
    )


def codes_of(sentence: str) -> set[int]:
    """Return the exit codes of the templates that fit `sentence` best; empty if none fits."""
    fitting = [(own, code) for code, own, pattern in templates() if pattern.fullmatch(sentence)]
    return {code for own, code in fitting if own == max(fitting)[0]}


SECTIONS = {
    int(section.split(maxsplit=1)[0].rstrip(":")): section
    for section in PAGE.split("\n## Exit code ")[1:]
}
BLOCK = re.compile(r"^```text\ntrml-rt: (.*?)\n```$", re.MULTILINE | re.DOTALL)
SHOWN = [(code, text) for code, section in SECTIONS.items() for text in BLOCK.findall(section)]


@pytest.mark.parametrize(("code", "sentence"), SHOWN)
def test_a_sentence_of_the_page_is_one_of_ours_and_stands_under_its_exit_code(code, sentence):
    # The command line puts the option in the place of the argument that a sentence begins with.
    as_in_python = re.sub(
        r"^--([\w-]+): ", lambda found: found[1].replace("-", "_") + ": ", sentence
    )
    assert code in codes_of(sentence) | codes_of(as_in_python)


@pytest.mark.parametrize("sentence", [text for _, text in SHOWN])
def test_a_sentence_is_followed_by_what_it_means(sentence):
    after = PAGE.split(f"trml-rt: {sentence}\n```\n", 1)[1].split("\n```text", 1)[0]
    assert re.match(r"\n[A-Z`].*\.\n", after), after


def test_every_exit_code_has_a_section_and_the_page_shows_many_sentences():
    assert SECTIONS.keys() == {*CODES.values(), 130}
    assert len(PAGE.split("```text\n")) == len(SHOWN) + 1  # each block is read
    assert len(SHOWN) == len({text for _, text in SHOWN}) >= 45
    assert {code for code, _ in SHOWN} == {2, 3, 4, 5, 6, 7}


@pytest.mark.parametrize(
    ("sentence", "codes"),
    [
        ("neither text nor video is given; give at least one", {2}),
        ("neither text nor video is given", set()),  # not whole
        ("neither text nor video was given; give at least one", set()),  # other words
        ("a.mp4: the file is empty; record or copy the clip again", {6}),
        ("a.mp4: gone", set()),  # what any template with holes alone would take
        ("a.jsonl: no row of the split 'dev' can be used; name another --split", {2}),
        ("a.jsonl: no row of the split dev can be used; name another --split", set()),
        (
            "b: onnx/text.onnx: 3 bytes expected, 2 found; x: file is missing; copy it",
            {5},
        ),
        ("b: cannot be written (why); free some space and try again", {3}),
    ],
)
def test_a_sentence_fits_its_own_template_only(sentence, codes):
    assert codes_of(sentence) == codes
