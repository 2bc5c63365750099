"""Descriptor setup files (`*.fingerprint.stp`), one for each central species.

Differences from ænet, on purpose: what ænet skips or misreads in silence (unknown
keywords and keys, species outside ENV, missing blocks) is an error here, and comments and
blank lines may stand anywhere outside the DESCR block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from os import PathLike, fspath
from typing import Any, NoReturn

import numpy as np

from ...errors import FormatError, InputError
from ...model.descriptor import CHEBYSHEV, DESCRIPTION_LENGTH, DescriptorSetup, chebyshev_setup
from ...settings.document import Document, Line, suggestion
from ...tools.atomic_write import atomic_write
from ...tools.plain_text import fortran_integer, fortran_number, read_bytes
from .setup_block import N_PARAMETER, SPECIES_LENGTH

_BASES = ("BASIS", "FUNCTIONS", "SYMMFUNC")
KEYWORDS = ("DESCR", "ATOM", "ENV", "RMIN", *_BASES)
DEFAULT_R_MIN = 1.0
"""ænet's smallest distance, Å, if RMIN is absent or zero."""
LARGEST_CUTOFF = 30.0
"""Å; beyond it the number of neighbours, and of triples, is past all use: a slipped decimal point."""

_RANGES = {
    "eta": (0.0, math.inf, "a number ≥ 0 (1/Å²)"),
    "lambda": (-1.0, 1.0, "a number from -1 to 1"),
    "zeta": (0.0, math.inf, "a number ≥ 0"),
}
"""What parameters of symmetry functions may be."""

MAX_ORDER = 1000
"""Highest polynomial order accepted; more can only be a slip, and would exhaust the memory."""

_CHEBYSHEV_KEYS = ("radial_Rc", "radial_N", "angular_Rc", "angular_N")
_BEHLER_KEYS = ("G", "type2", "type3", "Rc", "Rs", "eta", "kappa", "lambda", "zeta")
_SLOTS: dict[int, tuple[str, ...]] = {
    1: ("Rc",),
    2: ("Rc", "Rs", "eta"),
    3: ("Rc", "kappa"),
    4: ("Rc", "lambda", "zeta", "eta"),
    5: ("Rc", "lambda", "zeta", "eta"),
}
"""Parameters of each function in ænet's order."""
_NEEDED = {1: ("Rc",), 2: ("Rc",), 3: ("Rc", "kappa"), 4: ("Rc", "lambda", "zeta"), 5: ("Rc", "lambda", "zeta")}
"""Parameters without which a function makes no sense; others are 0 if missing, as in ænet."""


def read_setup(path: str | PathLike[str]) -> DescriptorSetup:
    """Read a descriptor setup file (Chebyshev or Behler2011); lengths in Å.

    Raises
    ------
    FormatError
        if the file is not a complete and meaningful setup; names the line.
    InputError
        if the file cannot be opened.
    """
    text = read_bytes(path).decode("utf-8", "surrogateescape")
    return _Parser(Document(fspath(path), text, KEYWORDS)).parse()


def write_setup(path: str | PathLike[str], setup: DescriptorSetup, *, overwrite: bool = True) -> None:
    """Write a setup so that `read_setup` and ænet read back the same one (without statistics).

    Raises
    ------
    InputError
        if the description cannot be written, or the file cannot.
    """
    lines = [*_description_lines(setup.description), "", f"ATOM {setup.species}", ""]
    lines += [f"ENV {len(setup.environment)}", *setup.environment, "", f"RMIN {setup.r_min!r}", ""]
    if setup.kind == CHEBYSHEV:
        radial_cutoff, radial_order, angular_cutoff, angular_order = setup.parameters[0].tolist()
        lines += [
            f"BASIS type={setup.basis}",
            f"radial_Rc = {radial_cutoff!r}  radial_N = {radial_order:.0f}  "
            f"angular_Rc = {angular_cutoff!r}  angular_N = {angular_order:.0f}",
        ]
    else:
        lines += [f"FUNCTIONS type={setup.basis}", str(setup.n_feature)]
        lines += [_function_line(setup, index) for index in range(setup.n_feature)]
    with atomic_write(path, "wb", overwrite=overwrite) as stream:
        stream.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))


def _description_lines(description: str) -> list[str]:
    lines = description.replace("\n", "$$").split("$$")
    if lines[-1] == "":
        lines.pop()
    if any("end descr" in line.lower() for line in lines):
        raise InputError("a description must not contain 'end descr'", value=description)
    return ["DESCR", *lines, "END DESCR"]


def _function_line(setup: DescriptorSetup, index: int) -> str:
    g = int(setup.function[index])
    type2, type3 = setup.neighbours[index].tolist()
    words = [f"G={g}", f"type2={setup.environment[type2 - 1]}"]
    if type3:
        words.append(f"type3={setup.environment[type3 - 1]}")
    values = dict(zip(_SLOTS[g], setup.parameters[index].tolist()))
    # ænet would take the value of a preceding `zeta` for `eta`, so eta has to come first.
    order = sorted(values, key=lambda name: name != "eta")
    return " ".join(words + [f"{name}={values[name]!r}" for name in order])


