"""Options: each is declared once, in the field of a dataclass.

Reader and writer of the input files, ``--help``, the manual's tables and the checks of values
all come from that declaration (`option`)::

    steps: int = option(99, check="n ≥ 0", help="largest number of steps")
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from numbers import Real
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from ..errors import InputError
from ..tools.plain_text import fortran_number
from .document import Document, Line, Word, choice, integer, logical, real, text


class Kind(NamedTuple):
    """A kind of value.

    Parameters
    ----------
    what
        What is expected where nothing stands, e.g. "a number".
    convert
        Makes a value of a word, or raises a FormatError.
    write
        Makes the text of a value: one word, or the lines of a block.
    form
        What a line of help shows for the value behind a keyword.
    names
        The names that are allowed, with their meaning or ""; empty: anything that `convert` takes.
    reader
        Reads what stands after a keyword; None: a single word on its line.
    is_name
        Is it a name, which nothing may follow?  As in ænet a remark may follow another value.
    absent
        Its value where nothing stands after the keyword; None: something must.
    is_block
        Does it stand on the lines below the keyword?
    tables
        Title → options, for values that have options themselves.
    """

    what: str
    convert: Callable[[Word], Any] = text
    write: Callable[[Any], str] = str
    form: str = ""
    names: Mapping[str, str] = MappingProxyType({})
    reader: Callable[[Document, Line], Any] | None = None
    is_name: bool = False
    absent: Any = None
    is_block: bool = False
    tables: Callable[[str], Mapping[str, Mapping[str, Option]]] = lambda key: {}

    def read(self, document: Document, line: Line) -> Any:
        """Read what stands after the keyword of `line`.

        Raises
        ------
        FormatError
            if it is missing or malformed, or if a second value follows, which ænet would lose silently.
        """
        if self.reader is not None:
            return self.reader(document, line)
        words = line.behind_keyword()
        word = next(words, None)
        if word is None:
            if self.absent is None:
                line.fail(f"{line.keyword} without a {'name' if self.is_name else 'value'}", expected=self.what)
            return self.absent
        value = self.convert(word)
        if self.is_name:
            nothing_more(words)
        more = next(words, word)
        looks_like_a_value = fortran_number(more.text) is not None or "=" in more.text
        if more is not word and (looks_like_a_value or more.text.upper() in document.keywords):
            more.fail("second value", "one value (remarks after !)")
        return value

    def lines(self, key: str, value: Any) -> str:
        """Return the lines of a keyword with its value."""
        return f"{key}{chr(10) if self.is_block else ' '}{self.write(value)}".rstrip()


def quote(name: str) -> str:
    """Return `name` so that it is read back as one word, by ænet too (which stops at a slash)."""
    if not name or name[0] in "!#%" or any(c in "/,\"'=" or c.isspace() for c in name):
        return '"' + name.replace('"', '""') + '"'
    return name


def one_of(*names: str, **meanings: str) -> Kind:
    """Return the kind of a name in lower case: one of `names`, or of `meanings`, where each comes with its meaning."""
    *most, last = names = names or tuple(meanings)
    listed = " or ".join(filter(None, (", ".join(most), last)))
    return Kind(listed, choice(*names), form="" if meanings else listed, names=meanings or dict.fromkeys(names, ""))


def list_of(kind: Kind, convert: Callable[[Word], Any] | None = None) -> Kind:
    """Return the kind of several values in one word, with commas between them."""
    convert = convert or kind.convert

    def read(word: Word) -> tuple[Any, ...]:
        return tuple(convert(Word(part.strip(), word.line)) for part in word.text.split(","))

    return Kind(f"{kind.what}, or several", read, lambda values: quote(",".join(map(str, values))))


INTEGER = Kind("an integer", integer, form="n")
REAL = Kind("a number", real, repr, form="x")
FLAG = Kind("nothing, or .true. or .false.", logical, lambda on: "" if on else ".false.", "flag", absent=True)
TEXT = Kind("a word", write=quote, is_name=True)
FILE = TEXT._replace(what="a file name", form="file")
FOLDER = TEXT._replace(what="a folder", form="folder")
NAME = TEXT._replace(what="a name", form="name")
EPOCHS = INTEGER._replace(what="epochs")
THREADS = INTEGER._replace(what="a number of threads")
VERBOSITY = one_of("low", "normal", "high")


def nothing_more(words: Iterator[Word]) -> None:
    """Raise FormatError if there is another word on the line."""
    word = next(words, None)
    if word is not None:
        word.fail("unexpected text", "the end of the line (names with blanks in quotes, remarks after !)")


_KIND_OF = {bool: FLAG, int: INTEGER, float: REAL}
_BOUNDS = re.compile(r"(?:(\S+) ([<≤]) )?\w+ ([<≤>≥]) (\S+)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "≤": operator.le,
    ">": operator.gt,
    "≥": operator.ge,
}
_ONE_SIDED = {">0": "{} not positive", "≥0": "{} negative"}


REQUIRED = object()
"""Default of an option that must be given."""


class FieldError(InputError):
    """A field of a dataclass of settings has a value that cannot be used."""

    def __init__(self, field: str, message: str, value: object = None, expected: str | None = None) -> None:
        super().__init__(message, value=value, expected=expected)
        self.field = field


def require(condition: bool, field: str, message: str, value: object = None, expected: str | None = None) -> None:
    """Raise a :class:`FieldError` unless `condition` holds."""
    if not condition:
        raise FieldError(field, message, value, expected)


def require_one_of(field: str, value: str, allowed: Sequence[str]) -> None:
    """Raise a :class:`FieldError` unless `value` is one of `allowed`."""
    require(value in allowed, field, f"unknown {field}", value, "one of " + " ".join(allowed))


def require_distinct_species(field: str, symbols: Sequence[str]) -> None:
    """Raise a :class:`FieldError` unless all species differ and have one or two characters."""
    seen: set[str] = set()
    for symbol in symbols:
        require(len(symbol) in (1, 2), field, "not a species", symbol, "one or two characters")
        require(symbol not in seen, field, "species given twice", symbol, "each species once")
        seen.add(symbol)


class Option(NamedTuple):
    """What the declaration of an option says; see `option`."""

    field: str
    key: str
    kind: Kind
    help: str
    default: Any = REQUIRED
    unit: str = ""
    check: str = ""
    message: str = ""
    expected: str = ""
    shown: str | None = None
    words: Callable[[Any], str] | None = None
    always: bool = False
    bare: bool = False
    normalise: Callable[[Any], Any] | None = None
    is_optional: bool = False

    @property
    def is_keyword(self) -> bool:
        """Whether it is a keyword of a file, rather than a ``key=value`` option."""
        return self.key.isupper()

    @property
    def default_text(self) -> str:
        """The default in words; empty where nothing needs to be said."""
        default = self.default
        if self.shown is not None:
            return self.shown
        if default is REQUIRED or default is None or isinstance(default, bool):
            return ""
        if default in ((), {}, math.inf):
            return "none"
        return re.sub(r"e-0", "e-", f"{default:g}") if isinstance(default, float) else self.kind.write(default)

    @property
    def meaning(self) -> str:
        """What it means, and each of the names that are allowed."""
        names = "; ".join(f"{name}: {meaning}" for name, meaning in self.kind.names.items() if meaning)
        return "; ".join(filter(None, (self.help, names)))

    def line(self) -> str:
        """Return the line of help: what it is, its unit, and the default in parentheses."""
        form = self.kind.form if self.is_keyword or self.kind.names else ""
        text, default = ": ".join(filter(None, (form, self.meaning))), self.default_text
        if self.unit and isinstance(self.default, float) and self.default < math.inf:
            default += f" {self.unit}"
        elif self.unit:
            text += f", in {self.unit}"
        return text + (f" ({default})" if default else "")

    def verify(self, value: Any) -> None:
        """Raise a :class:`FieldError` if the value is not allowed."""
        if value is None and self.is_optional:
            return
        if self.kind.names and isinstance(value, str):
            require_one_of(self.field, value, tuple(self.kind.names))
        if self.check:
            for member, number in value.items() if isinstance(value, dict) else (("", value),):
                self._verify_bounds(member, number)

    def _verify_bounds(self, member: str, number: float) -> None:
        match = _BOUNDS.fullmatch(self.check)
        assert match is not None, self.check
        require(isinstance(number, Real), self.field, f"{self.key} is no number", number, self.kind.what)
        low, above, compare, high = match.groups()
        is_below = low is not None and not _COMPARE[above](float(low), number)
        if _COMPARE[compare](number, float(high.replace("∞", "inf"))) and abs(number) < math.inf and not is_below:
            return
        message = self.message or ("{} out of range" if low else _ONE_SIDED.get(compare + high, "{} too small"))
        title = self.key.replace("*", member) if self.is_keyword or member else self.field.rstrip("_")
        expected = self.check
        if not low or high == "∞":
            what = self.unit or ("an integer" if self.kind.convert is integer else "a number")
            expected = f"{what} {'≥' if above == '≤' else '>'} {low}" if low else f"{what} {compare} {high}"
        raise FieldError(self.field, message.format(title), number, self.expected or expected)


def option(
    default: Any = MISSING,
    kind: Kind | None = None,
    *,
    help: str,
    factory: Any = MISSING,
    in_repr: bool = True,
    **more: Any,
) -> Any:
    """Declare an option as the field of a dataclass; returns what `dataclasses.field` does.

    Parameters
    ----------
    default, factory
        The default, or what makes it; without both the option must be given.
    kind
        How it is read and written; default: that of the type of the default.
    help
        One line, without unit and default.
    in_repr
        Is it part of the repr of the settings?
    key
        Its name in the file; default: that of the field, in capitals for a keyword.
    unit
        E.g. "eV/Å".
    check
        Bounds such as "n > 0" or "0 ≤ p < 100".  `message` and `expected` are what is said
        where they are not kept; ``{}`` in the message stands for the name.
    shown
        The default in words, where the value does not say it.
    words
        Writes the option, given the whole settings, where the value is not enough; may return "".
    always
        Write it even where it has its default?
    bare
        Does its value stand first, without a key?
    normalise
        Brings the value given to a constructor into the form that is kept.
    """
    if kind is None:
        kind = _KIND_OF[type(default)]
    return dataclasses.field(
        default=default,
        default_factory=factory,
        repr=in_repr,
        metadata={"option": {"kind": kind, "help": help, **more}},
    )


class Settings:
    """Base of the dataclasses of settings: checks each option on construction."""

    further: ClassVar[tuple[Option, ...]] = ()
    """More keys that a file may have for a field."""
    key_order: ClassVar[str] = ""
    """Keys in the order of help and written files; the rest follows in the order of the fields."""
    in_capitals: ClassVar[bool] = False
    """Whether the keys are those of the fields in capitals."""
    gathered: ClassVar[tuple[Option, ...]]
    """What `own_options` returns, once it was asked."""

    def __init_subclass__(cls) -> None:
        """Put the meaning of the options into the docstring."""
        text, raises, errors = inspect.cleandoc(cls.__doc__ or "").partition("\n\nRaises\n")
        declared = {name: field.metadata["option"] for name, field in vars(cls).items() if _is_option(field)}
        entries = [Option(**{"field": name, "key": name, **own}) for name, own in declared.items()]
        lines = [f"\n{entry.field}\n    {entry.meaning}" + f", in {entry.unit}" * bool(entry.unit) for entry in entries]
        if lines:
            text += "\n\nParameters\n----------" + "".join(lines)
        cls.__doc__ = text + raises + errors

    def __post_init__(self) -> None:
        for entry in own_options(type(self)):
            value = getattr(self, entry.field)
            if entry.normalise is not None:
                value = entry.normalise(value)
                object.__setattr__(self, entry.field, value)
            entry.verify(value)


def _is_option(field: object) -> bool:
    return isinstance(field, dataclasses.Field) and "option" in field.metadata


def own_options(cls: type[Settings]) -> tuple[Option, ...]:
    """Return the options of the fields, in the order of `key_order`."""
    if "gathered" not in cls.__dict__:
        cls.gathered = _gather(cls)
    return cls.gathered


def _gather(cls: type[Settings]) -> tuple[Option, ...]:
    found = []
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if _is_option(field):
            key = field.name.upper() if cls.in_capitals else field.name
            default = field.default if field.default_factory is MISSING else field.default_factory()
            default = REQUIRED if default is MISSING else default
            own: dict[str, Any] = {
                "field": field.name,
                "key": key,
                "default": default,
                "is_optional": "None" in str(field.type),
            }
            found.append(Option(**{**own, **field.metadata["option"]}))
    order = cls.key_order.split()
    return tuple(sorted(found, key=lambda entry: order.index(entry.key) if entry.key in order else len(order)))


def options_of(cls: type[Settings]) -> dict[str, Option]:
    """Return key → option of a class of settings."""
    return {entry.key: entry for entry in (*own_options(cls), *cls.further)}
