"""ASE calculator: energies, forces and stress from potentials or from a committee of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes

from ..engine import ListedEvaluation, NeighbourList, PotentialTables, evaluate_listed, share_descriptors
from ..engine.potentials import symmetric
from ..errors import InputError
from ..model.data_limits import DataLimits
from ..model.structure import VOIGT_ELEMENTS, Structure
from ..settings.extrapolation import ExtrapolationPolicy
from .dumps import DumpFolder
from .extrapolation import Extrapolation, ExtrapolationGuard, find_disagreement, find_extrapolation
from .potential import Potential, Source, as_potential, load_members

if TYPE_CHECKING:
    from ase import Atoms

_ASE_OPTIONS = ("restart", "label", "atoms", "directory")
_PLAIN = ("energy", "free_energy", "energies", "forces", "stress", "stresses")
_COMMITTEE = ("energy_std", "energies_std", "forces_std", "forces_std_components", "stress_std")


class Results(dict[str, Any]):
    """What ASE knows, under its names; `deviations`, whose names it does not know, are found by name only.

    ASE copies, checks and writes all results that it sees (`get_properties`, `SinglePointCalculator`, extxyz, db).
    """

    def __init__(self, means: Mapping[str, Any], deviations: Mapping[str, Any]) -> None:
        super().__init__(means)
        self.deviations = dict(deviations)

    def __missing__(self, name: str) -> Any:
        return self.deviations[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.deviations

    def get(self, name: str, default: Any = None) -> Any:
        """Return a mean or a deviation."""
        return super().get(name, self.deviations.get(name, default))


def _check_number(name: str, value: object) -> None:
    """Refuse what `threads` or `skin` cannot be."""
    expected = {"threads": "a whole number, 0 for all cores", "skin": "Å ≥ 0"}[name]
    kinds = Integral if name == "threads" else Real
    if not isinstance(value, kinds) or isinstance(value, bool) or not 0 <= float(value) < np.inf:
        raise InputError(f"{name} out of range", value=value, expected=expected)


class Calculator(AseCalculator):
    """A potential, or a committee of potentials, as a calculator of ASE.

    Results in ASE's units and signs: `energy` and `free_energy` (the same, eV; energies of the isolated atoms
    included), `energies` (n_atom,) eV, `forces` (n_atom, 3) eV/Å, and where three lattice vectors span a volume and
    at least one is periodic `stress` (6,) eV/Å³ in Voigt order (for slabs, too, of the whole cell), and `stresses`
    (n_atom, 6), whose sum it is, if they are asked for (`get_stresses`).  Forces are the raw derivatives: constraints
    are the business of `Atoms`.

    A committee gives the means over its members, and in `results` also the standard deviations over them (divisor:
    number of members): `energy_std` (eV), `energies_std` (n_atom,), `forces_std_components` (n_atom, 3),
    `forces_std` (n_atom,) the norm of that vector, and `stress_std` (6,).  Where descriptors are compared with the
    training data there is `excess` (n_atom,): how far the descriptor of an atom is outside their range, in σ of the
    component that is furthest; negative inside.  All these are found by name only, so that whoever goes through
    `results` sees the properties that ASE knows.

    Unlike the training data is what a committee differs about: by more than `max_force_std` in the force on an atom,
    by default what the committee remembers from its test structures.  A single potential, and a committee that
    remembers none, compares descriptors (`tolerance`).

    In a process forked from one that has used several threads, one thread is used (``threads=0``), or several refused.

    Parameters
    ----------
    potentials
        A `Potential`, or its files (ænet's, binary or text, one per species): a folder with files `*.nn`, a list of
        files, or a dict species → file.
    threads
        Threads of the engine; 0: all cores.  The results do not depend on it.
    skin
        Å; a neighbour list serves until an atom has moved by half of it.  0: a new list for every structure.
    on_extrapolation, tolerance, max_force_std, most_beyond, shortest, dump_folder, most_dumps, dump_interval, apart
        What happens with structures unlike the training data; see `ExtrapolationPolicy`.
    options
        For ASE's calculator: `label`, `directory`, `atoms`, `restart`.

    Raises
    ------
    InputError
        if the potentials do not belong together, or an option is out of range.

    Examples
    --------
    >>> atoms.calc = Calculator("fit")                                                          # doctest: +SKIP
    >>> atoms.calc = Calculator.committee("members", max_force_std=0.3)                         # doctest: +SKIP
    """

    name = "taylorfit"

    def __init__(
        self,
        potentials: Source,
        *,
        threads: int = 0,
        skin: float = 0.5,
        on_extrapolation: str = "warn",
        tolerance: float | None = None,
        max_force_std: float | None = None,
        most_beyond: float = ExtrapolationPolicy.most_beyond,
        shortest: Mapping[str, float] | None = None,
        dump_folder: str | PathLike[str] = ExtrapolationPolicy.folder,
        most_dumps: int = ExtrapolationPolicy.most_dumps,
        dump_interval: int = ExtrapolationPolicy.dump_interval,
        apart: float = ExtrapolationPolicy.apart,
        _members: Sequence[Potential] | None = None,
        **options: Any,
    ) -> None:
        for name in options:
            if name not in _ASE_OPTIONS:
                raise InputError("unknown option of Calculator", value=name, expected=_suggestion(name))
        super().__init__(**options)
        _check_number("threads", threads)
        _check_number("skin", skin)
        self.members = (as_potential(potentials),) if _members is None else tuple(_members)
        """The potential, or that of each member of the committee."""
        self.threads = threads
        self.skin = skin
        policy = ExtrapolationPolicy(
            on_extrapolation,
            tolerance,
            max_force_std,
            most_beyond,
            dict(shortest or {}),
            dump_folder,
            most_dumps,
            dump_interval,
            apart,
        )
        if max_force_std is not None and self.n_members < 2:
            raise InputError(
                "max_force_std without a committee",
                value=max_force_std,
                expected="Calculator.committee(…) of two or more members",
            )
        read = [member.parts for member in self.members]
        # Descriptors are evaluated once for all members, unless they differ
        groups = [read] if share_descriptors(read) else [[potentials] for potentials in read]
        self._groups = tuple(PotentialTables.from_members(group) for group in groups)
        self.guard = self.watch(policy)
        """Counts structures unlike the training data, and knows the worst."""
        self.implemented_properties = [*_PLAIN, *(_COMMITTEE if self.n_members > 1 else ())]
        self.n_lists = 0
        """Neighbour lists made so far."""
        self._list: NeighbourList | None = None
        self._numbers: np.ndarray | None = None
        self._symbols: tuple[str, ...] = ()
        self._species: tuple[np.ndarray, ...] = ()

    @classmethod
    def committee(cls, members: str | PathLike[str] | Sequence[Source], **options: Any) -> Calculator:
        """Make a calculator of several potentials for the same species.

        Parameters
        ----------
        members
            For each member what `Calculator` takes; or a folder whose subfolders 01, 02, … hold the files of
            one member each, as `train` writes them.
        options
            As for `Calculator`.

        Raises
        ------
        InputError
            as for `Calculator`, or if the members are for different species.
        """
        return cls((), _members=load_members(members), **options)

    def watch(self, policy: ExtrapolationPolicy) -> ExtrapolationGuard:
        """Act by another policy from now on, with what it leaves open set for this potential; return the new guard."""
        policy = policy.of(self.n_members, DataLimits.common([member.limits for member in self.members]))
        folder = DumpFolder(policy, self._groups[0].descriptors) if policy.action == "dump" else None
        self.guard = ExtrapolationGuard(policy, folder=folder)
        return self.guard

    def set(self, **options: Any) -> dict[str, Any]:
        """Change `threads` or `skin`; other options are those of the constructor for good.

        Raises
        ------
        InputError
            for any other option, or a value out of range.
        """
        changed = {}
        for name, value in options.items():
            if name not in ("threads", "skin"):
                raise InputError(
                    "an option that cannot be changed", value=name, expected="threads or skin, or a new Calculator"
                )
            _check_number(name, value)
            if value != getattr(self, name):
                changed[name] = value
        for name, value in changed.items():
            setattr(self, name, value)
        if "skin" in changed:
            self._list = None
        return changed

    @property
    def species(self) -> tuple[str, ...]:
        """Species there are potentials for."""
        return self._groups[0].species

    @property
    def files(self) -> tuple[dict[str, str], ...]:
        """Potential file of each species, for each member that was read from files."""
        return tuple(dict(zip(member.species, member.files)) for member in self.members)

    @property
    def n_members(self) -> int:
        """Members of the committee; 1 for a plain potential."""
        return len(self.members)

    @property
    def cutoff(self) -> float:
        """Largest distance that an atom sees another at, Å."""
        return max(tables.descriptors.cutoff for tables in self._groups)

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Return what has changed since the last calculation, exactly; charges and moments play no part.

        ASE's own comparison, made three times a step, takes as long as the forces on a hundred atoms.
        """
        last = self.atoms
        if last is None:
            return list(all_changes)
        pairs = {
            "positions": (atoms.positions, last.positions),
            "numbers": (atoms.numbers, last.numbers),
            "cell": (atoms.cell.array, last.cell.array),
            "pbc": (atoms.pbc, last.pbc),
        }
        return [name for name, (now, before) in pairs.items() if now.shape != before.shape or (now != before).any()]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill `results`; called by ASE.  Forces and stress are left out unless one of them is asked for.

        Raises
        ------
        InputError
            for a species without potential, coinciding atoms, or a degenerate cell.
        ExtrapolationError
            with ``on_extrapolation="stop"``.
        """
        # ASE has copied them already, unless this is called directly
        if atoms is not None and self.check_state(atoms):
            self.atoms = atoms.copy()
        assert self.atoms is not None
        self.results = {}
        structure = self._structure(self.atoms)
        policy = self.guard.policy
        with_forces = (
            any("forces" in name or "stress" in name for name in properties) or policy.max_force_std is not None
        )
        with_stresses = "stresses" in properties and any(structure.pbc)
        compare = policy.action != "ignore" and policy.tolerance is not None
        neighbours = self._neighbours(structure)
        evaluations = [
            evaluate_listed(
                structure.positions,
                species,
                neighbours,
                tables,
                forces=with_forces,
                virials=with_stresses,
                extrapolation=compare,
                threads=self.threads,
            )
            for tables, species in zip(self._groups, self._species)
        ]
        results = _results(evaluations, structure, with_forces)
        if compare:
            outside = [evaluation.excess for evaluation in evaluations if evaluation.excess is not None]
            results.deviations["excess"] = np.max(outside, axis=0)
        if with_stresses and "stress" in results:
            results["stresses"] = self._stresses(structure, evaluations)
        if policy.action != "ignore":
            self.guard.act(self._departures(structure, evaluations, results), structure)
        self.results = results

    def todict(self, skip_default: bool = True) -> dict[str, Any]:
        """Return what ASE's databases keep of a calculator: its files by species (of each member), or the species."""
        files = [files for files in self.files if files]
        members: list[Any] = files if len(files) == self.n_members else [list(self.species)] * self.n_members
        return {"potentials": members[0] if self.n_members == 1 else members, "skin": self.skin}

    def _stresses(self, structure: Structure, evaluations: Sequence[ListedEvaluation]) -> np.ndarray:
        """(n_atom, 6) eV/Å³ of each atom, a mean over the members; their sum is the stress."""
        total = np.zeros((structure.n_atoms, 3, 3))
        for tables, evaluation in zip(self._groups, evaluations):
            assert evaluation.virials is not None
            total -= evaluation.virials * (tables.n_members / self.n_members)
        return symmetric(total)[(slice(None), *VOIGT_ELEMENTS)] / structure.volume

    def _structure(self, atoms: Atoms) -> Structure:
        """The structure, its species looked up once for all steps."""
        if self._numbers is None or not np.array_equal(self._numbers, atoms.numbers):
            self._numbers, self._list = None, None
            self._symbols = tuple(atoms.get_chemical_symbols())
            bare = Structure(self._symbols, atoms.positions, atoms.cell.array, tuple(atoms.pbc))
            bare.species_index(self.species)
            self._species = tuple(tables.descriptors.check(bare) for tables in self._groups)
            self._numbers = atoms.numbers.copy()
        return Structure(self._symbols, atoms.positions, atoms.cell.array, tuple(atoms.pbc))

    def _neighbours(self, structure: Structure) -> NeighbourList:
        if self._list is None or not self._list.serves(structure):
            self._list = NeighbourList.of(structure, self.cutoff, self.skin, self.threads)
            self.n_lists += 1
        return self._list

    def _departures(
        self, structure: Structure, evaluations: Sequence[ListedEvaluation], results: dict[str, Any]
    ) -> list[Extrapolation]:
        """What is unlike the training data, the furthest first; of a committee's groups the furthest one."""
        found = []
        for tables, species, evaluation in zip(self._groups, self._species, evaluations):
            if evaluation.excess is None or evaluation.component is None or self.guard.policy.tolerance is None:
                continue
            departure = find_extrapolation(
                structure,
                tables.descriptors.setups,
                species,
                evaluation.excess,
                evaluation.component,
                self.guard.policy.tolerance,
            )
            if departure is not None:
                found.append(departure)
        found = sorted(found, key=lambda departure: -departure.amount)[:1]
        if self.guard.policy.max_force_std is not None:
            departure = find_disagreement(structure, results["forces_std"], self.guard.policy.max_force_std)
            if departure is not None:
                found.insert(0, departure)
        return found


def _suggestion(name: str) -> str:
    own = [key for key in signature(Calculator).parameters if key[0] != "_" and key not in ("potentials", "options")]
    known = [*own, *_ASE_OPTIONS]
    near = get_close_matches(name, known, n=1)
    return near[0] if near else "one of " + " ".join(known)


def _results(evaluations: Sequence[ListedEvaluation], structure: Structure, with_forces: bool) -> Results:
    """Means and standard deviations over all members, under ASE's names."""
    energies = _together([evaluation.atomic_energies for evaluation in evaluations])
    values = {"energies": energies, "energy": energies.sum(axis=1)}
    if with_forces:
        values["forces"] = _together([evaluation.forces for evaluation in evaluations])
        if any(structure.pbc) and (volume := structure.volume) > 0.0:
            strain = _together([evaluation.strain_derivatives for evaluation in evaluations])
            values["stress"] = strain[(slice(None), *VOIGT_ELEMENTS)] / volume
    committee = len(energies) > 1
    # Without a committee nothing is to be averaged, which takes time in every step
    results: dict[str, Any] = {name: value.mean(axis=0) if committee else value[0] for name, value in values.items()}
    results["energy"] = results["free_energy"] = float(results["energy"])
    if not committee:
        return Results(results, {})
    deviations: dict[str, Any] = {f"{name}_std": value.std(axis=0) for name, value in values.items()}
    deviations["energy_std"] = float(deviations["energy_std"])
    if with_forces:
        deviations["forces_std_components"] = deviations["forces_std"]
        deviations["forces_std"] = np.linalg.norm(deviations["forces_std_components"], axis=1)
    return Results(results, deviations)


def _together(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The values of all members, (n_member, …), from those of groups of members."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
