"""Reading reference data from files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from os import PathLike, fspath

from ..errors import InputError
from ..formats.structures.files import expand_patterns, read_structures, split_selection
from ..model.structure import Structure
from .check import check
from .check import drop as dropped


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
    """Read structures from files of any kind: XSF, and what ASE reads.

    Parameters
    ----------
    files
        Paths and patterns (`"bulk/*.xsf"`, `"runs/**/OUTCAR"`), alone or in a list.  A path may end in a selection of
        its frames (`"md.extxyz@::10"`).
    index
        Frames of each file without a selection of its own, in ASE's notation: `":"` all, `-1` the last, `"::10"`.
    units
        Of files that state none.
    energy_key, forces_key, stress_key
        Keys of the values in the files, where they are unusual.
    drop
        Kinds of findings of the data check (see `check`), structures with which are left out, such as `"duplicate"`.

    Returns
    -------
    list of Structure
        In Å, eV, eV/Å and eV/Å³; forces are raw (constraints do not change them).  Files are in natural order (`s2`
        before `s10`) within a pattern.  The name of a structure is its file, with `#<frame>` for files of several.

    Raises
    ------
    FormatError
        if a file is damaged, or a number is not finite.
    InputError
        if a file does not exist, a pattern or selection matches nothing, or nothing is left.

    Examples
    --------
    >>> import taylorfit as tfit
    >>> frames = tfit.read(["bulk/*.xsf", "run1/vasprun.xml"], index="::10", drop="duplicate")    # doctest: +SKIP
    """
    unknown = {"units": units, "energy_key": energy_key, "forces_key": forces_key, "stress_key": stress_key}
    for name, value in unknown.items():
        if value is not None:
            raise InputError(f"{name}= cannot be used yet", value=value, expected="files in eV and Å with usual keys")
    selection = _selection(index)
    paths = expand_patterns([fspath(file) for file in ([files] if isinstance(files, (str, PathLike)) else files)])
    structures = [
        structure
        for path in paths
        for structure in read_structures(path if split_selection(path)[1] else path + selection)
    ]
    if drop:
        kinds = [drop] if isinstance(drop, str) else drop
        structures = dropped(structures, check(structures), kinds)
    if not structures:
        raise InputError("no structures are left", expected="at least one structure")
    return structures


def _selection(index: str | int | slice) -> str:
    """The frames of `index` as the end of a path."""
    if isinstance(index, slice):
        index = ":".join("" if part is None else str(part) for part in (index.start, index.stop, index.step))
    return "" if str(index) == ":" else f"@{index}"
