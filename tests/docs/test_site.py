"""The site refuses what leads nowhere, and has a place for each file that a page links to.

`make docs` runs these tests in its own environment; elsewhere mkdocs is often not installed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs mkdocs: make docs")
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def build(tmp_path):
    """Build a site of the pages that a test gives, with the settings and the hook of ours."""

    def build(**pages):
        folder = tmp_path / "docs"
        folder.mkdir()
        (folder / "index.md").write_text("# Home\n")
        for name, text in pages.items():
            (folder / f"{name}.md").write_text(text)
        settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
        del settings["nav"]
        settings |= {"docs_dir": str(folder), "site_dir": str(tmp_path / "site")}
        settings["hooks"] = [str(ROOT / hook) for hook in settings["hooks"]]
        config = tmp_path / "mkdocs.yml"
        config.write_text(yaml.safe_dump(settings))
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    return build


def test_a_page_whose_links_lead_somewhere_is_built(build):
    result = build(page="# Page\n\n[home](index.md) [here](#page)\n\n::: trml_rt.errors.UsageError")
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[no page](nowhere.md)", "'nowhere.md', but the target is not found"),
        ("[no part](index.md#nowhere)", "'index.md#nowhere', but the doc 'index.md' does not"),
        ("[no file](../nowhere.h)", "'../nowhere.h', but the target is not found"),
        ("[no object][trml_rt.nowhere]", "Could not find cross-reference target"),
        ("::: trml_rt.errors.Nowhere", "trml_rt.errors.Nowhere could not be found"),
    ],
)
def test_a_page_with_a_broken_link_is_refused(build, text, told):
    result = build(page=f"# Page\n\n{text}\n")
    assert result.returncode == 1
    assert told in result.stderr


def test_a_link_to_a_file_of_the_repository_leads_to_its_copy(build, tmp_path):
    header = "trml_rt/native/include/trml_rt/trml_rt.h"
    picture = "benchmarks/results/protocol_pairs/missing_1.png"
    results = "benchmarks/results/protocol_pairs/results.md"
    page = f"# Page\n\n[a](../{header}) ![b](../{picture}) [c](../{results})\n"
    result = build(page=page)
    assert result.returncode == 0, result.stderr
    site = tmp_path / "site"
    shown = (site / "page" / "index.html").read_text()
    copies = (f"{header}/", picture, f"{results.removesuffix('.md')}/")
    assert [to for to in copies if f'"../repository/{to}"' not in shown] == []
    assert (site / "repository" / picture).read_bytes() == (ROOT / picture).read_bytes()
    assert "trml_rt_open" in (site / "repository" / header / "index.html").read_text()
    assert (site / "repository" / results.removesuffix(".md") / "index.html").is_file()
