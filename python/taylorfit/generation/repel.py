"""Copies with two atoms pushed together: what keeps atoms from falling into each other in MD.

Reference structures hold no atoms closer than thermal motion brought them, and what a network says of closer ones
is chance: a pair that comes a little closer than any of the data may fall in, and the run is lost.  The energy of a
copy of which two atoms are moved towards each other by a few tenths of an ångström is, roughly but with the right sign,

    E(R + δ) ≈ E(R) - Σ_i δ_i·F_i + ½ Σ_i k_i |δ_i|² + [V(R + δ) - V(R) - Σ_i δ_i·∇_i V(R)],

the Taylor expansion of Cooper, Kästner, Urban, Artrith (2020), with mean force constants k where they are known, and
with all that lies beyond the first order of V, the universal repulsion of two nuclei and their electrons (Ziegler,
Biersack, Littmark 1985).  Atoms of two molecules come together with all of their molecules: alone they would tear at
bonds, of which the expansion says nothing.  These copies have energies and small weights, for training in any mode.
They know the structure they are made from (`Structure.pushed_from`), and go with it wherever data are split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from ..data.curvature import Curvature
from ..data.survey import COINCIDING
from ..engine import neighbours
from ..errors import InputError
from ..formats.structures.in_memory import Structures, as_structures
from ..model.elements import COVALENT_RADII, NOBLE_GASES
from ..model.structure import Structure
from ..potential.potential import Source
from ..settings.repulsion import REACH, SMALLEST_RISE, RepulsionPlan
from ..taylor.expansion import Expansion
from ..tools.progress import progress as show_progress
from ..tools.randomness import Stream
from .force_constants import mean_force_constants

# Screening function of Ziegler, Biersack, Littmark and its length, Å; e²/4πε₀ in eV Å
_AMOUNTS = np.array([0.18175, 0.50986, 0.28022, 0.02817])
_DECAYS = np.array([3.19980, 0.94229, 0.40290, 0.20162])
_LENGTH, _POWER = 0.46850, 0.23
_COULOMB = 14.399645

CLOSEST_OF = 1.0
"""Å: pairs are taken among those no more than so much longer than the shortest of their species in the structure."""
MOST_OF_DISTANCE = 0.55
"""The share of its distance by which a pair is shortened at most."""
BONDED = 1.3
"""Atoms closer than so many times the sum of their covalent radii belong to one molecule."""
UNCERTAINTY, OF_MOLECULES = 0.15, 0.5
"""Energies of copies are taken to be off by this share of their rise; of two molecules the second one, for between them
the repulsion of free atoms is too large: by a tenth to a factor of three in water."""
_TRIES = 10


@dataclass(frozen=True, eq=False)
class PushedCopy:
    """A copy of a structure with one pair of atoms pushed together."""

    structure: Structure
    pair: str
    """Species of the two atoms, in order of the alphabet: "H-O"."""
    apart: bool
    """Are the atoms of two molecules, which were pushed together as a whole?"""
    distance: float
    """Å, of the pair in the copy."""
    rise: float
    """eV, of the energy."""
    parent: str
    """Name of the structure it is a copy of."""
    index: int
    """Number of that structure, from 0."""
    number: int
    """Of the copy among those of its structure, from 1."""


@dataclass(frozen=True, eq=False)
class Repulsion:
    """Structures with pairs of atoms pushed together; see `repel`."""

    copies: tuple[PushedCopy, ...]
    n_structures: int
    """Structures given."""
    n_usable: int
    """Those with energies and forces."""
    curvature: Curvature | None
    """Mean force constants; None where nothing tells them."""

    @property
    def structures(self) -> list[Structure]:
        """The copies, to be trained on beside the structures they are made from."""
        return [copy.structure for copy in self.copies]

    @property
    def shortest(self) -> dict[str, float]:
        """Shortest distance of each pair of species ("H-O") among the pushed ones, Å."""
        found: dict[str, float] = {}
        for copy in self.copies:
            found[copy.pair] = min(copy.distance, found.get(copy.pair, np.inf))
        return found

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `repel`, but for the folder that it writes."""
        return {
            "structures": self.n_structures,
            "copies": len(self.copies),
            "rise": np.percentile([copy.rise for copy in self.copies], (5, 25, 50, 75, 95)).tolist(),
            "smallest_weight": min(copy.structure.weight for copy in self.copies),
            "shortest_distances": self.shortest,
        }


