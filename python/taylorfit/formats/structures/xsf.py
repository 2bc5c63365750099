"""Structure files in the XSF dialect of ænet.

The dialect differs from XCrySDen's: the energy stands in a line `# total energy = ... eV`
anywhere in the file, forces are in eV/Å (not Hartree/Å), and the atoms are those up to the
first blank line, whatever the count line says.  The reader accepts what ænet accepts, but
raises where ænet would crash, truncate or misread without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from os import PathLike, fsdecode
from typing import NoReturn

import numpy as np

from ...errors import FormatError, InputError
from ...model.elements import SYMBOLS
from ...model.structure import VOIGT, VOIGT_ELEMENTS, Structure
from ...model.units import UnitSystem
from ...tools.atomic_write import atomic_write
from ...tools.plain_text import decode_lines, fortran_number, read_bytes, value_complaint
from .number_columns import number_columns
from .xsf_sections import (
    ATOM_LINE,
    CELL_KEYWORDS,
    FORCE_WEIGHTS_COMMENT,
    FORCE_WEIGHTS_FORM,
    MIN_RELATIVE_VOLUME,
    PBC_COMMENT,
    PHRASES,
    PREDICTED_COMMENT,
    PUSHED_COMMENT,
    PUSHED_FORM,
    STRESS_COMMENT,
    UNCONVERGED_COMMENT,
    WEIGHT_COMMENT,
    Sections,
    is_symbol,
)

_AXES = "xyz"
_STATEMENTS = (
    (STRESS_COMMENT, "# Stress ="),
    (PBC_COMMENT, "# Pbc ="),
    (WEIGHT_COMMENT, "# Weight ="),
    (FORCE_WEIGHTS_COMMENT, "# Force weights in column 8"),
    (PUSHED_COMMENT, "# Pushed from ="),
    (PREDICTED_COMMENT, "# Predicted by ="),
    (UNCONVERGED_COMMENT, "# Converged = F"),
)
"""Comments that mean something, and how one is written that should not."""


def read_xsf(path: str | PathLike[str], *, require_energy: bool = False, require_forces: bool = False) -> Structure:
    """Read one structure from an XSF file in the dialect of ænet.

    Parameters
    ----------
    path
        The file; becomes the name of the structure.
    require_energy
        Raise if the file has neither a total energy nor a non-zero cohesive energy?
    require_forces
        Raise if the atoms have no forces?

    Returns
    -------
    Structure
        Lengths in Å, energies in eV, forces in eV/Å, stress in eV/Å³ (from the comment that
        :func:`format_xsf` describes).  Periodic in all three directions if
        the file has a `PRIMVEC` section (also under `SLAB` and `POLYMER`, as in ænet),
        isolated otherwise.  Symbols are the first two characters of the label.  Atomic numbers in their place are
        taken in files without forces only.

    Raises
    ------
    FormatError
        if the file is empty, binary, damaged, ambiguous, or lacks what is required.
    InputError
        if the file cannot be read at all.
    """
    return parse_xsf(read_bytes(path), fsdecode(path), require_energy=require_energy, require_forces=require_forces)


def parse_xsf(
    content: bytes,
    name: str,
    *,
    require_energy: bool = False,
    require_forces: bool = False,
    units: UnitSystem | None = None,
) -> Structure:
    """Return the structure in the `content` of an XSF file; see :func:`read_xsf`.

    `name` is the file named in errors and becomes the name of the structure.  `units` are those of files with atomic
    numbers for symbols, which are not of ænet: their forces may be in Hartree/Å.
    """
    lines = decode_lines(content, name)
    found = Sections(name)
    start = found.read_sections(lines, 0)
    if start is None:
        found.fail(None, "no atoms", expected="a PRIMCOORD or ATOMS section followed by atoms")
    rows = []
    for line in lines[start:]:
        words = line.split()
        if not words:
            break
        rows.append(words)
    end = start + len(rows)
    symbols, values = _atoms(rows, start, name)
    found.read_tail(lines, end, rows)
    found.check(len(rows))

    forces = values[:, 3:] if values.shape[1] == 6 else None
    if require_energy and found.energy is None and not found.cohesive_energy:
        _no_energy(lines, name)
    if require_forces and forces is None:
        raise FormatError(
            "no forces",
            file=name,
            line=start + 1,
            value=lines[start].strip(),
            expected="atom lines of the form symbol x y z Fx Fy Fz",
        )
    if symbols[0].isdigit():
        symbols, forces = _of_atomic_numbers(forces, units, rows, start, name)
    periodic = found.cell is not None
    force_weights = found.force_weights(rows, start)
    return Structure(
        symbols=symbols,
        positions=values[:, :3],
        cell=np.array(found.cell) if periodic else np.zeros((3, 3)),
        pbc=found.pbc if periodic else (False, False, False),
        energy=found.energy,
        forces=forces,
        stress=None if found.stress is None else np.array(found.stress)[VOIGT],
        cohesive_energy=found.cohesive_energy,
        weight=found.weight,
        pushed_from=found.pushed_from,
        predicted_by=found.predicted_by,
        converged=found.converged,
        force_weights=None if force_weights is None else np.array(force_weights),
        name=name,
    )


def line_of_symbol(content: bytes, name: str, symbol: str) -> int | None:
    """Return the line, from 1, of the first atom with `symbol` in a file that `parse_xsf` accepts."""
    lines = decode_lines(content, name)
    start = Sections(name).read_sections(lines, 0)
    for number, line in enumerate(lines[start:] if start is not None else (), start=(start or 0) + 1):
        words = line.split()
        if not words:
            break
        if words[0][:2] == symbol:
            return number
    return None


def write_xsf(
    path: str | PathLike[str], structure: Structure, comments: Iterable[str] = (), *, overwrite: bool = True
) -> None:
    """Write `structure` to an XSF file in the dialect of ænet; see :func:`format_xsf`.

    Raises
    ------
    InputError
        if the structure has no faithful XSF form, or the file cannot be written.
    """
    text = format_xsf(structure, comments)
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(text)


def format_xsf(structure: Structure, comments: Iterable[str] = ()) -> str:
    """Return `structure` as the text of an XSF file in the dialect of ænet.

    Numbers have as many digits as reading them back exactly takes.  The format knows
    periodicity in all directions or in none: a slab or wire is written with its cell and a comment
    ``# pbc = T T F``, which is read here; to ænet it is periodic in all three.  The cell of a structure that is
    not periodic is left out.  The stress is a comment, which ænet ignores: its symmetric part as
    ``# stress = xx yy zz yz xz xy eV/A^3``, in eV/Å³ and with ASE's sign (negative under compression).  So are the
    weights of a loss: ``# weight = 2.0``, and ``# force weights in column 8`` for an eighth column of the atoms; and
    ``# pushed from = HASH`` of a copy of `repel`.

    Parameters
    ----------
    structure
        Lengths in Å, energies in eV, forces in eV/Å.
    comments
        Lines to put at the top, without `#`.

    Raises
    ------
    InputError
        if there are no atoms, a symbol is not of one or two letters or digits, a number is
        not finite, or the structure is periodic but its cell has no volume.
    """
    _check_writable_structure(structure)
    lines = []
    for comment in comments:
        comment = comment.encode("utf-8", "backslashreplace").decode().replace("\0", " ")
        for phrase in PHRASES:
            # Otherwise the comment would be read as an energy.
            comment = comment.replace(phrase, phrase.replace(" ", "-"))
        # ... or as another statement
        for line in comment.splitlines():
            line = f"# {line}".rstrip()
            for pattern, harmless in _STATEMENTS:
                line = re.sub(pattern, harmless, line)
            lines.append(line)
    if structure.energy is not None:
        lines.append(f"# total energy = {float(structure.energy)!r} eV")
    if structure.cohesive_energy is not None:
        lines.append(f"# cohesive energy = {float(structure.cohesive_energy)!r} eV")
    if structure.stress is not None:
        # As components of its symmetric part, which is what a strain sees
        symmetric = 0.5 * (structure.stress + structure.stress.T)
        lines.append("# stress = " + " ".join(map(repr, symmetric[VOIGT_ELEMENTS].tolist())) + " eV/A^3")
    if any(structure.pbc) and not all(structure.pbc):
        lines.append("# pbc = {} {} {}".format(*("FT"[periodic] for periodic in structure.pbc)))
    if structure.weight != 1.0:
        lines.append(f"# weight = {float(structure.weight)!r}")
    if structure.pushed_from:
        lines.append(PUSHED_FORM.replace("HASH", structure.pushed_from))
    if structure.predicted_by and (structure.energy is not None or structure.forces is not None):
        lines.append("# predicted by = " + re.sub(r"\W+", "_", structure.predicted_by))
    if not structure.converged:
        lines.append("# converged = F")
    columns = [structure.positions]
    if structure.forces is not None:
        columns.append(structure.forces)
        if structure.force_weights is not None:
            lines.append(FORCE_WEIGHTS_FORM)
            columns.append(structure.force_weights[:, None])
    lines.append("")
    if any(structure.pbc):
        lines += [CELL_KEYWORDS[sum(structure.pbc)], "PRIMVEC"]
        lines += [_row(vector) for vector in structure.cell.tolist()]
        lines += ["PRIMCOORD", f"{structure.n_atoms} 1"]
    else:
        lines.append("ATOMS")
    for symbol, values in zip(structure.symbols, np.hstack(columns).tolist()):
        lines.append(f"{symbol:2s} {_row(values)}")
    return "\n".join(lines) + "\n"


def _row(values: list[float]) -> str:
    return " ".join(f"{value!r:>22}" for value in values)


def _check_writable_structure(structure: Structure) -> None:
    file = structure.name or None
    if not structure.symbols:
        raise InputError("no atoms to write to XSF", file=file, expected="at least one atom")
    for symbol in set(structure.symbols):
        if not (1 <= len(symbol) <= 2 and is_symbol(symbol)) or symbol.isdigit():
            raise InputError("symbol has no XSF form", file=file, value=symbol, expected="one or two letters or digits")
    for what in ("positions", "cell", "forces", "stress", "energy", "cohesive_energy"):
        values = getattr(structure, what)
        if values is not None and not np.isfinite(values).all():
            raise InputError(f"{what} not finite", file=file, expected="finite numbers for XSF")
    if any(structure.pbc):
        with np.errstate(over="ignore", invalid="ignore"):
            edges = np.prod(np.linalg.norm(structure.cell, axis=1))
            if not 0.0 < MIN_RELATIVE_VOLUME * edges < structure.volume < np.inf:
                raise InputError(
                    "periodic, but the cell has no volume; no XSF form",
                    file=file,
                    value=structure.cell.tolist(),
                    expected="three independent lattice vectors",
                )


def _atoms(rows: list[list[str]], start: int, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return symbols and (n_atom, 3 or 6) positions and forces of the atom lines `rows`."""
    if len(rows[-1]) < 4:
        # First, because a file cut in its last line would look like forces on some atoms.
        number = next(i for i, row in enumerate(rows) if len(row) < 4 or not is_symbol(row[0][:2]))
        _checked_atom(rows[number], 4, number, start, name)
    n_columns = 7 if len(rows[-1]) >= 7 else 4
    symbols = tuple([row[0][:2] for row in rows])
    if len(set(map(len, rows))) == 1:
        values = number_columns(rows, 1, n_columns)
        if values is not None and np.isfinite(values).all() and all(map(is_symbol, set(symbols))):
            return symbols, values
    checked = [_checked_atom(row, n_columns, number, start, name) for number, row in enumerate(rows)]
    return symbols, np.array(checked)


