"""Reading `input.data` of n2p2 and RuNNer.  The format has no fixed units: they must be stated."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from ...errors import FormatError, InputError
from ...model.distances import typical_bond
from ...model.elements import SYMBOLS
from ...model.structure import Structure
from ...model.units import BOHR, SYSTEM_FORM, UnitSystem, unit_system
from ...tools.plain_text import decode_lines, fortran_number, read_bytes, value_complaint
from .frames import Frame

_SAID_UNITS = re.compile(r"\bunits?\b\s*(?:are|is|:|=)?\s*(.+)", re.IGNORECASE)


def read_n2p2_frames(path: str, units: UnitSystem | None) -> Iterator[Frame]:
    """Yield the frames of an `input.data`, in the units of the file.

    Parameters
    ----------
    units
        What the user says that they are; a comment of the file that says otherwise is an error.

    Raises
    ------
    FormatError
        with file and line, if something cannot be understood, or the comments contradict `units`.
    InputError
        if `units` is None; it says what distances and comments suggest.
    """
    frame: Frame | None = None
    atoms: list[tuple[int, list[str]]] = []
    start = 0
    lattice: list[list[float]] = []
    n_frames = 0
    for number, line in enumerate(decode_lines(read_bytes(path), path), start=1):
        words = line.split()
        if not words:
            continue
        word = words[0].lower()
        if word == "begin":
            if frame is not None:
                raise FormatError("begin without end before it", file=path, line=number, expected="end")
            frame, atoms, lattice, start = Frame((), np.zeros((0, 3)), np.zeros((3, 3)), (False,) * 3), [], [], number
            frame.line = number
        elif frame is None:
            raise FormatError("not in a frame", file=path, line=number, value=line.strip(), expected="begin")
        elif word == "comment":
            frame.info.setdefault("comment", line.strip()[7:].strip())
            _check_comment(line, units, path, number)
        elif word == "lattice":
            lattice.append(_numbers(words[1:4], 3, path, number))
        elif word == "atom":
            if len(words) < 10 or words[4].capitalize() not in SYMBOLS[1:]:
                raise FormatError(
                    "not an atom line", file=path, line=number, value=line.strip(),
                    expected="atom x y z symbol charge energy fx fy fz",
                )  # fmt: skip
            atoms.append((number, words))
        elif word == "energy":
            energy = _numbers(words[1:2], 1, path, number)[0]
            if frame.info.get("energy", energy) != energy:
                raise FormatError("two different total energies", file=path, line=number, value=energy, expected="one")
            frame.info["energy"] = energy
        elif word == "end":
            if len(lattice) not in (0, 3) or not atoms:
                raise FormatError(
                    f"{len(lattice)} lattice vectors and {len(atoms)} atoms", file=path, line=start,
                    expected="three or none, and at least one atom",
                )  # fmt: skip
            values = np.array([_numbers(row[1:4] + row[7:10], 6, path, place) for place, row in atoms])
            frame.symbols = tuple(row[4].capitalize() for _, row in atoms)
            frame.positions, frame.columns["forces"] = values[:, :3], values[:, 3:]
            if lattice:
                frame.cell, frame.pbc = np.array(lattice), (True,) * 3
            if units is None:
                raise _no_units(frame, path)
            yield frame
            frame = None
            n_frames += 1
    if frame is not None:
        raise FormatError("truncated frame", file=path, line=start, expected="end")
    if n_frames == 0:
        raise FormatError("no structures", file=path, expected="at least one frame")


def _numbers(words: list[str], n: int, path: str, line: int) -> list[float]:
    values = [fortran_number(word) for word in words]
    if len(values) < n or None in values:
        wrong = next((word for word, value in zip(words, values) if value is None), " ".join(words))
        complaint = value_complaint(wrong) if wrong else "is missing"
        raise FormatError(f"a number {complaint}", file=path, line=line, value=wrong, expected=f"{n} numbers")
    return [value for value in values if value is not None]


def _said_units(comment: str) -> UnitSystem | None:
    match = _SAID_UNITS.search(comment)
    return None if match is None else unit_system(match[1])


def _check_comment(line: str, units: UnitSystem | None, path: str, number: int) -> None:
    said = _said_units(line)
    if said is not None and units is not None and (said.energy, said.length) != (units.energy, units.length):
        raise FormatError(
            f"units other than asked for ({units.text})", file=path, line=number, value=line.strip(), expected=said.text
        )


def _no_units(frame: Frame, path: str) -> InputError:
    """The error for a file whose units nobody stated, with what its comments and distances suggest."""
    hints = []
    said = _said_units(str(frame.info.get("comment", "")))
    if said is not None:
        hints.append(f"a comment says {said.text}")
    structure = Structure(frame.symbols, frame.positions, frame.cell, frame.pbc)
    bond = typical_bond(structure)
    if bond is not None:
        relative, pair, length = bond
        fits = [name for name, r in (("Å", relative), ("Bohr", relative * BOHR)) if 0.65 < r < 1.5]
        hints.append(f"a distance {pair} of {length:.3f} is a bond in {' or '.join(fits) or 'neither Å nor Bohr'}")
    return InputError(
        "n2p2 and RuNNer files have no fixed units" + (f" ({'; '.join(hints)})" if hints else ""),
        file=path,
        expected=f"--units, UNITS or units= with {SYSTEM_FORM}",
    )
