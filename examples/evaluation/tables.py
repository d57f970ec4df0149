"""Tables as Markdown."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["code_span", "escaped", "markdown_table"]


def code_span(text: str) -> str:
    """What Markdown shows as it is, with more backticks around than there are in a row inside."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " * (len(fence) > 1)
    return f"{fence}{space}{text}{space}{fence}"


def escaped(text: str) -> str:
    """Text that a person chose, as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lines of a Markdown table: the first column is text, all others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
