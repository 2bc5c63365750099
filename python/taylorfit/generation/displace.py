"""Taylor copies of structures: where they come from, and the verb `displace`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ..data.check import check
from ..errors import InputError
from ..formats.structures.in_memory import Structures, as_structures
from ..model.provenance import parse_copy_name
from ..model.structure import Structure
from ..potential.potential import Potential
from ..settings.displacements import TaylorOptions
from ..taylor.copies import CopySource, DisplacedCopies, StrainedCopies
from ..taylor.displacements import DisplacementStrategy
from ..taylor.modes import Hessians, HessianSource, ModeDisplacements
from ..taylor.selection import count_skipped, select_all
from ..taylor.strain import StrainDisplacements, select_for_strain
from ..tools.warn import warn_of_data
from .copy_plan import plan_copies
from .hessians import FiniteDifferenceHessians

Displacements: TypeAlias = DisplacementStrategy | StrainDisplacements | TaylorOptions
"""How structures are displaced: a strategy, or all that the block DERIVATIVES of generate.in can say."""


def displace(
    structures: Structures, displacements: Displacements, *, seed: int | None = None, threads: int = 0
) -> list[Structure]:
    """Return displaced copies of structures, whose energies follow from the forces by Taylor expansion.

    E(σ') = E(σ) − Σ_i δ_i·F_i(σ), eq. 10 of Cooper, Kästner, Urban, Artrith (2020); of strained copies E + V σ:ε.  The
    copies have no forces of their own.  Their names tell where they come from, so that `split`, `generate` and `train`
    know them as copies and keep them with their parents.

    Parameters
    ----------
    structures
        Of taylorfit or ASE, with energies (eV) and forces (eV/Å), for strained copies with stresses (eV/Å³).  Copies
        among them are passed over.
    displacements
        `RandomDisplacements` (all atoms at once, the paper's strategy B), `CartesianDisplacements` (one atom, strategy
        A), `OrthogonalDisplacements`, `AntitheticDisplacements`, `ModeDisplacements`, `StrainDisplacements`; or
        `TaylorOptions`, which also know curvature corrections, second orders, and which atoms move.
    seed
        Of the random draws; None: that of `displacements`.
    threads
        Threads of the engine, for Hessians from a potential; 0: all cores.

    Returns
    -------
    list of Structure
        The copies alone, in the order of their parents.

    Warns
    -----
    DataWarning
        if no structure can be displaced.

    Raises
    ------
    InputError
        if something that the displacements need is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from taylorfit import RandomDisplacements, Structure, displace
    >>> forces = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    >>> dimer = Structure(("H", "H"), np.diag([0.0, 0.9, 0.0])[:2], energy=-6.0, forces=forces, name="H2")
    >>> copies = displace(dimer, RandomDisplacements(delta=0.008, n_copies=4))
    >>> len(copies), copies[0].name
    (4, 'H2#taylor:random:0000:0.008')
    """
    parents = [s for s in as_structures(structures) if parse_copy_name(s.name) is None]
    source, notes = copy_source(parents, displacements, seed=seed, threads=threads)
    warn_of_data(notes)
    return [
        replace(copy, forces=None, force_weights=None)
        for index in np.flatnonzero(source.n_copies).tolist()
        for copy in source.of(index, parents[index]).structures(parents[index])
    ]


def copy_source(
    structures: Sequence[Structure],
    displacements: Displacements,
    *,
    seed: int | None = None,
    shortest: Mapping[str, float] | None = None,
    threads: int = 0,
) -> tuple[CopySource, tuple[str, ...]]:
    """Return where the copies of structures come from, and what a user should know of them.

    Parameters
    ----------
    shortest
        Shortest distance of each pair of species ("H-O"), Å; None: looked up where it is needed.

    Raises
    ------
    InputError
        as for `displace`.
    """
    if seed is not None:
        displacements = replace(displacements, seed=seed)
    if isinstance(displacements, TaylorOptions):
        if shortest is None:
            shortest = check(structures).shortest if displacements.delta is None else {}
        planned = plan_copies(structures, displacements, shortest, threads)
        notes = [line.removeprefix("warning: ") for line in planned.lines if line.startswith("warning: ")]
        source, skipped = planned.source, planned.skipped
    elif isinstance(displacements, StrainDisplacements):
        strains = displacements.plan([select_for_strain(structure) for structure in structures])
        source, notes = StrainedCopies(strains), []
        skipped = {reason.value: n for reason, n in count_skipped(strains.selections).items()}
    else:
        if isinstance(displacements, ModeDisplacements):
            displacements = replace(displacements, hessians=_hessians(displacements.hessians, structures, threads))
        plan = displacements.plan(select_all(structures))
        source, notes = DisplacedCopies(plan), []
        skipped = {reason.value: n for reason, n in count_skipped(plan.selections).items()}
    if not source.n_copies.any():
        notes.append(
            "no copies: " + (", ".join(f"{n} structures {reason}" for reason, n in skipped.items()) or "none asked for")
        )
    return source, tuple(notes)


def _hessians(given: Hessians | None, structures: Sequence[Structure], threads: int) -> HessianSource:
    """Hessians of structures, from a list of them, a function of the index, or a first potential."""
    if isinstance(given, Potential):
        return FiniteDifferenceHessians(given, structures, threads)
    if callable(given):
        return given
    arrays = [np.asarray(array, dtype=np.float64) for array in (() if given is None else given)]
    shapes = [(3 * structure.n_atoms,) * 2 for structure in structures]
    if [array.shape for array in arrays] != shapes:
        raise InputError("Hessians that do not belong to the structures", expected="(3N, 3N) for each, eV/Å²")
    return arrays.__getitem__
