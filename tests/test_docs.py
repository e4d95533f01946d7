"""The documents say what the code does: links, commands, options, configuration keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trml_rt.cli import trml_rt

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_in_a_page_exists(page):
    wrong = []
    for line in re.findall(r"^(?:\$ )?trml-rt (.+)$", page.read_text(), re.MULTILINE):
        command, *rest = line.split("#")[0].split()
        known = trml_rt.commands.get(command)
        options = (
            {o for p in known.params for o in (*p.opts, *p.secondary_opts)} if known else set()
        )
        wrong += [line for w in rest if w.startswith("--") and w not in options | {"--help"}]
        wrong += [] if known else [line]
    assert wrong == []


def test_every_configuration_key_is_documented():
    pytest.importorskip("torch")
    from trml_export.config import Config

    table = (ROOT / "docs" / "training.md").read_text()
    assert [key for key in Config.model_fields if f"`{key}`" not in table] == []


def test_every_result_file_that_a_page_names_is_committed():
    named = {
        n for page in PAGES for n in re.findall(r"benchmarks/results/[\w./-]+", page.read_text())
    }
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_readme_names_the_commands_of_the_first_screen():
    top = (ROOT / "README.md").read_text()[:1500]
    assert "make demo" in top
    assert "make test" in top
