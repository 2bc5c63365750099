"""What the manual takes from the program instead of repeating it, and equations as MathML.

In a page, `{{ keywords train }}` stands for the tables of train.in, `{{ findings }}` for what the data check looks for,
`{{ commands }}` for what all commands print with --help, and `{{ api }}` for all public names.  Equations stand between
dollar signs, as in LaTeX.
"""

from __future__ import annotations

import html
import os
import re
from importlib import import_module
from typing import Any

from latex2mathml.converter import convert

import taylorfit
from taylorfit.commands import cli
from taylorfit.data.findings import KINDS, NOTES
from taylorfit.settings import tables

PLACE = re.compile(r"^\{\{ (\w+)(?: ([\w-]+))? \}\}$", re.MULTILINE)
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
    return tables.markdown(getattr(import_module(f"taylorfit.settings.{verb}"), f"{verb.capitalize()}Input"), "##")


def findings(_: None) -> str:
    """Table of what the data check looks for."""
    lines = ["| finding | | |", "|---|---|---|"]
    for kind, meaning in KINDS.items():
        lines.append(f"| `{kind}` | {meaning.replace('|', chr(92) + '|')} | {'a note' if kind in NOTES else ''} |")
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


ROOMS = {
    "data": "Reference data",
    "model": "Structures, training sets, networks",
    "taylor": "Displacements",
    "generation": "Training sets",
    "training": "Training",
    "potential": "Potentials",
    "learning": "Learning with few labels",
    "analysis": "Errors",
    "plotting": "Figures",
    "settings": "Settings",
    "errors": "Errors and warnings raised",
}
"""Where public names live → heading, in the order of the page."""


def api(_: None) -> str:
    """The public names, by the rooms they live in; their docstrings follow."""
    sections = {room: [f"## {title}"] for room, title in ROOMS.items()}
    for module, names in taylorfit.EXPORTS.items():
        for name in names:
            # A class may have another name at home
            home = getattr(getattr(taylorfit, name), "__name__", name)
            options = f"    options:\n      heading: {name}\n      toc_label: {name}"
            sections[module.partition(".")[0]].append(f"::: taylorfit.{module}.{home}\n{options}")
    return "\n\n".join("\n\n".join(lines) for lines in sections.values() if len(lines) > 1)


MAKERS = {"keywords": keywords, "findings": findings, "commands": commands, "api": api}
