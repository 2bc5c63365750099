"""What the manual takes from the program instead of repeating it, and equations as MathML.

In a page, `{{ keywords train }}` stands for the tables of train.in, and `{{ commands }}` for what all commands
print with --help.  Equations stand between dollar signs, as in LaTeX.
"""

from __future__ import annotations

import html
import os
import re
from importlib import import_module
from typing import Any

from latex2mathml.converter import convert

from taylorfit.commands import cli

PLACE = re.compile(r"^\{\{ (\w+)(?: ([\w-]+))? \}\}$", re.MULTILINE)
ENTRY = re.compile(r"  (\S+) +(.*)")
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in the tables and help texts."""
    return PLACE.sub(lambda found: MAKERS[found[1]](found[2]), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Turn equations into MathML, which browsers draw without scripts."""
    return EQUATION.sub(
        lambda found: convert(html.unescape(found[3]), display="inline" if found[1] == "span" else "block"), content
    )


def keywords(verb: str) -> str:
    """Tables of the keywords of an input file and of their options, from their declarations."""
    lines: list[str] = []
    for line in import_module(f"taylorfit.settings.{verb}").describe_keywords().splitlines():
        entry = ENTRY.fullmatch(line)
        if entry is None:
            lines += ["", f"### {line[:1].upper()}{line[1:].rstrip(':')}", ""] if line else []
            continue
        if not (lines and lines[-1].startswith("|")):
            lines += ["| name | meaning (default) |", "|---|---|"]
        meaning = html.escape(entry[2], quote=False).replace("|", r"\|").replace("*", r"\*").replace("_", r"\_")
        lines.append(f"| `{entry[1]}` | {meaning} |")
    return "\n".join(lines)


def commands(_: None) -> str:
    """Help of every command, each under a heading of its own."""
    os.environ["COLUMNS"] = "110"
    sections = []
    for name in cli.COMMANDS:
        parsers = cli._parser([name])._subparsers
        assert parsers is not None
        text = parsers._group_actions[0].choices[name].format_help()
        sections.append(f"## {name}\n\n```text\n{text}```")
    return "\n\n".join(sections)


MAKERS = {"keywords": keywords, "commands": commands}
