"""Readers for what stands behind a keyword: a value, a flag, options, files, rows per species."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from .keyword_file import Document, FileEntry, Located, Option
from .words import Line, Word, integer, is_integer, is_number, logical, species_name, suggestion, text

Reader = Callable[[Document, Line], Any]


def value(convert: Callable[[Word], Any], what: str) -> Reader:
    """Return a reader for the single value after a keyword.

    As in ænet a remark may follow it (``ITERATIONS 1000 epochs``); a second number, an
    assignment or another keyword is refused, for ænet would lose it silently.
    """

    def read(document: Document, line: Line) -> Any:
        words = _after_keyword(line)
        word = next(words, None)
        if word is None:
            line.fail(f"{line.text.split()[0]} without a value", expected=what)
        converted = convert(word)
        _refuse_second_value(document, words)
        return converted

    return read


def path(what: str) -> Reader:
    """Return a reader for a file name; one with blanks must be quoted."""

    def read(document: Document, line: Line) -> str:
        words = _after_keyword(line)
        word = next(words, None)
        if word is None:
            line.fail(f"{line.text.split()[0]} without a name", expected=what)
        nothing_more(words)
        return text(word)

    return read


def flag(document: Document, line: Line) -> bool:
    """Read a flag: true without a value, else a Fortran logical."""
    words = _after_keyword(line)
    word = next(words, None)
    if word is None:
        return True
    converted = logical(word)
    _refuse_second_value(document, words)
    return converted


def paths(document: Document, line: Line) -> tuple[str, ...]:
    """Read one or more file names on the keyword's own line."""
    names = tuple(text(word) for word in _after_keyword(line))
    if not names:
        line.fail(f"{line.text.split()[0]} without a name", expected="one or more files")
    return names


def file_list(document: Document, line: Line) -> tuple[FileEntry, ...]:
    """Read the block of FILES: a count and that many lines, or lines up to a blank one.

    Every line is one path or pattern, blanks and all; quotes around the whole are taken
    off.  With a count, a line named like a keyword is a path, unless a blank line stands
    before it: then the list has ended too early.

    Raises
    ------
    FormatError
        if the list is empty or its length disagrees with the count.
    """
    name = line.text.split()[0].upper()
    first = document.peek()
    if first is None or document.opens_keyword(first):
        line.fail(f"{name} without files", expected="a count or paths on the next line")
    head = next(_words_or_nothing(first), None)
    if head is None or head.quoted or not is_integer(head.text):
        return tuple(_file_entry(entry) for entry in document.take_block(until_blank=True))
    count_line = document.take()
    count = integer(head)
    if count < 1:
        head.fail(f"{name} with this count", "a positive number of files")
    entries: list[FileEntry] = []
    while len(entries) < count:
        entry = document.peek()
        if entry is None or (entry.after_blank and document.opens_keyword(entry)):
            count_line.fail(f"{name} announces {count} paths but {len(entries)} follow")
        entries.append(_file_entry(document.take()))
    surplus = document.peek()
    if surplus is not None and not document.opens_keyword(surplus):
        # After a blank line a misspelt keyword is likelier than one path too many.
        misspelt = surplus.after_blank and get_close_matches(surplus.text.split()[0].upper()[:80], document.keywords)
        if not misspelt:
            found = count + len(document.take_block(until_blank=False))
            count_line.fail(
                f"{name} announces {count} paths but {found} follow", surplus.text, "a keyword or the end of the file"
            )
    return tuple(entries)


def counted_species(document: Document, line: Line, convert: Callable[[Word, Iterator[Word]], Any]) -> tuple[Any, ...]:
    """Read a count and a row per species, as in TYPES; text left over in a row is ignored (ænet)."""
    name = line.text.split()[0].upper()
    if document.at_keyword_or_end():
        line.fail(f"{name} without species", expected="the number of species on the next line")
    count_line = document.take()
    count = integer(next(count_line.words(), Word("", count_line)))
    rows = species_rows(document, line)
    if count != len(rows):
        count_line.fail(f"{name} announces {count} species but {len(rows)} follow")
    return tuple(convert(symbol, words) for symbol, words in rows)


