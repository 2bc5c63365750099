"""Tables of options, made of their declarations: for ``--help`` and for the manual."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .keyword_file import InputFile
from .option import Option, options_of

_ESCAPED = re.compile(r"[|*_]")
"""Characters that would mean something in a table in Markdown."""


def option_tables(cls: type[InputFile]) -> dict[str, Mapping[str, Option]]:
    """Return title → options: the keywords of an input file, then the options that keywords have themselves."""
    keywords = options_of(cls)
    tables: dict[str, Mapping[str, Option]] = {f"Keywords of {cls.file_name}": keywords}
    for key, keyword in keywords.items():
        tables |= keyword.kind.tables(key)
    return tables


def describe(cls: type[InputFile]) -> str:
    """Return the tables of an input file as lines of text, for ``--help``."""
    return "\n\n".join(
        f"{title}:\n" + "\n".join(f"  {key:{max(map(len, table))}}  {entry.line()}" for key, entry in table.items())
        for title, table in option_tables(cls).items()
    )


def markdown(cls: type[InputFile], heading: str = "###") -> str:
    """Return the tables of an input file in Markdown, each under a heading of its own."""
    return "\n\n".join(
        f"{heading} {title[0].upper()}{title[1:]}\n\n{_markdown_table(table)}"
        for title, table in option_tables(cls).items()
    )


def _markdown_table(table: Mapping[str, Option]) -> str:
    rows = [[entry.kind.what, entry.default_text, entry.unit, entry.check, entry.meaning] for entry in table.values()]
    kept = [k for k in range(len(rows[0])) if any(row[k] for row in rows)]
    names = ("Value", "Default", "Unit", "Allowed", "Meaning")
    lines = ["| Name | " + " | ".join(names[k] for k in kept) + " |", "|" + " --- |" * (len(kept) + 1)]
    for key, row in zip(table, rows):
        cells = [_ESCAPED.sub(r"\\\g<0>", row[k]).replace("<", "&lt;") for k in kept]
        lines.append(f"| `{key}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)
