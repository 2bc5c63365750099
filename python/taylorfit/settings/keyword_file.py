"""The keyword files of ænet (generate.in, train.in, predict.in) and ours, read into dataclasses and written.

Unlike ænet, nothing is ignored silently: an unknown keyword, a keyword given twice and a count that
disagrees with its list are errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from os import PathLike, fspath
from typing import Any, ClassVar, TypeVar

from ..errors import FormatError, InputError
from ..tools.plain_text import fortran_integer
from .document import (
    Document,
    FileEntry,
    Line,
    Located,
    Word,
    integer,
    read_text,
    species_name,
    suggestion,
    text,
    write_text,
)
from .option import REQUIRED, FieldError, Kind, Option, Settings, nothing_more, options_of, own_options, quote

F = TypeVar("F", bound="InputFile")
T = TypeVar("T")


def options(
    cls: type[Settings],
    *,
    below: bool = False,
    what: str = "options",
    example: str = "",
    title: str = "options of {}",
    adjust: Callable[[dict[str, Located], Line], None] = lambda found, line: None,
) -> Kind:
    """Return the kind of ``key=value`` options, below a keyword or on its line, which become a `cls`.

    Parameters
    ----------
    what, example
        What is missing in a line without options, and what could stand there.
    title
        Heads the table of the options in help; ``{}`` is the keyword.
    adjust
        Called with what was found and the line of the keyword, to refuse or change it.
    """
    first = next((entry for entry in own_options(cls) if entry.bare), None)

    def read(document: Document, line: Line) -> Any:
        pairs = option_words(document, line) if below else list(line.options())[1:]
        if not below and (not pairs or (first and pairs[0][0])):
            line.fail(f"{line.keyword} without {what}", expected=f"e.g. {example}")
        found = {}
        if first is not None:
            word = pairs.pop(0)[1]
            found[first.field] = Located(first.kind.convert(word), line.number)
        found |= read_options(pairs, {key: entry for key, entry in options_of(cls).items() if not entry.bare})
        adjust(found, line)
        return build(cls, found, document.file, line.number)

    form = "below" if below else f"{first.field}, options" if first else "options"
    return Kind(
        form,
        write=format_options,
        form=form,
        reader=read,
        is_block=below,
        tables=lambda key: {title.format(key): options_of(cls)},
    )


def format_options(settings: Settings) -> str:
    """Return the line of options that is read back as `settings`: those that are not the default."""
    return " ".join(filter(None, (_format_option(settings, entry) for entry in own_options(type(settings)))))


def _format_option(settings: Settings, entry: Option) -> str:
    if entry.words is not None:
        return entry.words(settings)
    value = getattr(settings, entry.field)
    if value == entry.default and not (entry.always or entry.bare):
        return ""
    if isinstance(value, dict) and entry.key.endswith("*"):
        return " ".join(f"{entry.key[:-1]}{name}={entry.kind.write(one)}" for name, one in value.items())
    return f"{'' if entry.bare else entry.key + '='}{entry.kind.write(value)}"


def build(cls: Callable[..., T], values: Mapping[str, Located], file: str, line: int | None = None) -> T:
    """Construct `cls`, giving errors of its validation the place where the value stands.

    Raises
    ------
    InputError
        if `cls` refuses a value.
    """
    try:
        return cls(**{name: located.value for name, located in values.items()})
    except FieldError as error:
        if error.field in values:
            line = values[error.field].line
        raise InputError(error.message, file=file, line=line, value=error.value, expected=error.expected) from None


def _read_paths(document: Document, line: Line) -> tuple[str, ...]:
    names = tuple(text(word) for word in line.behind_keyword())
    if not names:
        line.fail(f"{line.keyword} without a name", expected="one or more files")
    return names


def read_files(document: Document, line: Line) -> tuple[FileEntry, ...]:
    """Read the block of FILES: a count and that many lines, or lines up to a blank one.

    Every line is one path or pattern, blanks and all; quotes around the whole are taken
    off.  With a count, a line named like a keyword is a path, unless a blank line stands
    before it: then the list has ended too early.

    Raises
    ------
    FormatError
        if the list is empty or its length disagrees with the count.
    """
    name = line.keyword.upper()
    first = document.peek()
    if first is None or document.opens_keyword(first):
        line.fail(f"{name} without files", expected="a count or paths on the next line")
    head = next(_words_or_nothing(first), None)
    if head is None or head.quoted or fortran_integer(head.text) is None:
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
        misspelt = surplus.after_blank and _is_near_a_keyword(surplus.text.split()[0], document)
        if not misspelt:
            found = count + len(document.take_block(until_blank=False))
            count_line.fail(
                f"{name} announces {count} paths but {found} follow", surplus.text, "a keyword or the end of the file"
            )
    return tuple(entries)


def counted_rows(document: Document, line: Line, convert: Callable[[Word, Iterator[Word]], Any]) -> tuple[Any, ...]:
    """Read a count and a row per species, as in TYPES; text left over in a row is ignored (ænet)."""
    name = line.keyword.upper()
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
        if len(symbol.text) > 2 and _is_near_a_keyword(symbol.text, document):
            symbol.fail("unknown keyword", suggestion(symbol.text, document.keywords))
        species_name(symbol)
        rows.append((symbol, words))
    if not rows:
        line.fail(f"{line.keyword} without species", expected="one row per species")
    return rows


def _is_near_a_keyword(text: str, document: Document) -> bool:
    """Whether it may be a misspelt keyword."""
    from difflib import get_close_matches  # which takes a while to import

    return bool(get_close_matches(text.upper()[:80], document.keywords))


def _read_species_paths(document: Document, line: Line) -> dict[str, str]:
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
        stem, _, member = ("", "", "") if key in table else key.rpartition("_")
        option = table.get(f"{stem}_*" if member else key)
        if option is None:
            word.line.fail("unknown option", key, suggestion(key, table))
        if member:
            species_name(Word(member, word.line))
        converted = option.kind.convert(word)
        if not member:
            twice = option.field in found
            found[option.field] = Located(converted, word.line.number)
        else:
            located = found.setdefault(option.field, Located({}, word.line.number))
            twice = member in located.value
            located.value[member] = converted
        if twice:
            word.line.fail("option given twice", key, "each option once")
    return found


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


def _format_files(entries: Iterable[FileEntry]) -> str:
    lines = [
        quote(entry.path) if entry.path != entry.path.strip() or entry.path[0] in "!#%\"'" else entry.path
        for entry in entries
    ]
    return "\n".join([str(len(lines)), *lines])


def format_rows(rows: Mapping[str, str]) -> str:
    """Return one row ``symbol text`` per species."""
    return "\n".join(f"{symbol:2} {row}" for symbol, row in rows.items())


def _format_species_paths(paths: Mapping[str, str]) -> str:
    return format_rows({symbol: quote(path) for symbol, path in paths.items()})


PATHS = Kind("one or more files", write=lambda names: " ".join(map(quote, names)), form="files", reader=_read_paths)
"""One or more file names on the line of the keyword."""
FILES = Kind("files", write=_format_files, form="below", reader=read_files, is_block=True)
"""The block FILES: a count and that many lines, or lines up to a blank one."""
SPECIES_PATHS = Kind("files", write=_format_species_paths, form="below", reader=_read_species_paths, is_block=True)
"""One row ``symbol file`` per species."""


class InputFile(Settings):
    """Base of the dataclasses that hold what an input file says: keys are keywords, in capitals."""

    file_name: ClassVar[str]
    in_capitals: ClassVar[bool] = True

    @classmethod
    def read(cls: type[F], path: str | PathLike[str]) -> F:
        """Read an input file.

        Raises
        ------
        InputError
            if the file cannot be read, a keyword is unknown, given twice or missing, or a
            value cannot be used.
        FormatError
            if the file is not text or a line is malformed.
        """
        file, table = fspath(path), options_of(cls)
        document = Document(file, read_text(path), table)
        if document.peek() is None:
            raise FormatError("empty file", file=file, expected=f"keywords such as {next(iter(table))}")
        found: dict[str, Located] = {}
        while document.peek() is not None:
            line = document.take()
            name = line.keyword
            keyword = table.get(name.upper())
            if keyword is None:
                raise InputError(
                    "unknown keyword", file=file, line=line.number, value=name, expected=suggestion(name, table)
                )
            if keyword.field in found:
                raise InputError(
                    f"{name.upper()} given twice, first on line {found[keyword.field].line}",
                    file=file,
                    line=line.number,
                    value=line.text,
                    expected="one of the two",
                )
            found[keyword.field] = Located(keyword.kind.read(document, line), line.number)
        for keyword in table.values():
            if keyword.default is REQUIRED and keyword.field not in found:
                raise InputError(f"{keyword.key} is missing", file=file, expected=keyword.key)
        return build(cls, found, file)

    def write(self, path: str | PathLike[str]) -> None:
        """Write an input file that reads back as these settings; what has its default is left out.

        Blank lines stand around blocks and around the keywords between two blocks.

        Raises
        ------
        InputError
            if it cannot be written.
        """
        lines: list[str] = []
        for block, group in groupby(own_options(type(self)), key=lambda keyword: keyword.key * keyword.kind.is_block):
            written = [
                keyword.kind.lines(keyword.key, getattr(self, keyword.field))
                for keyword in group
                if keyword.always or getattr(self, keyword.field) != keyword.default
            ]
            if written or not block:
                lines += [*written, ""]
        write_text(path, "\n".join(lines).rstrip("\n") + "\n")
