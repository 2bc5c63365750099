"""Descriptor setup files (`*.fingerprint.stp`), one for each central species.

Differences from ænet, on purpose: what ænet skips or misreads in silence (unknown
keywords and keys, species outside ENV, missing blocks) is an error here, and comments and
blank lines may stand anywhere outside the DESCR block.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from os import PathLike, fspath

import numpy as np

from ...errors import FormatError, InputError
from ...model.descriptor import CHEBYSHEV, DescriptorSetup, chebyshev_setup
from ...tools.atomic_write import atomic_write
from ...tools.plain_text import read_bytes
from .setup_block import DESCRIPTION_LENGTH, N_PARAMETER, SPECIES_LENGTH

KEYWORDS = ("DESCR", "ATOM", "ENV", "RMIN", "BASIS", "FUNCTIONS", "SYMMFUNC")
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

_PAIR = re.compile(r"([A-Za-z_]\w*)\s*=\s*([^\s,=]+)[\s,]*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([edED][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d{1,9}")


def read_setup(path: str | PathLike[str]) -> DescriptorSetup:
    """Read a descriptor setup file (Chebyshev or Behler2011); lengths in Å.

    Raises
    ------
    FormatError
        if the file is not a complete and meaningful setup; names the line.
    InputError
        if the file cannot be opened.
    """
    return _Parser(path, read_bytes(path).decode("utf-8", "surrogateescape")).parse()


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
    """One pass over the lines of a setup file."""

    def __init__(self, path: str | PathLike[str], text: str) -> None:
        self.path = fspath(path)
        self.lines = re.split(r"\r\n|\n|\r", text)
        self.number = 0
        """Line just read, from 1."""
        self.description: str | None = None
        self.species: str | None = None
        self.environment: tuple[str, ...] | None = None
        self.r_min: float | None = None
        self.basis: Callable[[], DescriptorSetup] | None = None
        self.after = ""
        """Keyword of the block read last, for a better message about a stray line."""

    def parse(self) -> DescriptorSetup:
        while (line := self.next_line()) is not None:
            keyword, _, rest = line.partition(" ")
            self.keyword(keyword.upper(), keyword, rest.strip())
        for name, found in (("ATOM", self.species), ("ENV", self.environment), ("BASIS or FUNCTIONS", self.basis)):
            if found is None:
                raise FormatError(f"{name} is missing", file=self.path)
        assert self.basis is not None
        return self.basis()

    def keyword(self, keyword: str, found: str, rest: str) -> None:
        if keyword == "DESCR":
            self.once("DESCR", self.description)
            self.description = self.read_description()
        elif keyword == "ATOM":
            self.once("ATOM", self.species)
            self.species = self.symbol(rest, "ATOM")
        elif keyword == "ENV":
            self.once("ENV", self.environment)
            self.environment = self.read_environment(rest)
        elif keyword == "RMIN":
            self.once("RMIN", self.r_min)
            self.r_min = self.number_of("RMIN", rest)
            if self.r_min < 0.0:
                raise self.error("RMIN", value=rest, expected="a length in Å")
        elif keyword in ("BASIS", "FUNCTIONS", "SYMMFUNC"):
            self.once("a second basis", self.basis)
            self.basis = self.read_basis(keyword, rest)
        else:
            raise self.stray(found)
        self.after = keyword

    def once(self, what: str, previous: object) -> None:
        if previous is not None:
            raise self.error(f"{what} is given twice" if what in KEYWORDS else what, expected="one only")

    def stray(self, word: str) -> FormatError:
        """Return the error for a line that starts with no keyword."""
        if self.after == "ENV" and len(word) <= SPECIES_LENGTH and self.environment is not None:
            return self.error("more species than ENV announces", value=word, expected=str(len(self.environment)))
        if "=" in self.lines[self.number - 1] and self.after in ("BASIS", "FUNCTIONS", "SYMMFUNC"):
            return self.error("more lines than the basis announces", value=self.lines[self.number - 1].strip())
        return self.error("unknown keyword", value=word, expected=_suggestion(word.upper(), KEYWORDS))

    def read_description(self) -> str:
        first = self.number
        parts: list[str] = []
        for line in self.lines[first:]:
            self.number += 1
            if "end descr" in line.lower():
                text = "".join(f"{part.rstrip()}$$" for part in parts)
                return _cut(text)
            parts.append(line)
        self.number = first
        raise self.error("DESCR is not closed", expected="a line END DESCR")

    def read_environment(self, rest: str) -> tuple[str, ...]:
        count, start = self.integer("ENV", rest), self.number
        if count < 1:
            raise self.error("number of species in ENV", value=rest, expected="at least 1")
        names: list[str] = []
        while len(names) < count:
            line = self.next_line()
            word = "" if line is None else line.split()[0]
            if line is None or word.upper() in KEYWORDS:
                raise FormatError(
                    "fewer species than ENV announces",
                    file=self.path,
                    line=start,
                    value=" ".join(names),
                    expected=str(count),
                )
            names.append(self.symbol(line, "species in ENV"))
            if names[-1] in names[:-1]:
                raise self.error("species is twice in ENV", value=names[-1])
        return tuple(names)

    def read_basis(self, keyword: str, rest: str) -> Callable[[], DescriptorSetup]:
        if self.environment is None:
            raise self.error(f"{keyword} comes before ENV", expected="ENV first")
        wanted = "Chebyshev" if keyword == "BASIS" else "Behler2011"
        kind = self.pairs(rest, ("type",)).get("type")
        if kind is None or kind.lower() != wanted.lower():
            raise self.error(f"{keyword} type", value=kind or rest, expected=wanted)
        return self.read_chebyshev(kind) if wanted == "Chebyshev" else self.read_behler()

    def read_chebyshev(self, basis: str) -> Callable[[], DescriptorSetup]:
        pairs = self.pairs(self.content("the Chebyshev parameters"), _CHEBYSHEV_KEYS)
        radial_cutoff = self.cutoff("radial_Rc", pairs)
        radial_order = self.order("radial_N", pairs)
        angular_cutoff = self.number_of("angular_Rc", pairs.get("angular_Rc", "0"))
        if not 0.0 <= angular_cutoff <= LARGEST_CUTOFF:
            raise self.error(
                "angular_Rc", value=pairs["angular_Rc"], expected=f"a length up to {LARGEST_CUTOFF:g} Å, or 0 for none"
            )
        pairs.setdefault("angular_N", "0")  # as in ænet
        angular_order = self.order("angular_N", pairs)
        return lambda: chebyshev_setup(
            self.species or "",
            self.environment or (),
            radial_cutoff=radial_cutoff,
            radial_order=radial_order,
            angular_cutoff=angular_cutoff,
            angular_order=angular_order,
            r_min=self.r_min or DEFAULT_R_MIN,
            description=self.description or "",
            basis=basis,
        )

    def read_behler(self) -> Callable[[], DescriptorSetup]:
        word = self.content("the number of functions").split()[0]
        count, start = self.integer("number of functions", word), self.number
        if count < 1:
            raise self.error("number of functions", value=word, expected="at least 1")
        function: list[int] = []
        parameters: list[list[float]] = []
        neighbours: list[list[int]] = []
        while len(function) < count:
            line = self.next_line()
            if line is None or line.split()[0].upper() in KEYWORDS:
                raise FormatError(
                    "fewer functions than announced",
                    file=self.path,
                    line=start,
                    value=len(function),
                    expected=str(count),
                )
            g, values, types = self.read_function(line)
            function.append(g)
            parameters.append(values)
            neighbours.append(types)
        table = np.array(parameters)
        return lambda: DescriptorSetup(
            species=self.species or "",
            environment=self.environment or (),
            basis="Behler2011",  # the only spelling that ænet accepts
            function=np.array(function, dtype=np.int32),
            parameters=table,
            neighbours=np.array(neighbours, dtype=np.int32),
            r_min=self.r_min or DEFAULT_R_MIN,
            r_cut=float(table[:, 0].max()),
            description=self.description or "",
        )

    def read_function(self, line: str) -> tuple[int, list[float], list[int]]:
        """Return G, the parameter slots and the two neighbour species of one function line."""
        pairs = self.pairs(line, _BEHLER_KEYS)
        if "G" not in pairs:
            raise self.error("symmetry function without G", value=line, expected="G=1 to G=5")
        if pairs["G"] not in ("1", "2", "3", "4", "5"):
            raise self.error("unknown symmetry function G", value=pairs["G"], expected="1 to 5")
        g = int(pairs["G"])
        for name in _NEEDED[g]:
            if name not in pairs:
                raise self.error(f"G{g} without {name}", value=line, expected=f"{name}=<number>")
        self.cutoff("Rc", pairs)
        values = [self.number_of(name, pairs.get(name, "0")) for name in _SLOTS[g]]
        for name, value in zip(_SLOTS[g], values):
            low, high, expected = _RANGES.get(name, (-math.inf, math.inf, ""))
            if not low <= value <= high:
                raise self.error(name, value=pairs.get(name, "0"), expected=expected)
        types = [self.neighbour(f"type{k}", pairs) if k == 2 or g >= 4 else 0 for k in (2, 3)]
        return g, values + [0.0] * (N_PARAMETER - len(values)), types

    # -- words and lines ---------------------------------------------------------------

    def next_line(self) -> str | None:
        """Return the next line that is neither blank nor a comment, or None at the end."""
        while self.number < len(self.lines):
            line = self.lines[self.number].replace("\t", " ").strip()
            self.number += 1
            if line and line[0] not in "!#%":
                return line
        return None

    def content(self, what: str) -> str:
        line = self.next_line()
        if line is None or line.split()[0].upper() in KEYWORDS:
            raise self.error(f"{what} missing", value=line)
        return line

    def pairs(self, text: str, keys: tuple[str, ...]) -> dict[str, str]:
        """Return the `key=value` pairs of a line; a comment may follow them."""
        text = re.split(r"(?:^|\s)[!#]", text, maxsplit=1)[0].strip()
        pairs: dict[str, str] = {}
        position = 0
        while position < len(text):
            match = _PAIR.match(text, position)
            if match is None:
                raise self.error("not understood", value=text[position:], expected="key=value")
            key, value = match.groups()
            if key not in keys:
                raise self.error("unknown key", value=key, expected=_suggestion(key, keys))
            if key in pairs:
                raise self.error(f"{key} is given twice", value=text)
            pairs[key] = value
            position = match.end()
        return pairs

    def symbol(self, text: str, what: str) -> str:
        word = text.split()[0] if text.split() else ""
        if not 0 < len(word) <= SPECIES_LENGTH or not word.isascii() or not word[0].isalpha():
            raise self.error(what, value=word, expected="a chemical symbol of one or two characters")
        return word

    def neighbour(self, key: str, pairs: dict[str, str]) -> int:
        environment = self.environment or ()
        if pairs.get(key) not in environment:
            raise self.error(key, value=pairs.get(key, "nothing"), expected=f"one of ENV: {' '.join(environment)}")
        return environment.index(pairs[key]) + 1

    def number_of(self, what: str, text: str) -> float:
        word = text.split()[0] if text.split() else ""
        value = float(word.lower().replace("d", "e")) if _NUMBER.fullmatch(word) else math.nan
        if not math.isfinite(value):
            raise self.error(what, value=word, expected="a number")
        return value

    def integer(self, what: str, text: str) -> int:
        word = text.split()[0] if text.split() else ""
        if not _INTEGER.fullmatch(word):
            raise self.error(what, value=word, expected="an integer")
        return int(word)

    def cutoff(self, key: str, pairs: dict[str, str]) -> float:
        value = self.number_of(key, pairs.get(key, ""))
        if not 0.0 < value <= LARGEST_CUTOFF:
            raise self.error(key, value=pairs[key], expected=f"a positive length up to {LARGEST_CUTOFF:g} Å")
        return value

    def order(self, key: str, pairs: dict[str, str]) -> int:
        value = self.integer(key, pairs.get(key, ""))
        if not 0 <= value <= MAX_ORDER:
            raise self.error(key, value=value, expected=f"an order from 0 to {MAX_ORDER}")
        return value

    def error(self, message: str, *, value: object = None, expected: str | None = None) -> FormatError:
        line = min(max(self.number, 1), len(self.lines))
        return FormatError(message, file=self.path, line=line, value=value, expected=expected)


def _cut(description: str) -> str:
    """Return as much of a description as a setup block can hold."""
    payload = description.encode("utf-8", "surrogateescape")[:DESCRIPTION_LENGTH]
    return payload.decode("utf-8", "surrogateescape").rstrip(" ")


def _suggestion(word: str, known: tuple[str, ...]) -> str:
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1)
    return lower[close[0]] if close else f"one of {' '.join(known)}"
