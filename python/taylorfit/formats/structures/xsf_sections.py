"""Sections of an XSF file in the dialect of ænet: everything but the atom lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

from ...errors import FormatError
from ...model.structure import is_content_hash
from ...model.units import first_energy_unit, unit
from ...tools.plain_text import fortran_number, value_complaint

ATOM_LINE = "symbol x y z [Fx Fy Fz]"
MIN_RELATIVE_VOLUME = 1e-8
"""Cells of less than this fraction of the cuboid with the same edges are singular."""
CELL_KEYWORDS = {3: "CRYSTAL", 2: "SLAB", 1: "POLYMER"}
"""Keyword by number of periodic directions; ænet ignores it."""
PHRASES = ("cohesive energy", "total energy")
"""What marks the line of an energy, in the order of ænet's tests."""

STRESS_COMMENT = r"\s*#\s*stress\s*="
"""Start of the comment line that states the stress; ænet passes over comments."""
STRESS_FORM = "# stress = xx yy zz yz xz xy eV/A^3"
PBC_COMMENT = r"\s*#\s*pbc\s*="
"""Start of the comment line that says along which vectors a structure with a cell is periodic; ænet: all."""
PBC_FORM = "# pbc = T T F"
WEIGHT_COMMENT = r"\s*#\s*weight\s*="
"""Start of the comment line that states the weight of the structure in a loss."""
WEIGHT_FORM = "# weight = 2.0"
FORCE_WEIGHTS_COMMENT = r"\s*#\s*force weights in column 8\s*$"
"""Comment line: the atom lines have the weight of the force on the atom as eighth word, which ænet does not read."""
FORCE_WEIGHTS_FORM = "# force weights in column 8"
PUSHED_COMMENT = r"\s*#\s*pushed from\s*="
"""Start of the comment line of a copy with pushed atoms: the hash of the structure that it is made from."""
PUSHED_FORM = "# pushed from = HASH"
PREDICTED_COMMENT = r"\s*#\s*predicted by\s*="
"""Start of the comment line that says which potential energy and forces are from, which are no reference data."""
UNCONVERGED_COMMENT = r"\s*#\s*converged\s*=\s*F\s*$"
"""Comment line of a structure whose self-consistency cycle did not converge."""

_STRESS_UNITS = frozenset(
    f"ev/{length}{power}" for length in ("a", "å", "ang", "angstrom") for power in ("3", "^3", "**3", "³")
)
_UNITS_COMMENT = (
    r"(?i)\s*#.*?\b(?P<what>energ(?:y|ies)|forces?|lengths?|positions?|coordinates)?\b[^=]*?\b(?:units?\b[^A-Za-z]*(?:are|is)?|in\b)"
    r"\s*(?P<unit>.+)"
)
"""A comment line that states units: `# units: Ry, Bohr`, `# forces in Ha/Bohr`."""
_WHOLE_LINE_KEYWORDS = ("PRIMVEC", "PRIMCOORD", "ATOMS", "ANIMSTEPS")


