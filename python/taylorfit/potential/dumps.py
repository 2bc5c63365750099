"""A folder of structures for the next round of calculations, in which none resembles another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine import DescriptorTables, describe
from ..formats.structures.xsf import read_xsf, write_xsf
from ..model.scaling import standardisation
from ..model.structure import Structure
from ..settings.extrapolation import ExtrapolationPolicy
from ..tools.os_errors import make_folder

_NAME = re.compile(r"extrapolation-(\d+)\.xsf")


class DumpFolder:
    """Takes structures that differ from those already there.

    Parameters
    ----------
    tables
        Descriptors with statistics, in whose standard deviations structures are compared.
    """

    def __init__(self, policy: ExtrapolationPolicy, tables: DescriptorTables) -> None:
        self._policy, self._tables = policy, tables
        self._known: dict[str, np.ndarray] = {}
        """Name of a file → (n_atom, n_most) standardised descriptors of its atoms, zeros behind the last component."""
        self._species: dict[str, tuple[str, ...]] = {}

    def add(self, structure: Structure, atom: int, comments: Sequence[str]) -> str | None:
        """Write a structure, `atom` of which is furthest outside; None if there is no room or it resembles another.

        Raises
        ------
        InputError
            if the folder or the file cannot be written.
        """
        folder = make_folder(self._policy.folder)
        there = {int(match[1]): path for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))}
        if len(there) >= self._policy.most_dumps:
            return None
        own = self._standardised(structure)
        for path in there.values():
            if path.name not in self._known:
                self._look_at(path)
        symbol = structure.symbols[atom]
        n_feature = self._tables.setups[self._tables.species.index(symbol)].n_feature
        for name, values in self._known.items():
            alike = values[[s == symbol for s in self._species[name]]]
            square = ((alike - own[atom]) ** 2).sum(axis=1) / n_feature
            if len(alike) and square.min() < self._policy.apart**2:
                return None
        path = folder / f"extrapolation-{max(there, default=0) + 1:04d}.xsf"
        # No energy and forces: those of a potential must not be taken for a reference
        write_xsf(path, structure, comments, overwrite=False)
        self._known[path.name], self._species[path.name] = own, structure.symbols
        return str(path)

    def _look_at(self, path: Path) -> None:
        """Remember what an earlier run has written, or somebody else: other species resemble nothing."""
        structure = read_xsf(path)
        known = set(structure.symbols) <= set(self._tables.species)
        self._known[path.name] = self._standardised(structure) if known else np.zeros((structure.n_atoms, 1))
        self._species[path.name] = structure.symbols if known else ("",) * structure.n_atoms

    def _standardised(self, structure: Structure) -> np.ndarray:
        """(n_atom, n_most) descriptors in standard deviations of the training data; components that did not vary: 0."""
        ((values, _),) = describe([structure], self._tables, threads=1)
        species = structure.species_index(self._tables.species)
        sizes = np.array([setup.n_feature for setup in self._tables.setups])
        result = np.zeros((structure.n_atoms, int(sizes.max())))
        start = 0
        for atom, t in enumerate(species.tolist()):
            statistics = self._tables.setups[t].statistics
            assert statistics is not None  # as of every potential
            shift, factor = standardisation(statistics)
            result[atom, : sizes[t]] = (values[0, start : start + sizes[t]] - shift) * factor
            start += int(sizes[t])
        return result
