"""The tables of README and docs, row by row against benchmarks/results."""

import pytest

from published import ROOT, benchmarks, studies

PAGES = benchmarks.PAGES | studies.PAGES


@pytest.mark.parametrize(
    ("rows", "page"), PAGES.items(), ids=lambda each: getattr(each, "__name__", each)
)
def test_a_table_has_the_figures_of_its_results(rows, page):
    text = (ROOT / page).read_text()
    lines = [f"| {' | '.join(row)} |" for row in rows()]
    assert [line for line in lines if line not in text] == []
