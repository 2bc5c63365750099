"""The verb `select`: which frames of a pool are worth a calculation, or which of a data set are enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from ..data.choose import choose, propose_setups
from ..data.setup import Setup
from ..data.survey import survey
from ..engine import (
    DescriptorTables,
    PotentialTables,
    available_threads,
    describe,
    evaluate_members,
    farthest_points,
    share_descriptors,
)
from ..errors import InputError
from ..formats.structures.files import require_species
from ..formats.structures.in_memory import Structures, as_structures
from ..model.descriptor import DescriptorSetup
from ..model.structure import Structure, species_in
from ..potential.deviation import force_deviation
from ..potential.potential import Potential, Source, load_members
from ..settings.select import SelectPlan
from ..tools.chunks import runs
from ..tools.progress import progress as show_progress

Advance = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Selection:
    """Frames chosen from a pool; see `select`."""

    places: tuple[int, ...]
    """Of the chosen frames in the pool, from 0, in the order in which they were chosen."""
    structures: tuple[Structure, ...]
    """The chosen frames, with the labels they have."""
    deviations: np.ndarray | None
    """(n_pool,) standard deviation over the committee of the force on the atom where it is largest, eV/Å."""
    distances: np.ndarray | None
    """(n_chosen,) distance of each, when it was chosen, to the nearest frame there was, in descriptor space."""
    n_known: int
    """Frames of the pool below `low`."""
    n_beyond: int
    """Frames of the pool above `high`."""

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `select`, but for the file that it writes."""
        return {
            "chosen": [
                {
                    "place": place,
                    "name": structure.name,
                    "deviation": None if self.deviations is None else float(self.deviations[place]),
                    "distance": None if self.distances is None else float(self.distances[k]),
                }
                for k, (place, structure) in enumerate(zip(self.places, self.structures))
            ],
            "known": self.n_known,
            "beyond": self.n_beyond,
        }


def select(
    pool: Structures,
    n: int,
    *,
    by: str | None = None,
    committee: str | PathLike[str] | Sequence[Source] | None = None,
    existing: Structures = (),
    setup: Setup | None = None,
    low: float = SelectPlan.low,
    high: float | None = None,
    threads: int = 0,
    progress: bool = False,
) -> Selection:
    """Choose frames of a pool that are worth a reference calculation; or thin a data set.

    Parameters
    ----------
    pool
        Structures of taylorfit or ASE.
    n
        Frames to choose; fewer where there are not so many.
    by
        `deviation`: those that the committee differs about most; `diverse`: far from each other and from `existing`
        ones in descriptor space; `both`: squared distances are weighted by the squared deviation plus its mean.
        None: `both` with a committee, else `diverse`.
    committee
        As for `Calculator.committee`; needed unless `by` is `diverse`.
    existing
        Structures there are labels for already.
    setup
        Descriptors; None: those of the committee, else proposed ones.
    low, high
        Frames with a deviation below `low` on each atom, or above `high` on any (eV/Å), are left out: known well
        enough, or too far out to be physical.
    threads
        Threads of the engine; 0: all cores.  The result does not depend on it.
    progress
        Show how far it is?

    Raises
    ------
    InputError
        for an argument out of range, a committee that is missing, or a species that it does not know.

    Notes
    -----
    Greedy farthest points (Gonzalez, Theor. Comput. Sci. 38, 293 (1985)).  A structure is described by the mean and
    the standard deviation, over the atoms of each species, of their descriptors in units of the standard deviations
    over all atoms of the pool.

    Examples
    --------
    >>> import numpy as np
    >>> from taylorfit import Structure, select
    >>> pool = [Structure(("O", "O"), np.diag([0.0, r, 0.0])[:2]) for r in (1.2, 1.21, 1.22, 1.5, 1.9)]
    >>> select(pool, 2, existing=pool[:1]).places
    (4, 3)
    """
    plan = SelectPlan(n, by, low, high)
    data, there = as_structures(pool), as_structures(existing)
    members = None if committee is None else load_members(committee)
    how = plan.by or ("diverse" if members is None else "both")
    if not data:
        raise InputError("no structures to choose from", expected="at least one")
    if members is None and (how != "diverse" or plan.low > 0.0 or plan.high is not None):
        raise InputError("no committee to tell deviations", value=how, expected="committee=…, or by=diverse")
    threads = threads or available_threads()
    total = len(data) * (members is not None) + (len(data) + len(there)) * (how != "deviation")
    with show_progress("select", total, quiet=not progress) as update:
        deviations = None if members is None else force_deviations(members, data, threads, update)
        usable, n_known, n_beyond = _usable(len(data), deviations, plan)
        done = 0 if members is None else len(data)
        if how == "deviation":
            assert deviations is not None
            order = usable[np.argsort(-deviations[usable], kind="stable")][: plan.n]
            return _selection(order, data, deviations, None, n_known, n_beyond)
        descriptors = _descriptors(setup, members, [*data, *there])
        points = structure_points([*data, *there], descriptors, threads, lambda now: update(done + now))
    own, given = points[usable], points[len(data) :]
    if not len(given):
        given = points.mean(axis=0, keepdims=True)
    weights = np.ones(len(own)) if how == "diverse" or deviations is None else worth(deviations[usable])
    chosen, distances = farthest_points(own, given, min(plan.n, len(own)), weights, threads)
    return _selection(usable[chosen], data, deviations, distances, n_known, n_beyond)


