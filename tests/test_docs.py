"""The documents say what the code does: links, keys, paths, quoted sentences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.plain_english import LONG, pages, reading

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / f"{n}.md" for n in ("README", "CONTRIBUTING", "SECURITY", "RELEASE")),
    *pages([DOCS]),
]
SOURCES = ("trml_rt", "export/trml_export", "calibration/trml_calibration")


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_between_pages_leads_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_is_in_plain_english(page):
    page_reading = reading(page.read_text())
    assert page_reading.passed, (page_reading.average, page_reading.long, LONG)


def test_every_configuration_key_is_documented():
    pytest.importorskip("torch")
    from trml_export.config import Config

    table = (DOCS / "training.md").read_text()
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


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_of_ours_that_a_page_names_exists(page):
    roots = "trml_rt|trml_export|trml_calibration|export|calibration|tests|benchmarks"
    named = set(re.findall(rf"`((?:{roots})/[\w./-]*)`", page.read_text()))
    places = (ROOT, ROOT / "export", ROOT / "calibration")
    assert [n for n in sorted(named) if not any((place / n).exists() for place in places)] == []


ARCHITECTURE = (DOCS / "architecture.md").read_text()


def module_of(path):
    return path.removesuffix("/").removesuffix(".py").replace("/", ".")


def contracts():
    """Return the import-linter contracts by name."""
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11 for tomllib")
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["name"]: contract for contract in linter["contracts"]}


def test_the_architecture_page_names_every_package_and_every_module_of_the_runtime():
    packages = [init.parent for s in SOURCES for init in (ROOT / s).rglob("__init__.py")]
    modules = [
        path
        for source in ("trml_rt", "calibration/trml_calibration")
        for path in (ROOT / source).rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert len(packages) > 12
    assert len(modules) > 60
    assert [n for n in map(name_of, sorted(packages + modules)) if n not in ARCHITECTURE] == []


def test_the_floors_of_the_architecture_page_are_the_layers_of_the_contract():
    layers = contracts()["the floors of the house"]["layers"]
    section = ARCHITECTURE.split("## The floors of the house")[1].split("Rooms on one floor")[0]
    floors = [
        {module_of(path) for path in re.findall(r"`(trml_rt/[\w/.]+)`", floor)}
        for floor in re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]
    ]
    assert floors == [set(layer.split(" | ")) for layer in layers]


def test_the_rooms_that_ask_the_other_packages_are_those_of_the_page():
    told = ARCHITECTURE.split("Five rooms ask the other two packages")[1].split("\n")[0]
    rooms = {module_of(path) for path in re.findall(r"`(trml_rt/[\w/.]+)`", told)}
    asks = re.compile(r"^ +from (trml_calibration|trml_export)\b", re.MULTILINE)
    asking = {
        module_of(name_of(path))
        for path in (ROOT / "trml_rt").rglob("*.py")
        if path.parent.name != "cli" and asks.search(path.read_text())
    }
    assert rooms == asking
    contract = contracts()["five rooms ask the other packages, inside a function"]
    assert not rooms & set(contract["source_modules"])


def test_the_top_of_the_runtime_stays_small():
    assert len(list((ROOT / "trml_rt").glob("*.py"))) <= 14


def test_the_limits_in_the_page_are_those_of_the_table():
    from trml_rt.proof.compare import LIMITS

    page = (DOCS / "building" / "verification.md").read_text()
    rows = [
        ", ".join(f"{v:g}" for v in (limits.cosine, limits.cosine_fails))
        for limits in LIMITS.values()
    ]
    assert f"| {' | '.join(rows)} |" in page
    assert f"| {' | '.join(f'{limits.score:g}' for limits in LIMITS.values())} |" in page
    assert f"| {' | '.join(f'{limits.rank:g}' for limits in LIMITS.values())} |" in page
