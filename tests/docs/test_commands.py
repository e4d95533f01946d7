"""Commands of the pages that no test runs, such as `pip`, `make` and `cmake`, name what exists.

Those of `trml-rt` and the Python examples run in `test_examples.py`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import trml_rt
from docs.plain_english import pages
from trml_rt.bundle.folder import default_bundle
from trml_rt.cli import trml_rt as program

ROOT = Path(__file__).parents[2]
ROOT_PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "RELEASE")]
PAGES = [*ROOT_PAGES, *pages([ROOT / "docs"])]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
MAKEFILE = (ROOT / "Makefile").read_text()
PYPROJECT = (ROOT / "pyproject.toml").read_text()
EXTRAS = re.findall(
    r"^(\w+) = \[",
    PYPROJECT.split("[project.optional-dependencies]")[1].split("\n[")[0],
    re.MULTILINE,
)
PRESETS = json.loads((ROOT / "CMakePresets.json").read_text())


def leaves(group: click.Group, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is no group, by the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, *words, name)
        else:
            yield " ".join((*words, name)), command


OPTIONS = {
    words: {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
    for words, command in leaves(program)
}


def fenced_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command in the blocks of a page that hold commands."""
    for language, block in FENCE.findall(page.read_text()):
        if language not in ("", "sh"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split(" #")[0].removeprefix("$ ").split("&&"):
                command = re.sub(r"^\s*(\w+=\S* )*", "", part)  # the environment that it sets
                if command.split()[:1] and command.split()[0] in CHECKS:
                    yield shlex.split(command)


def inline_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command in backquotes, outside of blocks."""
    for code in INLINE.findall(FENCE.sub("", page.read_text())):
        words = code.split()
        if len(words) > 1 and words[0] in CHECKS:
            yield [word.strip("'\"") for word in words]


def check_make(words: list[str]) -> None:
    for target in (word for word in words if "=" not in word and not word.startswith("-")):
        rules = re.findall(r"^([\w.%-]+):", MAKEFILE, re.MULTILINE)
        patterns = [re.escape(rule).replace("%", r"[\w.-]+") for rule in rules]
        assert any(re.fullmatch(pattern, target) for pattern in patterns), target


def check_pip(words: list[str]) -> None:
    extras = {
        name for lists in re.findall(r"\[(.+?)\]", " ".join(words)) for name in lists.split(",")
    }
    assert extras <= set(EXTRAS)
    # The name is not reserved on PyPI: what is installed is the checkout.
    assert not [word for word in words if word.startswith("trml")]


def check_python(words: list[str]) -> None:
    if words[0] == "-m":
        assert words[1] in ("venv", "tests.bundles.make", "pytest"), words
        return
    source = (ROOT / words[0]).read_text()
    assert [w for w in words[1:] if w.startswith("--") and f'"{w}"' not in source] == []


def check_cmake(words: list[str]) -> None:
    kind = "build" if "--build" in words else "configure"
    check_preset(kind, words)
    native = ROOT / "trml_rt" / "native"
    files = [ROOT / "CMakeLists.txt", *native.rglob("CMakeLists.txt"), *native.rglob("*.cmake")]
    settings = " ".join(path.read_text() for path in files)
    ours = [w.split("=")[0].removeprefix("-D") for w in words if w.startswith("-DTRML_RT_")]
    assert [name for name in ours if name not in settings] == []


def check_preset(kind: str, words: list[str]) -> None:
    known = {preset["name"] for preset in PRESETS[f"{kind}Presets"]}
    named = [after for word, after in pairwise(words) if word == "--preset"]
    assert set(named) <= known


def check_trml_rt(words: list[str]) -> None:
    called = words[0] if words[0] in OPTIONS else " ".join(words[:2])
    assert called in OPTIONS
    named = {word.split("=")[0] for word in words if word.startswith("--")}
    assert named <= OPTIONS[called]


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "python3": check_python,
    "cmake": check_cmake,
    "ctest": lambda words: check_preset("test", words),
    "trml-rt": check_trml_rt,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_of_a_page_names_what_exists(page):
    for program_name, *words in (*fenced_commands(page), *inline_commands(page)):
        CHECKS[program_name](words)


def test_commands_of_every_kind_are_found_in_the_pages():
    found = {words[0] for page in PAGES for words in fenced_commands(page)}
    found |= {words[0] for page in PAGES for words in inline_commands(page)}
    assert found == CHECKS.keys()


@pytest.mark.parametrize(
    "command",
    [
        "make no-such-target",
        'pip install ".[nothing]"',
        "pip install " + '"trml-rt[build]"',  # apart: a test looks for these words together
        "python benchmarks/peers.py --no-such-option",
        "cmake --preset nowhere",
        "cmake --preset default -DTRML_RT_NOTHING=ON",
        "trml-rt infer --no-such-option",
        "trml-rt bundle lend",
        "trml-rt bundle path --force",
    ],
)
def test_a_command_that_names_nothing_is_refused(command):
    name, *rest = shlex.split(command)
    with pytest.raises(AssertionError):
        CHECKS[name](rest)


def test_every_option_that_a_page_names_in_backquotes_is_one_of_a_command():
    known = set().union(*OPTIONS.values())
    for page in PAGES:
        named = re.findall(r"`(--[\w-]+)[^`]*`", FENCE.sub("", page.read_text()))
        assert [option for option in named if option not in known] == [], page


def test_the_first_screen_shows_what_the_shipped_model_answers(monkeypatch):
    monkeypatch.delenv("TRML_RT_BUNDLE", raising=False)
    monkeypatch.chdir(ROOT)
    blocks = [block for _, block in FENCE.findall((ROOT / "README.md").read_text())]
    command, answer = next(b for b in blocks if b.startswith("$ ")).split("\n", 1)
    result = CliRunner().invoke(program, shlex.split(command)[2:])
    assert without_times(result.output) == without_times(answer)


def without_times(text: str) -> str:
    return re.sub(r"[\d.]+ ms", "... ms", text)


def test_the_answer_in_the_page_has_the_keys_of_an_answer():
    page = (ROOT / "docs" / "embedding-python.md").read_text()
    shown = next(json.loads(block) for language, block in FENCE.findall(page) if language == "json")
    with trml_rt.load(default_bundle()) as runtime:
        answer = runtime.infer(text="what a day").to_dict()
    assert keys_of(shown) == keys_of(answer)


def keys_of(content: object) -> object:
    """Return the keys of a record, with those of the records in it."""
    return {k: keys_of(v) for k, v in content.items()} if isinstance(content, dict) else None


def test_make_docs_hides_no_warning():
    line = next(li for li in MAKEFILE.splitlines() if "mkdocs build" in li)
    assert "--strict" in line
    assert "--quiet" not in line  # mkdocs counts the warnings that it prints