def _checked_atom(row: list[str], n_columns: int, number: int, start: int, name: str) -> list[float]:
    """Return the numbers of one atom line; the slow way, which finds what is wrong."""
    line, atom = start + number + 1, number + 1
    if not is_symbol(row[0][:2]):
        raise FormatError(
            "not an atom line",
            file=name,
            line=line,
            value=" ".join(row),
            expected=f"{ATOM_LINE}, or a blank line after the last atom",
        )
    starred = next((word for word in row[1:n_columns] if "*" in word), None)
    if starred is not None:
        raise FormatError(
            f"atom {atom} has a number lost to Fortran overflow",
            file=name,
            line=line,
            value=starred,
            expected="a number",
        )
    if len(row) < 4:
        raise FormatError("not an atom line", file=name, line=line, value=" ".join(row), expected=ATOM_LINE)
    values = []
    for column, word in enumerate(row[1:n_columns]):
        value = fortran_number(word)
        if value is None:
            what = f"{'position' if column < 3 else 'force'} {_AXES[column % 3]} of atom {atom}"
            raise FormatError(
                f"{what} {value_complaint(word)}", file=name, line=line, value=word, expected="a finite number"
            )
        values.append(value)
    if len(values) < n_columns - 1:
        raise FormatError(
            f"forces on some atoms only: atom {atom} has none, the last atom has",
            file=name,
            line=line,
            value=" ".join(row),
            expected="symbol x y z Fx Fy Fz",
        )
    forces = [fortran_number(word) for word in row[4:7]] if n_columns == 4 else []
    if len(forces) == 3 and None not in forces:
        raise FormatError(
            f"forces on some atoms only: atom {atom} has forces, the last atom has none",
            file=name,
            line=line,
            value=" ".join(row),
            expected="forces on all atoms or on none",
        )
    return values