def repel(
    structures: Structures,
    *,
    copies: int = RepulsionPlan.copies,
    push: tuple[float, float] = (RepulsionPlan.shortest_push, RepulsionPlan.longest_push),
    highest: float = RepulsionPlan.highest,
    tolerance: float = RepulsionPlan.tolerance,
    curvature: Mapping[str, float] | str | None = None,
    temperature: float | None = None,
    potential: Source | None = None,
    seed: int = RepulsionPlan.seed,
    threads: int = 0,
    progress: bool = False,
) -> Repulsion:
    """Push pairs of atoms, or of molecules, together in copies of structures: a potential then keeps them apart in MD.

    The energies are rough, and the copies have small weights and no forces; they serve every mode of training beside
    the structures themselves.

    Parameters
    ----------
    structures
        Of taylorfit or ASE, with energies (eV) and forces (eV/Å).
    copies
        Of each structure, at most.
    push
        Least and most by which a pair is shortened, Å.
    highest
        Largest rise of the energy, eV.
    tolerance
        Weights make the uncertainty of the copies' energies count like errors of this size, eV/atom.
    curvature, temperature, potential
        What tells mean force constants, as for `suggest`.
    seed
        Of the draws.
    threads
        Threads of the engine; 0: all cores.
    progress
        Show how far it is?

    Raises
    ------
    InputError
        for an argument out of range, a species that is no element, atoms at the same place, or if nothing can be
        pushed.

    Notes
    -----
    First-order Taylor expansion, and beyond it the universal repulsion of nuclei of Ziegler, Biersack and Littmark
    (1985).

    Examples
    --------
    >>> import numpy as np
    >>> from taylorfit import Structure, repel
    >>> forces = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    >>> dimers = [Structure(("O", "O"), np.diag([0.0, r, 0.0])[:2], energy=-9.0, forces=forces) for r in (1.2, 1.3)]
    >>> found = repel(dimers, copies=2, push=(0.2, 0.4))
    >>> len(found.structures), all(copy.distance < 1.1 for copy in found.copies)
    (4, True)
    """
    plan = RepulsionPlan(copies, *push, highest, tolerance, seed)
    data = as_structures(structures)
    usable = [index for index, structure in enumerate(data) if can_be_pushed(structure)]
    if not usable:
        raise InputError(
            "no structure of two atoms or more has both energy and forces", expected="what Taylor copies need"
        )
    constants = mean_force_constants(
        data, curvature=curvature, temperature=temperature, potential=potential, threads=threads
    )
    found: list[PushedCopy] = []
    with show_progress("push", len(usable), quiet=not progress) as update:
        for done, index in enumerate(usable, start=1):
            found += pushed_copies(data[index], index, plan, constants.constants if constants else None)
            update(done)
    if not found:
        raise InputError(
            "no pair could be pushed",
            expected="atoms within reach of each other, a larger --highest, or a smaller --push",
        )
    return Repulsion(tuple(found), len(data), len(usable), constants)


