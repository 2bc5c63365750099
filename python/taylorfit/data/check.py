"""Check of reference data before anything is made from it.  Nothing is changed: see `drop`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..errors import InputError
from ..formats.structures.in_memory import Structures, as_structures
from ..model.distances import shortest_distances
from ..model.structure import Structure
from ..settings.displacements import STATIONARY_FORCE
from ..settings.reading import droppable
from ..tools.statistics import median, robust_deviation
from .findings import DROPPABLE, KINDS, NOTES
from .frame_pairs import FramePairs, UnitCheck, check_units, find_frame_pairs
from .scales import implausible_scales

_NEAR_DUPLICATE = 0.01  # Å; about the δ_max of Taylor copies, which say as much as such a structure
_NET_FORCE = 0.005  # eV/Å per atom; SCAN at a low cutoff has 0.008, converged DFT below 0.001
_FORCE_FACTOR = 6.0  # × median of the largest |F|; 3.7 occurs in MD at 800 K, 10 and more in clashes
_OUTLIER_MAD = 10.0  # robust standard deviations; two temperatures in one set reach 7
_OUTLIER_ENERGY = 0.02  # eV/atom that an outlier must be off at least
_HUGE_COHESION = 20.0  # eV/atom; no material binds by half of that
_COLLISION = 0.5  # Å; shorter than any bond
_SHORT_FACTOR = 0.65  # × median of the shortest distances of a pair of species
_WRONG_ENERGY = 5.0  # eV/atom off is an outlier also among few structures
_MANY = 20  # structures needed for a statistical criterion
_FEW = 5  # structures needed to say anything about energies
_SHOWN = 5
_BLOCK = 1 << 18  # atoms looked at together; bounds the memory

_Reporter = Callable[..., None]  # (kind, indices of structures, detail)


@dataclass(frozen=True)
class Finding:
    """What the check found of one kind."""

    kind: str
    """A key of `KINDS`."""
    message: str
    """One line, without the names."""
    structures: tuple[int, ...] = ()
    """Indices (from 0) of the structures concerned; the later ones where there are pairs."""
    names: tuple[str, ...] = ()
    """Their names."""

    @property
    def is_note(self) -> bool:
        """Whether it is worth knowing, but no sign of an error."""
        return self.kind in NOTES

    def __str__(self) -> str:
        if not self.names:
            return self.message
        shown = ", ".join(self.names[:_SHOWN]) + (", ..." if len(self.names) > _SHOWN else "")
        return f"{self.message} ({len(self.names)} {'structure' if len(self.names) == 1 else 'structures'}: {shown})"


@dataclass(frozen=True, repr=False)
class DataCheck:
    """What a data check found; shown as text."""

    n_structures: int
    n_with_forces: int
    n_frame_pairs: int
    """Pairs of frames near enough to compare energies with forces."""
    units: tuple[UnitCheck, ...]
    """Energy differences against the work of the forces, per composition."""
    shortest: dict[str, float]
    """Shortest distance of each pair of species, Å, over the structures with forces, from which copies start."""
    net_force: float | None
    """Largest net force per atom over all structures, eV/Å."""
    findings: tuple[Finding, ...]
    """Empty if there is nothing to say."""

    def of_kind(self, kind: str) -> tuple[int, ...]:
        """Return the indices of the structures with findings of one kind."""
        return tuple(sorted({s for finding in self.findings if finding.kind == kind for s in finding.structures}))

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Return the report as text: what was compared, then one line per finding."""
        lines = []
        for check in self.units:
            if check.judged:
                lines.append(
                    f"energies against forces ({check.formula}): slope {check.slope:.3f} (1 expected), "
                    f"correlation {check.correlation:.3f}, {check.n_pairs} pairs of frames, "
                    f"rms displacement {check.rms_displacement:.3f} Å"
                )
        if not lines:
            n_seen = sum(check.n_pairs + check.n_curved for check in self.units)
            lines.append(
                f"energies against forces: {n_seen} pairs of frames, too few or too far apart to judge (not checked)"
                if n_seen
                else "energies against forces: no frames near enough to compare"
            )
        lines += [f"{'note' if finding.is_note else 'warning'}: {finding}" for finding in self.findings]
        return lines

    @property
    def doubts(self) -> tuple[str, ...]:
        """The findings that are signs of an error, in words."""
        return tuple(str(finding) for finding in self.findings if not finding.is_note)

    def to_dict(self) -> dict[str, object]:
        """Return the report in types that JSON knows."""
        return asdict(self)