def _of_atomic_numbers(
    forces: np.ndarray | None, units: UnitSystem | None, rows: list[list[str]], start: int, name: str
) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Symbols and forces (eV/Å) of a file with atomic numbers, as XCrySDen and ASE write them."""
    numbers = [int(row[0]) if row[0].isdigit() else 0 for row in rows]
    wrong = next((i for i, number in enumerate(numbers) if not 0 < number < len(SYMBOLS)), None)
    if wrong is not None:
        raise FormatError(
            "no atomic number", file=name, line=start + wrong + 1, value=rows[wrong][0], expected="1 to 118, or symbols"
        )
    if forces is not None and units is None:
        raise FormatError(
            "atomic number for a symbol: this is XSF as XCrySDen and ASE write it, with forces in Hartree/Å",
            file=name,
            line=start + 1,
            value=rows[0][0],
            expected="symbols and forces in eV/Å, or --units xcrysden (or 'eV Angstrom' if they are in eV/Å)",
        )
    if forces is not None and units is not None:
        forces = forces * units.force
    return tuple(SYMBOLS[number] for number in numbers), forces


def _no_energy(lines: list[str], name: str) -> NoReturn:
    expected = "a line '# total energy = <number> eV'"
    for index, line in enumerate(lines):
        if "total energy" in line.lower():
            raise FormatError(
                "no energy (ænet knows it in lower case only)",
                file=name,
                line=index + 1,
                value=line.strip(),
                expected=expected,
            )
    raise FormatError("no energy", file=name, expected=expected)