class _Parser:
    """One pass over a setup file: each keyword takes what stands behind and below it."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.line = Line(document.file, 1, "", False)
        """Line taken last."""
        self.found: dict[str, Any] = {}
        self.after = ""
        """Keyword of the block read last, for a better message about a stray line."""

    def parse(self) -> DescriptorSetup:
        while self.document.peek() is not None:
            self.line = self.document.take()
            word, *rest = self.line.text.split(None, 1)
            keyword = word.upper()
            if keyword not in KEYWORDS:
                self.stray(word)
            name = "basis" if keyword in _BASES else keyword
            if name in self.found:
                self.line.fail("a second basis" if keyword in _BASES else f"{name} is given twice", expected="one only")
            reader = self.read_basis if keyword in _BASES else getattr(self, f"read_{keyword.lower()}")
            self.found[name], self.after = reader(keyword, "".join(rest)), name
        for name, title in (("ATOM", "ATOM"), ("ENV", "ENV"), ("basis", "BASIS or FUNCTIONS")):
            if name not in self.found:
                raise FormatError(f"{title} is missing", file=self.document.file)
        return self.found["basis"]()

    def stray(self, word: str) -> NoReturn:
        """Refuse a line that starts with no keyword."""
        if self.after == "ENV" and len(word) <= SPECIES_LENGTH:
            self.line.fail("more species than ENV announces", word, str(len(self.found["ENV"])))
        if "=" in self.line.text and self.after == "basis":
            self.line.fail("more lines than the basis announces", self.line.text)
        self.line.fail("unknown keyword", word, suggestion(word, KEYWORDS))

    def read_descr(self, keyword: str, rest: str) -> str:
        lines = self.document.take_verbatim("end descr")
        if lines is None:
            self.line.fail("DESCR is not closed", expected="a line END DESCR")
        return _cut("".join(f"{line.rstrip()}$$" for line in lines))

    def read_atom(self, keyword: str, rest: str) -> str:
        return self.symbol(rest, "ATOM")

    def read_rmin(self, keyword: str, rest: str) -> float:
        value = self.number("RMIN", rest)
        if value < 0.0:
            self.line.fail("RMIN", rest, "a length in Å")
        return value

    def read_env(self, keyword: str, rest: str) -> tuple[str, ...]:
        names: list[str] = []
        for line in self.announced(rest, "number of species in ENV", "fewer species than ENV announces", by_name=True):
            names.append(self.symbol(line.text, "species in ENV"))
            if names[-1] in names[:-1]:
                line.fail("species is twice in ENV", names[-1])
        return tuple(names)

    def read_basis(self, keyword: str, rest: str) -> Callable[[], DescriptorSetup]:
        if "ENV" not in self.found:
            self.line.fail(f"{keyword} comes before ENV", expected="ENV first")
        wanted = "Chebyshev" if keyword == "BASIS" else "Behler2011"
        kind = self.pairs(self.line._replace(text=rest), ("type",)).get("type")
        if kind is None or kind.lower() != wanted.lower():
            self.line.fail(f"{keyword} type", kind or rest, wanted)
        return self.read_chebyshev(kind) if wanted == "Chebyshev" else self.read_behler()

    def read_chebyshev(self, basis: str) -> Callable[[], DescriptorSetup]:
        pairs = {"angular_Rc": "0", "angular_N": "0"} | self.pairs(
            self.below("the Chebyshev parameters"), _CHEBYSHEV_KEYS
        )
        angular_cutoff = self.number("angular_Rc", pairs["angular_Rc"])
        if not 0.0 <= angular_cutoff <= LARGEST_CUTOFF:
            self.line.fail("angular_Rc", pairs["angular_Rc"], f"a length up to {LARGEST_CUTOFF:g} Å, or 0 for none")
        parameters: dict[str, Any] = {
            "radial_cutoff": self.cutoff("radial_Rc", pairs),
            "radial_order": self.order("radial_N", pairs),
            "angular_cutoff": angular_cutoff,
            "angular_order": self.order("angular_N", pairs),
        }
        found = self.found
        return lambda: chebyshev_setup(
            found["ATOM"],
            found["ENV"],
            **parameters,
            r_min=found.get("RMIN") or DEFAULT_R_MIN,
            description=found.get("DESCR", ""),
            basis=basis,
        )

    def read_behler(self) -> Callable[[], DescriptorSetup]:
        word = self.below("the number of functions").text.split()[0]
        lines = self.announced(word, "number of functions", "fewer functions than announced")
        function, parameters, neighbours = zip(*map(self.read_function, lines))
        table, found = np.array(parameters), self.found
        return lambda: DescriptorSetup(
            species=found["ATOM"],
            environment=found["ENV"],
            basis="Behler2011",  # the only spelling that ænet accepts
            function=np.array(function, dtype=np.int32),
            parameters=table,
            neighbours=np.array(neighbours, dtype=np.int32),
            r_min=found.get("RMIN") or DEFAULT_R_MIN,
            r_cut=float(table[:, 0].max()),
            description=found.get("DESCR", ""),
        )

    def read_function(self, line: Line) -> tuple[int, list[float], list[int]]:
        """Return G, the parameter slots and the two neighbour species of one function line."""
        pairs = self.pairs(line, _BEHLER_KEYS)
        if "G" not in pairs:
            line.fail("symmetry function without G", line.text, "G=1 to G=5")
        if pairs["G"] not in ("1", "2", "3", "4", "5"):
            line.fail("unknown symmetry function G", pairs["G"], "1 to 5")
        g = int(pairs["G"])
        for name in _NEEDED[g]:
            if name not in pairs:
                line.fail(f"G{g} without {name}", line.text, f"{name}=<number>")
        self.cutoff("Rc", pairs)
        values = [self.number(name, pairs.get(name, "0")) for name in _SLOTS[g]]
        for name, value in zip(_SLOTS[g], values):
            low, high, expected = _RANGES.get(name, (-math.inf, math.inf, ""))
            if not low <= value <= high:
                line.fail(name, pairs.get(name, "0"), expected)
        types = [self.neighbour(f"type{k}", pairs) if k == 2 or g >= 4 else 0 for k in (2, 3)]
        return g, values + [0.0] * (N_PARAMETER - len(values)), types

    # -- lines and words ---------------------------------------------------------------

    def announced(self, count: str, name: str, fewer: str, *, by_name: bool = False) -> Iterator[Line]:
        """Yield the lines below, as many as `count` says; too few are shown by their first words or as a number."""
        start, wanted = self.line, self.integer("ENV" if by_name else name, count)
        if wanted < 1:
            start.fail(name, count, "at least 1")
        words: list[str] = []
        while len(words) < wanted:
            if self.document.at_keyword_or_end():
                start.fail(fewer, " ".join(words) if by_name else len(words), str(wanted))
            self.line = self.document.take()
            words.append(self.line.text.split()[0])
            yield self.line

    def below(self, what: str) -> Line:
        """Return the next line, which must be there and no keyword."""
        if self.document.at_keyword_or_end():
            self.line.fail(f"{what} missing")
        self.line = self.document.take()
        return self.line

    def pairs(self, line: Line, keys: tuple[str, ...]) -> dict[str, str]:
        """Return the `key=value` pairs of a line, with blanks or commas between; a comment may follow them."""
        pairs: dict[str, str] = {}
        for key, word in line._replace(text=line.text.replace(",", " ")).options():
            if not key:
                line.fail("not understood", line.text[line.text.find(word.text) :], "key=value")
            if key not in keys:
                line.fail("unknown key", key, suggestion(key, keys))
            if key in pairs:
                line.fail(f"{key} is given twice", line.text)
            pairs[key] = word.text
        return pairs

    def symbol(self, text: str, what: str) -> str:
        word = _first(text)
        if not 0 < len(word) <= SPECIES_LENGTH or not word.isascii() or not word[0].isalpha():
            self.line.fail(what, word, "a chemical symbol of one or two characters")
        return word

    def neighbour(self, key: str, pairs: dict[str, str]) -> int:
        environment = self.found["ENV"]
        if pairs.get(key) not in environment:
            self.line.fail(key, pairs.get(key, "nothing"), f"one of ENV: {' '.join(environment)}")
        return int(environment.index(pairs[key])) + 1

    def number(self, what: str, text: str) -> float:
        value = fortran_number(_first(text))
        if value is None:
            self.line.fail(what, _first(text), "a number")
        return value

    def integer(self, what: str, text: str) -> int:
        value = fortran_integer(_first(text))
        if value is None:
            self.line.fail(what, _first(text), "an integer")
        return value

    def cutoff(self, key: str, pairs: dict[str, str]) -> float:
        value = self.number(key, pairs.get(key, ""))
        if not 0.0 < value <= LARGEST_CUTOFF:
            self.line.fail(key, pairs[key], f"a positive length up to {LARGEST_CUTOFF:g} Å")
        return value

    def order(self, key: str, pairs: dict[str, str]) -> int:
        value = self.integer(key, pairs.get(key, ""))
        if not 0 <= value <= MAX_ORDER:
            self.line.fail(key, value, f"an order from 0 to {MAX_ORDER}")
        return value


def _first(text: str) -> str:
    return text.split()[0] if text.split() else ""


def _cut(description: str) -> str:
    """Return as much of a description as a setup block can hold."""
    payload = description.encode("utf-8", "surrogateescape")[:DESCRIPTION_LENGTH]
    return payload.decode("utf-8", "surrogateescape").rstrip(" ")
