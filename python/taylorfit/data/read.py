"""Reading reference data from files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from os import PathLike, fspath

from ..errors import InputError
from ..formats.structures.files import read_files
from ..model.structure import Structure
from ..settings.reading import READING_KINDS, ReadingOptions, droppable
from ..tools.warn import warn_of_data
from .check import check
from .check import drop as dropped
from .findings import DROPPABLE


def read(
    files: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    index: str | int | slice = ":",
    units: str | None = None,
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    drop: str | Collection[str] = (),
) -> list[Structure]:
    """Read structures from files of any kind: XSF, extended XYZ, n2p2's input.data, and what ASE reads.

    Parameters
    ----------
    files
        Paths and patterns (`"bulk/*.xsf"`, `"runs/**/OUTCAR"`), alone or in a list.  A path may end in a selection of
        its frames (`"md.extxyz@::10"`).
    index
        Frames of each file without a selection of its own, in ASE's notation: `":"` all, `-1` the last, `"::10"`.
    units
        Of files that state none (n2p2's must have them): `"eV Angstrom"`, `"Hartree Bohr"`, `"real"`, ...
    energy_key, forces_key, stress_key
        Keys of the values in files that hold those of several methods, or have them under unusual names.
    drop
        Kinds of findings of the data check (see `check`), structures with which are left out, such as `"duplicate"`;
        also `"unreadable"` files and `"unconverged"` frames.

    Warns
    -----
    DataWarning
        For what a user should know: which labels of several were taken, units converted, files left out.

    Returns
    -------
    list of Structure
        In Å, eV, eV/Å and eV/Å³; forces are raw (constraints do not change them).  Files are in natural order (`s2`
        before `s10`) within a pattern.  The name of a structure is its file, with `#<frame>` for files of several.

    Raises
    ------
    FormatError
        if a file is damaged, has labels of several sources, or a number is not finite.
    InputError
        if a file does not exist, a pattern or selection matches nothing, or nothing is left.

    Examples
    --------
    >>> import taylorfit as tfit
    >>> frames = tfit.read(["bulk/*.xsf", "run1/vasprun.xml"], index="::10", drop="duplicate")    # doctest: +SKIP
    """
    kinds = [drop] if isinstance(drop, str) else list(drop)
    droppable(kinds, DROPPABLE)
    structures = read_files(
        [fspath(file) for file in ([files] if isinstance(files, (str, PathLike)) else files)],
        ReadingOptions(units, energy_key, forces_key, stress_key),
        index=_index(index),
        drop=kinds,
        tell=lambda remark: warn_of_data([remark]),
    )
    kinds = [kind for kind in kinds if kind not in READING_KINDS]
    if kinds:
        structures = dropped(structures, check(structures), kinds)
    if not structures:
        raise InputError("no structures are left", expected="at least one structure")
    return structures


def _index(index: str | int | slice) -> str:
    """The frames of `index` in ASE's notation."""
    if isinstance(index, slice):
        return ":".join("" if part is None else str(part) for part in (index.start, index.stop, index.step))
    return str(index)
