"""Tables as Markdown."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["escaped", "markdown_table"]


def escaped(text: str) -> str:
    """Escape text, so that Markdown shows it literally."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table. The first column is text, all others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