@dataclass
class Sections:
    """What stands outside the atom block."""

    name: str
    energy: float | None = None
    cohesive_energy: float | None = None
    cell: list[list[float]] | None = None
    stress: list[float] | None = None
    weight: float = 1.0
    pbc: tuple[bool, bool, bool] = (True, True, True)
    with_force_weights: bool = False
    pushed_from: str = ""
    predicted_by: str = ""
    converged: bool = True
    count: int | None = None
    count_line: int = 0
    declared: str = ""
    declared_line: int = 0
    skipped: list[int] = field(default_factory=list)

    def fail(self, index: int | None, message: str, *, value: object = None, expected: str | None = None) -> NoReturn:
        """Refuse the file because of `lines[index]`; None: because of the file as a whole."""
        line = None if index is None else index + 1
        raise FormatError(message, file=self.name, line=line, value=value, expected=expected)

    def read_sections(self, lines: list[str], index: int) -> int | None:
        """Read from `lines[index]` on; return the index of the first atom line, if any.

        Keywords are recognised as in ænet: case-sensitively, anywhere in the line, in the
        order of the tests below.
        """
        n_lines = len(lines)
        while index < n_lines:
            line = lines[index]
            if not line or line.isspace():
                pass
            elif "cohesive energy" in line:
                self.cohesive_energy = self._energy(line, "cohesive energy", index)
            elif "total energy" in line:
                energy = self._energy(line, "total energy", index)
                if self.energy is not None and energy != self.energy:
                    self.fail(
                        index,
                        f"two different total energies (the other is {self.energy!r})",
                        value=energy,
                        expected="one",
                    )
                self.energy = energy
            elif line.lstrip()[0] == "#":
                self._check_units(line, index)
                if re.match(STRESS_COMMENT, line):
                    self.stress = self._stress(line, index)
                elif re.match(PBC_COMMENT, line):
                    self.pbc = self._pbc(line, index)
                elif re.match(WEIGHT_COMMENT, line):
                    self.weight = self._weight(line, index)
                elif re.match(FORCE_WEIGHTS_COMMENT, line):
                    self.with_force_weights = True
                elif re.match(PUSHED_COMMENT, line):
                    self.pushed_from = self._pushed_from(line, index)
                elif re.match(PREDICTED_COMMENT, line):
                    self.predicted_by = line.split("=", 1)[1].strip() or "?"
                elif re.match(UNCONVERGED_COMMENT, line):
                    self.converged = False
            elif "PRIMVEC" in line:
                self._read_cell(lines, index)
                index += 3
            elif "PRIMCOORD" in line:
                return self._read_count(lines, index)
            elif "ATOMS" in line:
                return self._atoms_from(lines, index + 1, "ATOMS")
            else:
                self._ignore(line, index)
            index += 1
        return None

    def read_tail(self, lines: list[str], index: int, rows: list[list[str]]) -> None:
        """Read what follows the atoms `rows`; atoms must not come again."""
        if index >= len(lines):
            return
        self.skipped.clear()
        again = self.read_sections(lines, index)
        numbered = rows[0][0].isdigit()
        for skipped in self.skipped:
            if _looks_like_atom(lines[skipped], numbered):
                self.fail(
                    index,
                    "blank line inside the atoms (ænet would drop the atoms after it)",
                    value=lines[skipped].strip(),
                    expected="atom lines without blank lines between",
                )
        if again is not None:
            self.fail(again - 1, "second set of atoms (an animated XSF file?)", expected="one structure per file")

    def check(self, n_atoms: int) -> None:
        """Check the sections against each other and against the number of atom lines."""
        if self.count is not None and self.count != n_atoms:
            kind = "blank line inside the atoms or truncated file" if n_atoms < self.count else ("too many atom lines")
            self.fail(
                self.count_line,
                f"the count line says {self.count} atoms but {n_atoms} follow ({kind})",
                value=self.count,
                expected=f"{n_atoms}, or {self.count} atom lines",
            )
        if self.cell is None and self.declared:
            self.fail(
                self.declared_line,
                f"{self.declared} without PRIMVEC (ænet would read a molecule)",
                expected="PRIMVEC and three lattice vectors",
            )

    def _energy(self, line: str, phrase: str, index: int) -> float:
        before, equals, text = line.split(phrase, 1)[1].partition("=")
        expected = f"'{phrase} = <number> eV'"
        if not equals:
            self.fail(index, f"{phrase} without '='", value=line.strip(), expected=expected)
        words = re.sub(r",(?=\s|$)", " ", text).split()
        if not words:
            self.fail(index, f"{phrase} has no number", value=line.strip(), expected=expected)
        value = fortran_number(words[0])
        if value is None:
            complaint = value_complaint(words[0])
            self.fail(index, f"{phrase} {complaint}", value=words[0], expected=expected)
        if words[1:] == ["eV"] and not before.strip():  # what nearly all files say
            return value
        named = first_energy_unit(" ".join(words[1:])) or first_energy_unit(before)
        if named is not None and unit(named, "energy") != 1.0:
            self.fail(index, f"{phrase} is not in eV", value=named, expected="energies in eV and forces in eV/Å")
        return value

    def _check_units(self, line: str, index: int) -> None:
        """Refuse a comment that states other units than eV and Å."""
        match = re.match(_UNITS_COMMENT, line)
        if match is None:
            return
        words = [word for word in re.split(r"[\s,;]+|\band\b", match["unit"]) if word]
        kinds = {"e": ("energy",), "f": ("force",), "l": ("length",), "p": ("length",), "c": ("length",)}
        for kind in kinds.get((match["what"] or " ")[0].lower(), ("energy", "force", "length")):
            for word in words[: 1 if match["what"] else 3]:
                factor = unit(word, kind)
                if factor is not None and factor != 1.0:
                    self.fail(
                        index, "units are not eV and Å", value=line.strip(), expected="energies in eV, forces in eV/Å"
                    )

    def _stress(self, line: str, index: int) -> list[float]:
        """Return the six components in a comment of the form `STRESS_FORM`; the unit may be left out."""
        words = line.split("=", 1)[1].replace(",", " ").split()
        values = [value for word in words[:6] if (value := fortran_number(word)) is not None]
        if len(values) < 6:
            self.fail(index, "stress is not six numbers", value=line.strip(), expected=f"'{STRESS_FORM}'")
        if words[6:] and words[6].strip("()[];").lower() not in _STRESS_UNITS:
            self.fail(index, "stress is not in eV/Å³", value=words[6], expected=f"'{STRESS_FORM}', ASE's sign")
        return values

    def _pbc(self, line: str, index: int) -> tuple[bool, bool, bool]:
        words = line.split("=", 1)[1].split()
        if len(words) != 3 or not all(word in ("T", "F") for word in words):
            self.fail(index, "periodicity is not three letters T or F", value=line.strip(), expected=f"'{PBC_FORM}'")
        a, b, c = (word == "T" for word in words)
        return a, b, c

    def _weight(self, line: str, index: int) -> float:
        words = line.split("=", 1)[1].split()
        value = fortran_number(words[0]) if words else None
        if value is None or value < 0:
            self.fail(index, "weight is not a number ≥ 0", value=line.strip(), expected=f"'{WEIGHT_FORM}'")
        return value

    def _pushed_from(self, line: str, index: int) -> str:
        value = line.split("=", 1)[1].strip()
        if not is_content_hash(value):
            self.fail(
                index, "not the hash of a structure", value=line.strip(), expected=f"'{PUSHED_FORM}', as repel writes"
            )
        return value

    def force_weights(self, rows: list[list[str]], start: int) -> list[float] | None:
        """The eighth words of the atom lines `rows`, which begin at line `start`, if the file announces them."""
        if not self.with_force_weights:
            return None
        weights = []
        for number, row in enumerate(rows):
            value = fortran_number(row[7]) if len(row) > 7 else None
            if value is None or value < 0:
                self.fail(
                    start + number,
                    "no weight of the force in column 8",
                    value=" ".join(row),
                    expected=f"symbol x y z Fx Fy Fz weight, weight ≥ 0 ('{FORCE_WEIGHTS_FORM}')",
                )
            weights.append(value)
        return weights

    def _read_cell(self, lines: list[str], index: int) -> None:
        if self.cell is not None:
            self.fail(index, "second PRIMVEC section", expected="one structure per file")
        cell = []
        for row in range(index + 1, index + 4):
            words = lines[row].split() if row < len(lines) else []
            vector = [value for word in words[:3] if (value := fortran_number(word)) is not None]
            if len(vector) < 3:
                bad = [word for word in words[:3] if fortran_number(word) is None]
                wrong = bad[0] if bad else " ".join(words)
                reason = value_complaint(wrong) if bad else "is missing or incomplete"
                self.fail(
                    min(row, len(lines) - 1),
                    f"lattice vector {row - index} {reason}",
                    value=wrong,
                    expected="three lines of three numbers directly after PRIMVEC",
                )
            cell.append(vector)
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell
        volume = abs(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx))
        edges = 1.0
        for x, y, z in cell:
            edges *= (x * x + y * y + z * z) ** 0.5
        # Written so that overflow (inf, nan) counts as singular, too.
        if not 0.0 < MIN_RELATIVE_VOLUME * edges < volume < float("inf"):
            self.fail(
                index,
                f"the lattice vectors are linearly dependent (volume {volume:g} Å³)",
                expected="three independent vectors",
            )
        self.cell = cell

    def _read_count(self, lines: list[str], index: int) -> int:
        line = lines[index + 1] if index + 1 < len(lines) else ""
        words = line.split()
        if not words or not (words[0].isascii() and words[0].isdigit()) or len(words[0]) > 9:
            self.fail(
                min(index + 1, len(lines) - 1),
                "no number of atoms after PRIMCOORD",
                value=line.strip(),
                expected="a line '<number of atoms> 1'",
            )
        self.count, self.count_line = int(words[0]), index + 1
        return self._atoms_from(lines, index + 2, "PRIMCOORD")

    def _atoms_from(self, lines: list[str], index: int, keyword: str) -> int:
        if index >= len(lines) or not lines[index].strip():
            self.fail(
                min(index, len(lines) - 1),
                f"no atoms after {keyword}",
                expected=f"{ATOM_LINE}, without a blank line before",
            )
        return index

    def _ignore(self, line: str, index: int) -> None:
        """Pass over a line that ænet ignores, unless it was obviously meant otherwise."""
        words = line.split()
        first = words[0]
        if first in CELL_KEYWORDS.values() and len(words) == 1:
            self.declared, self.declared_line = first, index
        elif first == "ANIMSTEPS" and words[1:] != ["1"]:
            self.fail(index, "animated XSF file", value=line.strip(), expected="one structure per file")
        elif first.upper() in _WHOLE_LINE_KEYWORDS and first != first.upper() and len(words) <= 2:
            self.fail(index, "keyword in lower case (ænet does not know it)", value=first, expected=first.upper())
        self.skipped.append(index)


def is_symbol(symbol: str) -> bool:
    """Whether a word may stand for an atom's species."""
    # Atomic numbers pass: they are unknown species, and later reported as such.
    return symbol.isdigit() or (symbol[0].isalpha() and symbol.isalnum())


def _looks_like_atom(line: str, numbered: bool) -> bool:
    """Tell whether `line` has the form of an atom line (`numbered`: with atomic number)."""
    words = line.split()
    return (
        len(words) >= 4
        and is_symbol(words[0][:2])
        and words[0].isdigit() == numbered
        and all(fortran_number(word) is not None or "*" in word for word in words[1:4])
    )
