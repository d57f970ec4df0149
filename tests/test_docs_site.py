"""The pages of docs/ as a reader meets them: names, pictures, width and length."""

import re
from importlib import import_module

import pytest

from published import ROOT
from surface import FAMILIES

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
GUIDES = [page for page in PAGES if page.name != "api.md"]
PICTURES = sorted(path for path in DOCS.iterdir() if path.suffix in {".png", ".svg"})
FENCE = re.compile(r"^ *```.*?\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def name(path):
    return path.name


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_of_a_family_lists_all_its_names(family):
    page = (DOCS / f"api/{family}.md").read_text()
    listed = re.findall(r"^   (\w+)$", page.split(".. automodule::")[0], re.MULTILINE)
    listed += re.findall(r"^\.\. py:data:: (\w+)$", page, re.MULTILINE)
    assert sorted(listed) == sorted(import_module(f"uda_seg.{family}").__all__)


def test_the_index_of_the_names_leads_to_each_family():
    index = (DOCS / "api.md").read_text()
    assert re.findall(r"^api/(\w+)$", index, re.MULTILINE) == re.findall(
        r"\(api/(\w+)\.md\)", index
    )
    assert sorted(re.findall(r"\(api/(\w+)\.md\)", index)) == FAMILIES


def test_each_page_stands_in_the_contents():
    contents = re.findall(r"```{toctree}\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    listed = re.findall(r"^(?:.*<)?([\w-]+)>?$", "\n".join(contents), re.MULTILINE)
    assert {page.stem for page in PAGES} - {"index"} <= {*listed}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_line_of_code_fits_into_the_page(page):
    long = []
    text = re.sub(r" *# doctest:.*", "", page.read_text())  # the site shows no such flag
    for block in FENCE.findall(text):
        # What is printed may be long.
        prompts = (">>> ", "... ") if block.startswith(">>> ") else ("",)
        long += [line for line in block.splitlines() if len(line) > 80 and line.startswith(prompts)]
    assert long == []


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_a_page_is_read_in_some_minutes(page):
    lines = FENCE.sub("", page.read_text()).splitlines()
    prose = [line for line in lines if not line.startswith(("|", "    "))]
    assert len(" ".join(prose).split()) <= 900


def test_each_picture_is_shown_somewhere():
    text = "".join(page.read_text() for page in [*PAGES, ROOT / "README.md"])
    assert [path.name for path in PICTURES if f"{path.name})" not in text] == []


@pytest.mark.parametrize("picture", PICTURES, ids=name)
def test_a_picture_is_small(picture):
    assert picture.stat().st_size < (150_000 if picture.suffix == ".svg" else 400_000)