def nuclear_repulsion(z1: np.ndarray, z2: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return energy (eV) and slope (eV/Å) of the universal repulsion of Ziegler, Biersack, Littmark (1985).

    Parameters
    ----------
    z1, z2, distance
        (n,) atomic numbers, and distances in Å.
    """
    length = _LENGTH / (np.asarray(z1, dtype=np.float64) ** _POWER + np.asarray(z2, dtype=np.float64) ** _POWER)
    parts = _AMOUNTS * np.exp(-(distance / length)[..., None] * _DECAYS)
    screening, slope = parts.sum(axis=-1), -(parts * _DECAYS).sum(axis=-1) / length
    strength = _COULOMB * z1 * z2 / distance
    return strength * screening, strength * (slope - screening / distance)


def pushed_copies(
    structure: Structure, index: int, plan: RepulsionPlan, curvature: Mapping[str, float] | None = None
) -> list[PushedCopy]:
    """Return copies of a structure, each with one pair of atoms pushed together.

    The kind of the pair (its species, and whether they are of two molecules) is drawn first, so that rare ones get
    their share, then the pair among the closest, then by how much it is shortened; both atoms move equally far, and
    atoms of two molecules take these along.  The copies have no forces, and weights by which the uncertainty of their
    energies counts no more than an error of `plan.tolerance`.

    Parameters
    ----------
    index
        Number of the structure: with the seed it decides the draws.
    curvature
        Mean force constant of each species, eV/Å²; None: unknown.

    Returns
    -------
    list of PushedCopy
        at most `plan.copies`; none where `can_be_pushed` says so, or without pairs.

    Raises
    ------
    InputError
        for a species that is no element, and for atoms at the same place.
    """
    if not can_be_pushed(structure):
        return []
    pairs = _Pairs(structure)
    # Force constants are those of bonds, which keep their lengths in molecules that move as a whole
    expansion, rigid = Expansion(curvature or {}), Expansion({})
    rng, parent = Stream.PUSHES.generator(plan.seed, index), structure.content_hash()
    found: list[PushedCopy] = []
    for _ in range(_TRIES * plan.copies if pairs.kinds else 0):
        if len(found) == plan.copies:
            break
        pair = rng.choice(pairs.kinds[rng.integers(len(pairs.kinds))])
        push = rng.uniform(plan.shortest_push, plan.longest_push)
        if push > MOST_OF_DISTANCE * pairs.distance[pair]:
            continue
        displacement = pairs.displacement(pair, push)
        apart = bool(pairs.apart[pair])
        rise = float((rigid if apart else expansion).energy_changes(index, structure, displacement[None])[0])
        rise += pairs.repulsion(displacement)
        if not SMALLEST_RISE < rise < plan.highest:
            continue
        off = (OF_MOLECULES if apart else UNCERTAINTY) * rise
        weight = min(1.0, (plan.tolerance * structure.n_atoms / off) ** 2)
        energy, cohesive = structure.energies_raised(rise)
        copy = replace(
            structure,
            positions=structure.positions + displacement,
            forces=None,
            stress=None,
            force_weights=None,
            weight=structure.weight * weight,
            energy=energy,
            cohesive_energy=cohesive,
            name=f"{structure.name}#pushed:{len(found) + 1}",
            pushed_from=parent,
        )
        distance = float(pairs.distance[pair]) - push
        found.append(PushedCopy(copy, pairs.name(pair), apart, distance, rise, structure.name, index, len(found) + 1))
    return found


def closest_of_kinds(structures: Sequence[Structure]) -> dict[tuple[str, bool], float]:
    """Shortest distance, Å, of the pairs of each two species, by whether they are of two molecules, up to `REACH`."""
    found: dict[tuple[str, bool], float] = {}
    for structure in structures:
        pairs = _Pairs(structure)
        for places in pairs.kinds:
            nearest = int(places[pairs.distance[places].argmin()])
            kind = (pairs.name(nearest), bool(pairs.apart[nearest]))
            found[kind] = min(float(pairs.distance[nearest]), found.get(kind, np.inf))
    return found


def can_be_pushed(structure: Structure) -> bool:
    """Whether it has what the energies of copies follow from."""
    has_energy = structure.energy is not None or bool(structure.cohesive_energy)
    return has_energy and structure.forces is not None and structure.n_atoms > 1


class _Pairs:
    """The pairs of a structure within `REACH`, each seen from both of its atoms."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.number = np.array([atomic_numbers.get(symbol, 0) for symbol in structure.symbols])
        if not self.number.all():
            raise InputError(
                "not an element: its repulsion is unknown",
                file=structure.name or None,
                value=structure.symbols[int(self.number.argmin())],
            )
        first, self.other, self.vector = neighbours(structure, REACH)
        self.atom = np.repeat(np.arange(structure.n_atoms), np.diff(first))
        self.distance = np.linalg.norm(self.vector, axis=1)
        if (self.distance < COINCIDING).any():
            raise InputError(
                "two atoms are at the same place",
                file=structure.name or None,
                value=self.name(int(self.distance.argmin())),
                expected=f"more than {COINCIDING:g} Å between them",
            )
        self.molecule = self._molecules()
        """(n_atom,) the same number for the atoms of a molecule."""
        size = np.bincount(self.molecule, minlength=structure.n_atoms)[self.molecule]
        different = self.molecule[self.atom] != self.molecule[self.other]
        self.apart: np.ndarray = different & (size[self.atom] + size[self.other] > 2)
        """Of each pair: are its atoms of two molecules, not both single atoms?"""
        z = np.sort(np.stack([self.number[self.atom], self.number[self.other]]), axis=0)
        kinds = np.concatenate([self.apart[None], z])
        own = self.atom == self.other
        # Energies of copies follow from the forces on all atoms that move, which must be believed
        doubted = structure.atom_weights <= 0.0
        of_molecule = np.bincount(self.molecule, doubted, structure.n_atoms)[self.molecule] > 0.0
        one, other = (np.where(self.apart, of_molecule[atoms], doubted[atoms]) for atoms in (self.atom, self.other))
        believed = ~one & ~other
        self.kinds: list[np.ndarray] = []
        """For each pair of species, in a molecule or of two, the places of its closest pairs."""
        for kind in np.unique(kinds[:, ~own], axis=1).T:
            of_kind = (kinds == kind[:, None]).all(axis=0) & ~own & (self.atom < self.other)
            places = np.flatnonzero(of_kind & believed)
            if not len(places):
                continue
            distance = self.distance[places]
            self.kinds.append(places[distance < distance.min() + CLOSEST_OF])

    def _molecules(self) -> np.ndarray:
        """Of atoms that bonds connect, the lowest number."""
        radii = np.array(
            [-np.inf if s in NOBLE_GASES else COVALENT_RADII.get(s, -np.inf) for s in self.structure.symbols]
        )
        bonded = self.distance < BONDED * (radii[self.atom] + radii[self.other])
        first, second = self.atom[bonded], self.other[bonded]
        found = np.arange(self.structure.n_atoms)
        while True:
            lowest = found.copy()
            np.minimum.at(lowest, first, found[second])
            lowest = lowest[lowest]
            if (lowest == found).all():
                return found
            found = lowest

    def name(self, pair: int) -> str:
        """Species of its atoms."""
        return "-".join(sorted(self.structure.symbols[i] for i in (self.atom[pair], self.other[pair])))

    def displacement(self, pair: int, push: float) -> np.ndarray:
        """(n_atom, 3) by which the atoms of a pair come closer."""
        step = 0.5 * push * self.vector[pair] / self.distance[pair]
        displacement = np.zeros_like(self.structure.positions)
        for atom, own in ((self.atom[pair], step), (self.other[pair], -step)):
            displacement[self.molecule == self.molecule[atom] if self.apart[pair] else atom] += own
        return displacement

    def repulsion(self, displacement: np.ndarray) -> float:
        """What nuclear repulsion adds beyond the first order, eV."""
        change = displacement[self.other] - displacement[self.atom]
        moved = change.any(axis=1)
        change, vector, before = change[moved], self.vector[moved], self.distance[moved]
        z1, z2 = self.number[self.atom[moved]], self.number[self.other[moved]]
        energy, slope = nuclear_repulsion(z1, z2, before)
        after, _ = nuclear_repulsion(z1, z2, np.linalg.norm(vector + change, axis=1))
        # Every pair is seen twice
        return 0.5 * float((after - energy - slope * (vector * change).sum(axis=1) / before).sum())