def check(
    structures: Structures,
    atomic_energies: Mapping[str, float] | None = None,
    *,
    min_distances: Mapping[tuple[str, str], float] | None = None,
) -> DataCheck:
    """Look for what is usually wrong with reference data; the cost grows linearly with the data.

    Energies are compared with the work of the forces between near frames (units, signs), and structures with each
    other: see `KINDS`.  Copies of `repel` are passed over.

    Parameters
    ----------
    structures
        The data set, of taylorfit or ASE, in the order of the files (consecutive frames are compared).
    atomic_energies
        Energy of the isolated atom of each species, eV; None or all zero if there are none.
    min_distances
        Shortest distance allowed for a pair of species, Å.  Without an entry, distances are
        compared with those of the same pair in the other structures.

    Returns
    -------
    DataCheck
        Findings; nothing is dropped or changed.

    Raises
    ------
    InputError
        for anything else than structures.

    Examples
    --------
    >>> import numpy as np
    >>> from taylorfit import Structure, check
    >>> dimers = [Structure(("H", "H"), np.diag([0.0, r, 0.0])[:2], energy=-6.7) for r in (0.7, 0.7, 0.8)]
    >>> print(check(dimers))
    energies against forces: no frames near enough to compare
    note: no forces (3 structures: structure 1, structure 2, structure 3)
    warning: same atoms, cell and positions as an earlier structure (1 structure: structure 2)
    """
    given = as_structures(structures, named=False)
    # Copies with pushed atoms are unlike the data on purpose
    own = [index for index, structure in enumerate(given) if not structure.pushed_from]
    data = [given[index] for index in own]
    found: list[Finding] = []

    def report(kind: str, indices: Collection[int] | np.ndarray, detail: str = "") -> None:
        indices = tuple(own[index] for index in sorted({int(index) for index in indices}))
        if indices:
            names = tuple(given[index].name or f"structure {index + 1}" for index in indices)
            found.append(Finding(kind, KINDS[kind] + detail, indices, names))

    pairs = find_frame_pairs(data)
    units = check_units(data, pairs)
    for problem in dict.fromkeys(unit.problem for unit in units if unit.problem):
        shown = [
            f"{unit.formula}: slope {unit.slope:.4g} instead of 1, correlation {unit.correlation:.3f}"
            for unit in units
            if unit.problem == problem
        ]
        found.append(Finding("units", f"{KINDS['units']}: {problem} ({'; '.join(shown)})"))
    largest, typical, net = _force_sizes(data)
    distances = shortest_distances(data)
    known, residual = _energy_residuals(data)
    spread = float(robust_deviation(residual)) if len(known) >= _FEW else None
    found += [Finding("units", line) for line in implausible_scales(data, typical, spread, units)]
    cohesion = _cohesion(data, atomic_energies)
    if cohesion is not None and abs(cohesion) > _HUGE_COHESION:
        found.append(Finding("atomic-energies", f"{KINDS['atomic-energies']}: median {cohesion:.4g} eV/atom remain"))
    report("unconverged", [i for i, s in enumerate(data) if not s.converged])
    report("predicted", [i for i, s in enumerate(data) if s.predicted_by])
    report("missing-energy", [i for i, s in enumerate(data) if s.energy is None and not s.cohesive_energy])
    report("missing-forces", [i for i, s in enumerate(data) if s.forces is None])
    duplicates, unequal = _duplicates(data)
    report("duplicate", duplicates, f", with energies that differ by up to {unequal:.3g} eV" if unequal > 1e-6 else "")
    report("near-duplicate", _near_duplicates(pairs, duplicates))
    report("near-zero-forces", np.flatnonzero(largest < STATIONARY_FORCE))
    report(
        "placeholder-energy",
        [i for i, s in enumerate(data) if s.energy == 0.0 and not s.cohesive_energy and largest[i] > 0.0],
    )
    _report_energies(known, residual, report)
    if np.isfinite(largest).sum() >= _MANY:
        usual = median(largest[~np.isnan(largest)])
        odd = np.flatnonzero(largest > _FORCE_FACTOR * max(usual, STATIONARY_FORCE))
        report("force-outlier", odd, f" {usual:.3g} eV/Å, up to {np.nanmax(largest):.3g}")
    shortest = _report_distances(data, distances, min_distances or {}, report)
    net_force = float(np.nanmax(net)) if np.isfinite(net).any() else None
    report("net-force", np.flatnonzero(net > _NET_FORCE), f", up to {net_force or 0.0:.3g}")
    n_near = int(((pairs.largest < 1.0) & np.isfinite(pairs.work)).sum())
    n_forces = sum(s.forces is not None for s in data)
    return DataCheck(len(given), n_forces, n_near, tuple(units), shortest, net_force, tuple(found))


