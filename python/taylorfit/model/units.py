"""Units as people write them, and their values in eV and Å.

Constants: CODATA 2018; 1 cal = 4.184 J.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import InputError

HARTREE, RYDBERG, BOHR = 27.211386245988, 13.605693122994, 0.529177210903
_JOULE = 1.0 / 1.602176634e-19
_PER_MOLE = _JOULE / 6.02214076e23
GPA = 1e9 * _JOULE * 1e-30
"""eV/Å³"""

_ATOMIC = ("au", "atomic", "atomicunit", "atomicunits")
_ENERGIES = {
    **dict.fromkeys(("ev", "evs", "electronvolt", "electronvolts"), 1.0),
    **dict.fromkeys(("mev", "millielectronvolt"), 1e-3),
    "kev": 1e3,
    **dict.fromkeys(("ha", "hartree", "hartrees", "eh", "e_h", "har"), HARTREE),
    **dict.fromkeys(("mha", "mhartree", "millihartree"), 1e-3 * HARTREE),
    **dict.fromkeys(("ry", "ryd", "rydberg", "rydbergs", "rydb"), RYDBERG),
    **dict.fromkeys(("mry", "mryd"), 1e-3 * RYDBERG),
    **dict.fromkeys(("kcal/mol", "kcal/mole", "kcalmol", "kcal"), 4184.0 * _PER_MOLE),
    **dict.fromkeys(("kj/mol", "kj/mole", "kjmol", "kj"), 1e3 * _PER_MOLE),
    **dict.fromkeys(("j", "joule", "joules"), _JOULE),
    **dict.fromkeys(("cm-1", "cm^-1", "1/cm"), 1.239841984e-4),
    **dict.fromkeys(_ATOMIC, HARTREE),
}
_LENGTHS = {
    **dict.fromkeys(("a", "ang", "angs", "angst", "angstrom", "angstroms", "angström", "angstroem"), 1.0),
    **dict.fromkeys(("bohr", "bohrs", "a0", "a_0", *_ATOMIC), BOHR),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 10.0),
    **dict.fromkeys(("pm", "picometer", "picometre"), 0.01),
}
_PRESSURES = {
    "gpa": GPA,
    "mpa": 1e-3 * GPA,
    "kpa": 1e-6 * GPA,
    "pa": 1e-9 * GPA,
    "tpa": 1e3 * GPA,
    **dict.fromkeys(("kbar", "kb"), 0.1 * GPA),
    "mbar": 100.0 * GPA,
    "bar": 1e-4 * GPA,
    "atm": 1.01325e-4 * GPA,
    **dict.fromkeys(_ATOMIC, HARTREE / BOHR**3),
}
_WHOLE = frozenset(("cell", "unitcell", "supercell", "simulationcell", "structure", "system", "frame", "total", "box"))
_SINGLE = frozenset("aj")  # letters that are words of their own in a sentence


class UnitSystem(NamedTuple):
    """What one unit of a file is worth."""

    energy: float = 1.0
    """eV"""
    length: float = 1.0
    """Å"""
    force: float = 1.0
    """eV/Å"""
    stress: float = 1.0
    """eV/Å³"""
    text: str = "eV, Å"
    """As people call it."""

    @property
    def is_standard(self) -> bool:
        """Whether these are eV and Å, so that nothing is to be converted."""
        return self.energy == self.length == self.force == self.stress == 1.0


_SYSTEMS = {
    **dict.fromkeys(("metal", "ase"), UnitSystem()),
    **dict.fromkeys(
        (*_ATOMIC, "electron", "runner"), UnitSystem(HARTREE, BOHR, HARTREE / BOHR, HARTREE / BOHR**3, "Hartree, Bohr")
    ),
    "real": UnitSystem(
        _ENERGIES["kcal"], 1.0, _ENERGIES["kcal"], _PRESSURES["atm"], "kcal/mol, Å (LAMMPS: real, pressures in atm)"
    ),
    "xcrysden": UnitSystem(1.0, 1.0, HARTREE, 1.0, "eV, Å, forces in Hartree/Å"),
}
SYSTEM_FORM = "two units such as 'eV Angstrom' or 'Hartree Bohr', or metal, real, atomic, xcrysden"
"""What `unit_system` takes, for messages."""


def unit_system(text: str) -> UnitSystem | None:
    """Return the units that `text` names: an energy and a length, or the name of a system; None if it does not.

    Units of forces and stresses follow; only `real` and `xcrysden` have their own.
    """
    name = _plain(text)
    if name in _SYSTEMS:
        return _SYSTEMS[name]
    words = [word for word in re.split(r"[\s,;+&]+|\band\b", text) if word]
    if len(words) == 1:
        words = text.replace("kcal/mol", "kcal").replace("kJ/mol", "kJ").split("/")
    energies = [value for word in words if (value := unit(word, "energy")) is not None]
    lengths = [value for word in words if (value := unit(word, "length")) is not None and _plain(word) not in _ATOMIC]
    if len(words) != 2 or len(energies) != 1 or len(lengths) != 1:
        return None
    (energy,), (length,) = energies, lengths
    return UnitSystem(energy, length, energy / length, energy / length**3, ", ".join(words))


def required_system(text: str) -> UnitSystem:
    """As `unit_system`, but for what a user asked for.

    Raises
    ------
    InputError
        if these are no units.
    """
    system = unit_system(text)
    if system is None:
        raise InputError("unknown units", value=text, expected=SYSTEM_FORM)
    return system


def unit(text: str, kind: str) -> float | None:
    """Value in eV, Å, eV/Å or eV/Å³ of the unit that `text` names; None if it is no unit of this `kind`.

    Energies per atom are none: their number of atoms is not known here.
    """
    name = _plain(text)
    if kind == "energy":
        numerator, _, divisor = name.rpartition("/")
        return _ENERGIES.get(numerator if divisor in _WHOLE else name)
    if kind == "length":
        return _LENGTHS.get(name)
    if kind == "stress" and name in _PRESSURES:
        return _PRESSURES[name]
    if kind == "force" and name in _ATOMIC:
        return HARTREE / BOHR
    match = re.fullmatch(r"(.+)/([a-z_0åö]+?)(?:(?:\^|\*\*)?(3|³))?", name)
    if match is None or bool(match[3]) != (kind == "stress"):
        return None
    energy, length = _ENERGIES.get(match[1]), _LENGTHS.get(match[2])
    return None if energy is None or length is None else energy / length ** (3 if kind == "stress" else 1)


def is_per_atom(text: str) -> bool:
    """Tell whether `text` names an energy that is not that of the whole structure, such as eV/atom."""
    numerator, slash, divisor = _plain(text).rpartition("/")
    return bool(slash) and numerator in _ENERGIES and divisor not in _WHOLE and divisor.rstrip("^23*³") not in _LENGTHS


def first_energy_unit(text: str) -> str | None:
    """Return the first unit of an energy in a sentence, as written; single letters count only as first word."""
    tidy = re.sub(r"\s*(?:/|\bper\b)\s*", "/", text.replace("|", " "), flags=re.IGNORECASE)
    tidy = re.sub(r"(?<=[A-Za-z])[ ]?(?:\*|·)?[ ]?(at(?:oms?)?|mol)(?:\^|\*\*)?-1\b", r"/\1", tidy)
    tidy = re.sub(r"\b(atomic|unit|simulation|formula) (units?|cell)\b", r"\1\2", tidy, flags=re.IGNORECASE)
    for place, word in enumerate(tidy.split()):
        name = _plain(word)
        if place and name in _SINGLE:
            continue
        if unit(word, "energy") is not None or is_per_atom(word):
            return word.strip("()[]{};,")
    return None


def _plain(text: str) -> str:
    """The name of a unit in small letters, without brackets, blanks and trailing punctuation."""
    name = text.strip().strip("()[]{};,:'\"").strip().lower()
    name = name.replace("å", "a").replace("\u212b", "a").replace(" per ", "/")
    name = re.sub(r"[\s]+|(?<=/)\(|\)$", "", name)
    name = re.sub(r"\ba\.u\.?(?=$|/)", "au", name)
    return name.removesuffix(".")
