"""Which keys of a file hold energies, forces and stresses: those of one source for the whole file.

Programs write labels of several methods side by side: `energy`, `forces` (a model) beside `REF_energy`,
`REF_forces` (a reference).  The common part of such names is the source; the energy of one and the forces of
another are never combined.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ...errors import FormatError
from ...model.units import unit
from ...settings.reading import AS_THEY_ARE, ReadingOptions

ENERGY, FREE_ENERGY, FORCES, STRESS, VIRIAL = "energy", "free_energy", "forces", "stress", "virial"

KNOWN = {
    "energy": "energy, free_energy or total_energy",
    "forces": "forces or force",
    "stress": "stress, virial or virials",
}
"""The names of labels that are found by themselves, for messages; upper and lower case are the same."""

_KINDS = {
    ("free", "energy"): FREE_ENERGY,
    ("total", "energy"): ENERGY,
    ("tot", "energy"): ENERGY,
    ("energy",): ENERGY,
    ("forces",): FORCES,
    ("force",): FORCES,
    ("stress",): STRESS,
    ("virial",): VIRIAL,
    ("virials",): VIRIAL,
}
_UNIT_KIND = {ENERGY: "energy", FREE_ENERGY: "energy", FORCES: "force", STRESS: "stress", VIRIAL: "energy"}
_OTHER_WORDS = (
    # Parts of energies, and what is said about a label
    "kinetic potential formation cohesive atomization atomisation adsorption binding interaction dispersion vdw "
    "d2 d3 d4 relative hull above zero point zpe zeropoint lattice surface electrostatic coulomb repulsion nuclear "
    "correlation exchange xc fermi homo lumo local atomic isolated per atom site band ewald hartree entropy ts "
    "thermal baseline delta correction reaction barrier strain "
    "weight weights unit units std stdev sigma var variance error errors uncertainty mask norm max min mean rms cutoff "
    "tolerance shift scale threshold key"
)
_OTHER = frozenset(_OTHER_WORDS.split())


@dataclass(frozen=True)
class LabelKey:
    """A key or column that holds a label."""

    key: str
    """As it stands in the file."""
    kind: str
    source: str
    """What the name has besides its kind: "" for `energy`, "ref" for `REF_energy`."""
    factor: float | None = None
    """Value of the unit that the name states (`energy_Ha`), in eV, eV/Å or eV/Å³."""


def label_key(key: str, *, is_column: bool) -> LabelKey | None:
    """Return what a key (or a column of the atoms) holds; None if it is no label of the whole structure."""
    words = [word for word in re.split(r"[_\-.\s]+", key.lower()) if word]
    for length in (2, 1):
        for start in range(len(words) - length + 1):
            kind = _KINDS.get(tuple(words[start : start + length]))
            if kind is None or (kind == FORCES) != is_column:
                continue
            before, after = words[:start], words[start + length :]
            factor = unit("/".join(after), _UNIT_KIND[kind]) if after else None
            rest = before if factor is not None else before + after
            return None if _OTHER & set(rest) else LabelKey(key, kind, "_".join(rest), factor)
    return None


def asking_for(what: str) -> str:
    """How a user names the key of the energy, forces or stress: command line, input file, Python."""
    return f"--{what}-key, {what.upper()}_KEY or {what}_key="


@dataclass(frozen=True)
class Labels:
    """The keys taken, in the order of preference; several only where they are names of the same number."""

    keys: tuple[LabelKey, ...] = ()

    def of(self, kind: str) -> list[LabelKey]:
        """The keys of one kind."""
        return [key for key in self.keys if key.kind == kind]


class FileLabels:
    """The labels of one file, chosen once for all its frames.

    Parameters
    ----------
    file
        Named in errors.
    reading
        The keys that the user asks for; those left open are found by name.
    """

    def __init__(self, file: str, reading: ReadingOptions = AS_THEY_ARE) -> None:
        self._file = file
        self._reading = reading
        self._found: dict[str, LabelKey] = {}
        self._names: dict[str, bool] = {}
        self._n_seen = 0
        self._chosen: Labels | None = None
        self.remarks: list[str] = []
        """What there is to say about the choice, each thing once."""

    def add(self, keys: Iterable[str], columns: Iterable[str]) -> None:
        """Make the keys and columns of one more frame known."""
        for names, is_column in ((keys, False), (columns, True)):
            for name in names:
                if name in self._names:
                    continue
                self._names[name] = is_column
                label = label_key(name, is_column=is_column)
                if label is not None:
                    self._found[name] = label

    @property
    def is_asked(self) -> bool:
        """Whether the user names the key of the energies."""
        return self._reading.energy_key is not None

    def note(self, remark: str) -> None:
        """Remember something worth telling about the labels of the file."""
        if remark not in self.remarks:
            self.remarks.append(remark)

    def choose(self) -> Labels:
        """Return the keys to take.

        Raises
        ------
        FormatError
            if several sources would do, a key asked for is not there, or later frames change the choice.
        """
        if self._chosen is not None and len(self._names) == self._n_seen:
            return self._chosen
        self._n_seen = len(self._names)
        chosen = self._select()
        if self._chosen is not None and {k.source for k in self._chosen.keys} - {k.source for k in chosen.keys}:
            self._several("later frames have labels of another source", self._found.values())
        self._chosen = chosen
        return chosen

    def missing(self, what: str) -> str:
        """Say which keys there are, for a message that `what` (energy, forces or stress) is missing."""
        is_column = what == FORCES
        standard = {"species", "symbols", "pos", "positions", "numbers", "z", "lattice", "pbc", "properties"}
        names = [name for name, column in self._names.items() if column == is_column and name.lower() not in standard]
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "none"
        known = f"{KNOWN[what]}, perhaps with a prefix such as REF_ or dft_, or another name with {asking_for(what)}"
        return f"{known}; {'columns' if is_column else 'keys'} found: {shown}"

    def _select(self) -> Labels:
        found = self._found.values()
        asked = self._asked()
        if self._reading.energy_key is None and self._reading.forces_key is None:
            source = self._source(found)
        else:
            order = (ENERGY, FREE_ENERGY, FORCES)
            source = min((key for key in asked if key.kind in order), key=lambda key: order.index(key.kind)).source
        keys = list(asked)
        for kinds, is_asked in (
            ((FREE_ENERGY, ENERGY), self._reading.energy_key),
            ((FORCES,), self._reading.forces_key),
            ((STRESS, VIRIAL), self._reading.stress_key),
        ):
            if is_asked is None:
                keys += [key for key in found if key.kind in kinds and key.source == source]
        others = [key.key for key in found if key not in keys]
        if keys and (source or others or asked):
            taken = ", ".join(key.key for key in keys)
            self.note(f"labels taken: {taken}" + (f" (not {', '.join(others)})" if others else ""))
        return Labels(tuple(keys))

    def _asked(self) -> list[LabelKey]:
        """The keys that the user asks for, as they stand in the file."""
        asked = []
        for kind, wanted in (
            (ENERGY, self._reading.energy_key),
            (FORCES, self._reading.forces_key),
            (STRESS, self._reading.stress_key),
        ):
            if wanted is None:
                continue
            name = (
                wanted if wanted in self._names else next((n for n in self._names if n.lower() == wanted.lower()), None)
            )
            if name is None or self._names[name] != (kind == FORCES):
                raise FormatError(
                    f"no {kind} under this key", file=self._file, value=wanted, expected=self.missing(kind)
                )
            # A name that says nothing by itself (E, f) goes with the labels without prefix
            known = self._found.get(name)
            is_virial = kind == STRESS and "virial" in name.lower()
            kind = VIRIAL if is_virial else kind
            asked.append(LabelKey(name, kind, known.source if known else "", known.factor if known else None))
        return asked

    def _source(self, found: Collection[LabelKey]) -> str:
        """The source that has energies and forces; else the only one that has either."""
        energies = {key.source for key in found if key.kind in (ENERGY, FREE_ENERGY)}
        forces = {key.source for key in found if key.kind == FORCES}
        for candidates in (energies & forces, energies, forces):
            if len(candidates) > 1:
                self._several("labels of several sources", [key for key in found if key.source in candidates])
            if candidates and candidates <= energies & forces:
                return next(iter(candidates))
        candidates = energies | forces
        if len(candidates) > 1 and "" not in candidates:
            self._several("energies and forces of different sources", found)
        return "" if "" in candidates else next(iter(candidates), "")

    def _several(self, message: str, keys: Iterable[LabelKey]) -> None:
        raise FormatError(
            message,
            file=self._file,
            value=", ".join(key.key for key in keys),
            expected=f"energies and forces of one source, or a choice: {asking_for('energy')}",
        )
