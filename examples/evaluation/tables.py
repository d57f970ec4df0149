"""Tables as Markdown."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["escaped", "markdown_table"]


def escaped(text: str) -> str:
    """Text that a person chose, as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lines of a Markdown table: the first column is text, all others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
