"""`energies.train` and `energies.test` of ænet: reference and network energy of every structure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fsdecode

import numpy as np

from ...errors import FormatError
from ...tools.atomic_write import atomic_write
from ...tools.plain_text import decode_lines, fortran_number, number_complaint, read_bytes

HEADER_WORDS = ("Ref(eV)", "ANN(eV)", "#atoms", "Ref(eV/atom)", "ANN(eV/atom)", "Ref-ANN(eV/atom)", "Cost-Func")
"""Columns before the species; the path of the structure follows these."""
_PATH_WORD = "Path-of-input-file"
_ROW = re.compile(r"\s*" + r"(\S+)\s+" * 6 + r"(\S+)( .*)", re.ASCII)
_COUNT_WIDTH = 5


@dataclass(frozen=True, eq=False)
class SavedEnergies:
    """All columns of one file, so that it can be written again byte for byte."""

    species: tuple[str, ...]
    names: tuple[str, ...]
    counts: np.ndarray
    """(n_structure, n_species) int64: atoms of each species."""
    reference: np.ndarray
    """(n_structure,) energy relative to the atomic energies, eV."""
    network: np.ndarray
    """(n_structure,) the same of the networks, eV."""
    reference_per_atom: np.ndarray
    """(n_structure,) eV/atom"""
    network_per_atom: np.ndarray
    """(n_structure,) eV/atom"""
    error_per_atom: np.ndarray
    """(n_structure,) reference minus network, eV/atom."""
    scaled_error: np.ndarray
    """(n_structure,) error per atom times the energy scale of the training (column `Cost-Func`)."""

    @property
    def n_structures(self) -> int:
        """Number of rows."""
        return len(self.names)

    @property
    def n_atoms(self) -> np.ndarray:
        """(n_structure,) atoms of each structure."""
        return self.counts.sum(axis=1)

    @property
    def scale(self) -> float | None:
        """Energy scale of the training, 1/eV, to the digits of the file; None if no row tells it."""
        if not np.any(self.error_per_atom):
            return None
        row = np.abs(self.error_per_atom).argmax()
        return float(self.scaled_error[row] / self.error_per_atom[row])


def write_energies(
    path: str | PathLike[str],
    species: Sequence[str],
    names: Sequence[str],
    counts: np.ndarray,
    reference: np.ndarray,
    error_per_atom: np.ndarray,
    scale: float,
) -> None:
    """Write one line per structure.

    Parameters
    ----------
    counts
        (n_structure, n_species) atoms of each species
    reference
        (n_structure,) energy relative to the atomic energies, eV
    error_per_atom
        (n_structure,) reference minus network, eV/atom
    scale
        energy scale of the training, 1/eV: the last energy column is the scaled error
    """
    counts = np.asarray(counts)
    n = counts.sum(axis=1)
    network = reference - n * error_per_atom
    write_saved_energies(
        path,
        SavedEnergies(
            species=tuple(species),
            names=tuple(names),
            counts=counts,
            reference=reference,
            network=network,
            reference_per_atom=reference / n,
            network_per_atom=network / n,
            error_per_atom=error_per_atom,
            scaled_error=scale * error_per_atom,
        ),
    )


def write_saved_energies(path: str | PathLike[str], saved: SavedEnergies) -> None:
    """Write the columns as they are.

    Raises
    ------
    InputError
        if the file cannot be written.
    """
    with atomic_write(path) as stream:
        stream.write(
            "  "
            + "        ".join(HEADER_WORDS[:2])
            + "      "
            + HEADER_WORDS[2]
            + "  "
            + "   ".join(HEADER_WORDS[3:5])
            + " "
            + "    ".join(HEADER_WORDS[5:])
            + " "
            + "".join(f"  #{symbol:<2s}" for symbol in saved.species)
            + f"   {_PATH_WORD}\n"
        )
        for name, count, n, *energies in zip(
            saved.names,
            saved.counts,
            saved.n_atoms,
            saved.reference,
            saved.network,
            saved.reference_per_atom,
            saved.network_per_atom,
            saved.error_per_atom,
            saved.scaled_error,
        ):
            first, second, *others = (f"{value:15.6E}" for value in energies)
            stream.write(f"{first}{second}{n:6d}{''.join(others)} " + "".join(f"{c:5d}" for c in count) + f" {name}\n")


def read_energies(path: str | PathLike[str]) -> SavedEnergies:
    """Read `energies.train.N` or `energies.test.N`, of ænet or of taylorfit, with any number of digits.

    Raises
    ------
    FormatError
        if the file is cut off, has a damaged row or a number that is not finite.
    InputError
        if the file cannot be opened.
    """
    file = fsdecode(path)
    lines = decode_lines(read_bytes(path), file)
    words = lines[0].split()
    n_head = len(HEADER_WORDS)
    symbols = words[n_head:-1]
    if tuple(words[:n_head]) != HEADER_WORDS or words[-1] != _PATH_WORD or not symbols:
        raise FormatError(
            "head of another kind of file",
            file=file,
            line=1,
            value=lines[0],
            expected=f"{' '.join(HEADER_WORDS)} #species … {_PATH_WORD}",
        )
    for symbol in symbols:
        if not symbol.startswith("#") or len(symbol) < 2 or not symbol.isprintable():
            raise FormatError("malformed species", file=file, line=1, value=symbol, expected="# and a name")
    if lines.pop():
        raise FormatError("the last line is cut off", file=file, line=len(lines) + 1, expected="an end of line")
    names: list[str] = []
    counts: list[list[int]] = []
    rows: list[list[float]] = []
    for number, line in enumerate(lines[1:], start=2):
        name, count, energies = _row(line, len(symbols), file, number)
        names.append(name)
        counts.append(count)
        rows.append(energies)
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    return SavedEnergies(
        tuple(symbol[1:] for symbol in symbols),
        tuple(names),
        np.array(counts, dtype=np.int64).reshape(-1, len(symbols)),
        *map(np.ascontiguousarray, columns),
    )


def _row(line: str, n_species: int, file: str, number: int) -> tuple[str, list[int], list[float]]:
    """Return name, atoms of each species and the six energies of a line."""
    match = _ROW.fullmatch(line)
    if match is None:
        raise FormatError(
            "incomplete row",
            file=file,
            line=number,
            value=line.strip(),
            expected=f"six energies, {n_species + 1} numbers of atoms and a path",
        )
    *head, rest = match.groups()
    n_text = head.pop(2)
    energies = []
    for column, word in zip(HEADER_WORDS[:2] + HEADER_WORDS[3:], head):
        value = fortran_number(word)
        if value is None:
            raise FormatError(
                f"{column} {number_complaint(word)}", file=file, line=number, value=word, expected="a finite number"
            )
        energies.append(value)
    # Large numbers of atoms fill their fields: there may be no blanks between them
    end = 1 + _COUNT_WIDTH * n_species
    fields = [rest[at : at + _COUNT_WIDTH].strip(" ") for at in range(1, end, _COUNT_WIDTH)]
    name = rest[end + 1 :]
    for field in (n_text, *fields):
        if not (field.isascii() and field.isdigit() and len(field) < 10):
            raise FormatError(
                "malformed number of atoms", file=file, line=number, value=field, expected="a whole number"
            )
    if rest[end : end + 1] != " " or not name or not name.isprintable():
        raise FormatError(
            "malformed path of the structure",
            file=file,
            line=number,
            value=rest[end:],
            expected="a blank and a printable path",
        )
    count = [int(field) for field in fields]
    if sum(count) != int(n_text) or not sum(count):
        raise FormatError(
            "number of atoms contradicts those of the species",
            file=file,
            line=number,
            value=int(n_text),
            expected=str(max(sum(count), 1)),
        )
    return name, count, energies
