"""A short document of tables, lists and pictures, as one HTML file or as Markdown with its pictures beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from urllib.parse import quote

from ..errors import InputError
from ..tools.atomic_write import atomic_write, check_writable
from ..tools.os_errors import explained
from ..tools.tables import Table

SUFFIXES = (".html", ".md")

_CSS = """
body { font: 15px/1.45 system-ui, sans-serif; color: #111; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 1.8rem; border-bottom: 1px solid #bbb; }
table { border-collapse: collapse; margin: 0.6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 0.8rem 0.15rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #111; } td.number, th.number { text-align: right; }
ul.warnings { border-left: 4px solid #D55E00; padding: 0.4rem 1.6rem; background: #fdf3ec; }
figure { margin: 1rem 0; break-inside: avoid; } figcaption { color: #444; } img { max-width: 100%; }
@page { margin: 15mm; }
@media print {
  body { font-size: 9pt; margin: 0; max-width: none; }
  tr { break-inside: avoid; } h2 { break-after: avoid; }
}
"""


@dataclass(frozen=True)
class Warnings:
    """What the reader should act on."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A PNG, the stem of its file name, and what it shows."""

    name: str
    png: bytes
    caption: str
    inches: float
    """Width in print."""


Block = str | Table | Warnings | Picture
"""A string is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole page."""

    title: str
    sections: tuple[Section, ...]

    def pictures(self) -> Iterator[Picture]:
        """All pictures, in order."""
        for section in self.sections:
            yield from (block for block in section.blocks if isinstance(block, Picture))


def check_document_path(path: str | PathLike[str]) -> None:
    """Check, before the work, that a document can be written there.

    Raises
    ------
    InputError
        if the ending is not one of `SUFFIXES`, or the folder cannot be written to.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(
            "the ending is of no page that can be written",
            file=path,
            value=Path(path).suffix,
            expected=" or ".join(SUFFIXES),
        )
    check_writable(path)


def write_document(path: str | PathLike[str], document: Document) -> list[str]:
    """Write HTML or Markdown, by the ending of the name; return the files written.

    The pictures of Markdown go to a folder NAME-pictures beside it.

    Raises
    ------
    InputError
        if something cannot be written.
    """
    path = Path(path)
    check_document_path(path)
    written: list[str] = []
    if path.suffix.lower() == ".html":
        text = to_html(document)
    else:
        folder = path.with_name(f"{path.stem}-pictures")
        text = to_markdown(document, folder.name)
        with explained("cannot be made", folder, "a folder for the pictures"):
            folder.mkdir(exist_ok=True)
        for picture in document.pictures():
            file = folder / f"{picture.name}.png"
            with atomic_write(file, "wb") as stream:
                stream.write(picture.png)
            written.append(str(file))
    with atomic_write(path) as stream:
        stream.write(text)
    return [str(path), *written]


def to_html(document: Document) -> str:
    """One self-contained HTML file: style and pictures inside."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(document.title)}</title>",
        f"<style>{_CSS}</style></head><body>",
        f"<h1>{escape(document.title)}</h1>",
    ]
    for section in document.sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [_html(block) for block in section.blocks]
    return "\n".join([*parts, "</body></html>", ""])


def _html(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    if isinstance(block, Warnings):
        return '<ul class="warnings">' + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>"
    if isinstance(block, Picture):
        data = base64.b64encode(block.png).decode("ascii")
        return (
            f'<figure><img alt="{escape(block.caption)}" style="width:{block.inches:g}in" '
            f'src="data:image/png;base64,{data}"><figcaption>{escape(block.caption)}</figcaption></figure>'
        )

    def row(cells: tuple[str, ...], tag: str) -> str:
        kinds = [' class="number"' if right else "" for right in block.right]
        return "<tr>" + "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds)) + "</tr>"

    head = row(block.header, "th") if any(block.header) else ""
    return "<table>" + head + "".join(row(cells, "td") for cells in block.rows) + "</table>"


def to_markdown(document: Document, folder: str) -> str:
    """Markdown with tables; pictures are looked for in `folder`, relative to it."""
    parts = [f"# {_plain(document.title)}"]
    for section in document.sections:
        parts.append(f"## {_plain(section.title)}")
        for block in section.blocks:
            if isinstance(block, str):
                parts.append(_plain(block))
            elif isinstance(block, Warnings):
                parts.append("\n".join(f"- **{_plain(item)}**" for item in block.items))
            elif isinstance(block, Picture):
                parts.append(
                    f"![{_plain(block.caption)}]({quote(f'{folder}/{block.name}.png')})\n\n*{_plain(block.caption)}*"
                )
            else:
                rule = ["--:" if right else "---" for right in block.right]
                lines = [block.header, tuple(rule), *block.rows]
                parts.append(
                    "\n".join(
                        "| " + " | ".join(cell if cells is lines[1] else _plain(cell) for cell in cells) + " |"
                        for cells in lines
                    )
                )
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    for character in "\\`*_<|[":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