def worth(deviations: np.ndarray) -> np.ndarray:
    """Return the weights of squared distances between frames with these deviations.

    The mean is added: far outside the data members may agree by chance, and a distant frame counts all the same.
    """
    squares: np.ndarray = deviations**2
    return squares + (squares.mean() if len(squares) else 0.0)


def _usable(n: int, deviations: np.ndarray | None, plan: SelectPlan) -> tuple[np.ndarray, int, int]:
    """Places of the frames within the limits, and the numbers of those below and above."""
    if deviations is None:
        return np.arange(n), 0, 0
    known = deviations < plan.low
    # A deviation that is no number is beyond every limit
    beyond = ~(deviations <= (np.finfo(float).max if plan.high is None else plan.high))
    return np.flatnonzero(~known & ~beyond), int(known.sum()), int(beyond.sum())


def _selection(
    places: np.ndarray,
    data: Sequence[Structure],
    deviations: np.ndarray | None,
    distances: np.ndarray | None,
    n_known: int,
    n_beyond: int,
) -> Selection:
    chosen = tuple(int(place) for place in places)
    return Selection(chosen, tuple(data[k] for k in chosen), deviations, distances, n_known, n_beyond)


def _descriptors(
    setup: Setup | None, members: Sequence[Potential] | None, structures: Sequence[Structure]
) -> tuple[tuple[str, ...], Sequence[DescriptorSetup]]:
    """Species, and the setup of each."""
    if setup is not None:
        return setup.species, setup.descriptors
    if members is not None:
        return members[0].species, [part.setup for part in members[0].parts]
    species = species_in(structures)
    found = survey(structures, species)
    return species, propose_setups(found, choose(found))


def force_deviations(
    members: Sequence[Potential], structures: Sequence[Structure], threads: int, advance: Advance = lambda done: None
) -> np.ndarray:
    """Return (n,) the standard deviation over a committee of the force on the atom where it is largest, eV/Å."""
    return np.array([spread.max() for _, spread in committee_says(members, structures, threads, advance)])


def committee_says(
    members: Sequence[Potential], structures: Sequence[Structure], threads: int, advance: Advance = lambda done: None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield of each structure the mean energy, eV, and the (n_atom,) deviations of the forces, eV/Å."""
    parts = [member.parts for member in members]
    groups = [parts] if share_descriptors(parts) else [[part] for part in parts]
    tables = [PotentialTables.from_members(group) for group in groups]
    for structure in structures:
        require_species(structure, members[0].species, "no potential for a species of this structure")
    done = 0
    for part in runs(structures, lambda structure: structure.n_atoms):
        said = [evaluate_members(part, table, threads=threads) for table in tables]
        for k in range(len(part)):
            own = [one for group in said for one in group[k]]
            yield (
                float(np.mean([one.energy for one in own])),
                force_deviation(np.array([one.known_forces for one in own])),
            )
        done += len(part)
        advance(done)


def structure_points(
    structures: Sequence[Structure],
    descriptors: tuple[tuple[str, ...], Sequence[DescriptorSetup]],
    threads: int,
    advance: Advance = lambda done: None,
) -> np.ndarray:
    """Return (n, n_dimension) points that stand for structures; see the notes of `select`."""
    species, setups = descriptors
    tables = DescriptorTables.from_setups(species, setups)
    sizes = [setup.n_feature for setup in setups]
    ends = np.cumsum([0, *(2 * size for size in sizes)])
    points = np.zeros((len(structures), int(ends[-1])))
    sums = [np.zeros((3, size)) for size in sizes]
    done = 0
    for part in runs(structures, lambda structure: structure.n_atoms):
        for structure, (values, _) in zip(part, describe(part, tables, threads=threads)):
            index = structure.species_index(species)
            starts = np.cumsum([0, *(sizes[t] for t in index)])
            for t in np.unique(index):
                rows = np.stack([values[0, starts[i] : starts[i + 1]] for i in np.flatnonzero(index == t)])
                points[done, ends[t] : ends[t] + sizes[t]] = rows.mean(axis=0)
                points[done, ends[t] + sizes[t] : ends[t + 1]] = rows.std(axis=0)
                sums[t] += [np.full(sizes[t], len(rows)), rows.sum(axis=0), (rows**2).sum(axis=0)]
            done += 1
        advance(done)
    for t, (count, first, second) in enumerate(sums):
        variance = second / np.maximum(count, 1) - (first / np.maximum(count, 1)) ** 2
        # What never changes, but for rounding, tells nothing
        scale = np.where(variance > 1e-12 * np.maximum(second / np.maximum(count, 1), 1e-12), variance, np.inf) ** -0.5
        points[:, ends[t] : ends[t + 1]] *= np.concatenate([scale, scale])
    return points
