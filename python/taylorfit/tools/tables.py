"""Tables of text: through rich on a terminal, plain and as wide as they are in pipes and files."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Cells as text; titles may have several lines."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: bool = False
    """Whether all columns but those of `left` are numbers."""
    left: tuple[int, ...] = (0,)
    rules: tuple[int, ...] = ()
    """Rows with a line above them."""

    @property
    def right(self) -> tuple[bool, ...]:
        """Whether each column stands to the right."""
        n = len(self.header)
        words = {place % n for place in self.left}
        return tuple(self.numeric and place not in words for place in range(n))


def text_lines(table: Table) -> list[str]:
    """A table as plain lines."""
    titles = [title.split("\n") for title in table.header]
    height = max(map(len, titles))
    head = [tuple(title[k] if k < len(title) else "" for title in titles) for k in range(height)]
    widths = [max(map(len, column)) for column in zip(*head, *table.rows)]

    def line(cells: tuple[str, ...]) -> str:
        parts = (c.rjust(w) if right else c.ljust(w) for c, w, right in zip(cells, widths, table.right))
        return "  ".join(parts).rstrip()

    head_lines, rows = [line(cells) for cells in head], [line(cells) for cells in table.rows]
    rule = "-" * max(map(len, head_lines))
    body = [text for k, row in enumerate(rows) for text in ([rule, row] if k in table.rules else [row])]
    return [*head_lines, rule, *body]


def print_table(table: Table, indent: str = "") -> None:
    """Print a table, each plain line behind `indent`."""
    if not sys.stdout.isatty():
        print("\n".join(indent + line for line in text_lines(table)))
        return
    # Only here: it takes longer to load than a short command to run
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD)
    for title, right in zip(table.header, table.right):
        shown.add_column(Text(title), justify="right" if right else "left")
    for k, row in enumerate(table.rows):
        if k in table.rules:
            shown.add_section()
        shown.add_row(*map(Text, row))
    Console().print(shown)