def species_rows(document: Document, line: Line) -> list[tuple[Word, Iterator[Word]]]:
    """Take the rows ``symbol …`` after a keyword: each symbol and the words behind it.

    No keyword is as short as a species name, so the rows end where the next keyword stands.

    Raises
    ------
    FormatError
        if there is no row, or the first word of one is too long.
    """
    rows: list[tuple[Word, Iterator[Word]]] = []
    for row in document.take_block(until_blank=False):
        words = row.words()
        symbol = next(words)
        if len(symbol.text) > 2 and get_close_matches(symbol.text.upper()[:80], document.keywords):
            symbol.fail("unknown keyword", suggestion(symbol.text, document.keywords))
        species_name(symbol)
        rows.append((symbol, words))
    if not rows:
        line.fail(f"{line.text.split()[0]} without species", expected="one row per species")
    return rows


def species_paths(document: Document, line: Line) -> dict[str, str]:
    """Read one row ``symbol file`` per species."""
    found: dict[str, str] = {}
    for symbol, words in species_rows(document, line):
        word = next(words, None)
        if word is None:
            symbol.fail("no file for this species", "symbol file")
        if symbol.text in found:
            symbol.fail("species given twice", "one row per species")
        nothing_more(words)
        found[symbol.text] = text(word)
    return found


def option_words(document: Document, line: Line) -> list[tuple[str, Word]]:
    """Take the lines of a block of options and split them; bare words have an empty key.

    The block ends at a blank line or the next keyword.  Text on the keyword's own line is
    a remark (ænet), unless it looks like options, which would be lost.
    """
    name, *remark = line.text.split(None, 1)
    if remark and "=" in re.split("[!#%]", remark[0])[0]:
        line.fail("options on the line of the keyword", remark[0], f"options below {name}")
    found: list[tuple[str, Word]] = []
    for block_line in document.take_block(until_blank=True):
        found.extend(block_line.options())
    return found


def read_options(pairs: Iterable[tuple[str, Word]], table: Mapping[str, Option]) -> dict[str, Located]:
    """Convert options by `table`; a key ending in ``*`` collects all keys with that stem in a dict.

    Raises
    ------
    FormatError
        if an option is unknown, given twice, bare, or its value malformed.
    """
    found: dict[str, Located] = {}
    for key, word in pairs:
        if not key:
            word.fail("not an option", "key=value")
        if key in table:
            option, member = table[key], None
        else:
            stem, _, member = key.rpartition("_")
            option = table.get(f"{stem}_*") if member else None
            if option is None:
                word.line.fail("unknown option", key, suggestion(key, table))
            member = species_name(Word(member, word.line))
        converted = option.convert(word)
        if member is None:
            twice = option.field in found
            found[option.field] = Located(converted, word.line.number)
        else:
            located = found.setdefault(option.field, Located({}, word.line.number))
            twice = member in located.value
            located.value[member] = converted
        if twice:
            word.line.fail("option given twice", key, "each option once")
    return found


def nothing_more(words: Iterator[Word]) -> None:
    """Raise FormatError if there is another word on the line."""
    word = next(words, None)
    if word is not None:
        word.fail("unexpected text", "the end of the line (names with blanks in quotes, remarks after !)")


def quote(name: str) -> str:
    """Return `name` so that it is read back as one word, by ænet too (which stops at a slash)."""
    if not name or name[0] in "!#%" or any(c in "/,\"'=" or c.isspace() for c in name):
        return '"' + name.replace('"', '""') + '"'
    return name


def format_file_list(name: str, entries: Iterable[FileEntry]) -> str:
    """Return a block such as FILES with its count."""
    lines = [
        quote(entry.path) if entry.path != entry.path.strip() or entry.path[0] in "!#%\"'" else entry.path
        for entry in entries
    ]
    return "\n".join([name, str(len(lines)), *lines]) + "\n"


def _after_keyword(line: Line) -> Iterator[Word]:
    words = line.words()
    next(words)
    return words


def _refuse_second_value(document: Document, words: Iterator[Word]) -> None:
    word = next(words, None)
    if word is None:
        return
    if is_number(word.text) or "=" in word.text or word.text.upper() in document.keywords:
        word.fail("second value", "one value (remarks after !)")


def _words_or_nothing(line: Line) -> Iterator[Word]:
    # A path is a whole line and may hold a lone quote, so only a plain first word is looked at.
    return iter(()) if line.text[0] in "\"'" else line.words()


def _file_entry(line: Line) -> FileEntry:
    words = []
    if line.text[0] in "\"'" and line.text[-1] == line.text[0]:
        words = list(line.words())
    name = words[0].text if len(words) == 1 else line.text
    if not name.strip():
        line.fail("empty name", line.text, "a path or a pattern")
    return FileEntry(name, line.number)