def drop(structures: Sequence[Structure], report: DataCheck, kinds: Collection[str]) -> list[Structure]:
    """Return the structures without those that have a finding of one of `kinds`.

    Of structures that are (nearly) the same, the first one stays.

    Raises
    ------
    InputError
        if a kind is unknown or does not concern single structures, or if the report is of other data.
    """
    kinds = droppable(kinds, DROPPABLE)
    if report.n_structures != len(structures):
        raise InputError(
            "the report is of other data", value=len(structures), expected=f"{report.n_structures} structures"
        )
    dropped = {index for kind in kinds for index in report.of_kind(kind)}
    return [structure for index, structure in enumerate(structures) if index not in dropped]


def _force_sizes(structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n_structure,) largest and median |F|, and |ΣF| per atom, eV/Å; NaN without forces."""
    sizes = np.full((3, len(structures)), np.nan)
    groups: dict[int, list[int]] = {}
    for index, structure in enumerate(structures):
        if structure.forces is not None and structure.n_atoms:
            groups.setdefault(structure.n_atoms, []).append(index)
    for n_atoms, members in groups.items():
        step = max(1, _BLOCK // n_atoms)
        for first in range(0, len(members), step):
            part = members[first : first + step]
            forces = np.stack([structures[index].known_forces for index in part])
            norms = np.sqrt((forces**2).sum(axis=2))
            n_believed = np.full(len(part), n_atoms)
            for number, index in enumerate(part):
                if structures[index].has_weights:
                    doubted = structures[index].atom_weights <= 0.0
                    norms[number, doubted] = np.inf
                    n_believed[number] -= doubted.sum()
            rows, n = np.flatnonzero(n_believed), n_believed[n_believed > 0]
            ordered, known = np.sort(norms[rows], axis=1), np.array(part)[rows]
            each = np.arange(len(rows))
            sizes[0, known] = ordered[each, n - 1]
            sizes[1, known] = 0.5 * (ordered[each, (n - 1) // 2] + ordered[each, n // 2])
            sizes[2, known] = np.sqrt((forces[rows].sum(axis=1) ** 2).sum(axis=1)) / n_atoms
    return sizes[0], sizes[1], sizes[2]


def _cohesion(structures: Sequence[Structure], atomic_energies: Mapping[str, float] | None) -> float | None:
    """Median of (energy - Σ atomic energies) per atom, eV; None where the user gave no atomic energies."""
    if not atomic_energies or not any(atomic_energies.values()):
        return None
    of_atoms = {
        symbols: sum(atomic_energies.get(symbol, 0.0) for symbol in symbols)
        for symbols in {s.symbols for s in structures}
    }
    values = [
        (s.energy - of_atoms[s.symbols]) / s.n_atoms
        for s in structures
        if s.energy is not None and not s.cohesive_energy and s.n_atoms
    ]
    return median(values) if values else None


def _duplicates(structures: Sequence[Structure]) -> tuple[set[int], float]:
    """Structures identical to an earlier one, and the largest difference of their energies, eV."""
    seen: dict[tuple, int] = {}
    duplicates, unequal = set(), 0.0
    for index, structure in enumerate(structures):
        key = (structure.symbols, structure.pbc, structure.cell.tobytes(), structure.positions.tobytes())
        first = seen.setdefault(key, index)
        if first != index:
            duplicates.add(index)
            energy, other = structure.energy, structures[first].energy
            believed = min(structure.weight, structures[first].weight) > 0.0
            if energy is not None and other is not None and believed:
                unequal = max(unequal, abs(energy - other))
    return duplicates, unequal


def _near_duplicates(pairs: FramePairs, duplicates: set[int]) -> set[int]:
    """Structures close to an earlier one that is itself neither a duplicate nor a near duplicate."""
    near: set[int] = set()
    close = np.flatnonzero(pairs.largest < _NEAR_DUPLICATE)
    for pair in close[np.argsort(pairs.second[close], kind="stable")]:  # settles the first before the second
        first, second = int(pairs.first[pair]), int(pairs.second[pair])
        if first not in near and first not in duplicates and second not in duplicates:
            near.add(second)
    return near


def _energy_residuals(structures: Sequence[Structure]) -> tuple[list[int], np.ndarray]:
    """Structures with energies that count (no isolated atoms), and what a linear function of the composition leaves."""
    known = [
        i
        for i, s in enumerate(structures)
        if s.energy is not None and s.n_atoms and s.weight > 0.0 and not s.is_isolated_atom
    ]
    if not known:
        return known, np.zeros(0)
    species = sorted({symbol for i in known for symbol in structures[i].symbols})
    counts = np.array([[structures[i].symbols.count(symbol) for symbol in species] for i in known], dtype=float)
    n_atoms = counts.sum(axis=1)
    fractions = counts / n_atoms[:, None]
    energy = np.array([structures[i].energy for i in known]) / n_atoms
    # Least absolute deviations by reweighting: a wrong energy must not bend the fit it is judged by.
    weight = np.ones(len(known))
    for _ in range(30):
        fit = np.linalg.lstsq(fractions * weight[:, None], energy * weight, rcond=None)[0]
        residual = energy - fractions @ fit
        weight = 1.0 / np.sqrt(np.maximum(np.abs(residual), 1e-6))
    return known, residual - median(residual)


def _report_energies(known: Sequence[int], residual: np.ndarray, report: _Reporter) -> None:
    """Report energies per atom that a linear function of the composition does not explain."""
    if len(known) < _FEW:
        return
    spread = robust_deviation(residual)
    limit = max(_OUTLIER_MAD * spread, _OUTLIER_ENERGY if len(known) >= _MANY else _WRONG_ENERGY)
    odd = np.flatnonzero(np.abs(residual) > limit)
    worst = float(np.abs(residual).max())
    report(
        "energy-outlier", [known[int(i)] for i in odd], f": up to {worst:.3g} eV/atom off, usual spread {spread:.3g}"
    )


def _report_distances(
    structures: Sequence[Structure],
    all_distances: Sequence[Mapping[str, float]],
    min_distances: Mapping[tuple[str, str], float],
    report: _Reporter,
) -> dict[str, float]:
    """Report short distances; return the shortest of each pair of species in structures with forces, Å."""
    allowed = {"-".join(sorted(pair)): limit for pair, limit in min_distances.items()}
    found: dict[str, list[tuple[float, int]]] = {}
    for index, shortest in enumerate(all_distances):
        for pair, distance in shortest.items():
            found.setdefault(pair, []).append((distance, index))
    short: set[int] = set()
    details = []
    for pair, entries in sorted(found.items()):
        distances = np.array([d for d, _ in entries])
        limit = allowed.get(pair, _COLLISION)
        if pair not in allowed and len(entries) >= _MANY:
            limit = max(limit, _SHORT_FACTOR * median(distances))
        if distances.min() < limit:
            short.update(index for d, index in entries if d < limit)
            details.append(f"{pair} {distances.min():.3f} Å (usually {median(distances):.3f})")
    report("short-distance", short, ": " + ", ".join(details))
    with_forces = {
        pair: [d for d, index in entries if structures[index].forces is not None]
        for pair, entries in sorted(found.items())
    }
    return {pair: float(min(shortest)) for pair, shortest in with_forces.items() if shortest}
