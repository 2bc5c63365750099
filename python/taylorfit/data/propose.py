"""The verb `propose`: a setup for a data set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..formats.structures.files import file_of
from ..formats.structures.in_memory import Structures, as_structures
from ..model.provenance import parse_copy_name
from ..model.structure import Structure, species_in
from ..settings.displacements import TaylorOptions
from ..settings.forces import MODES, WITH_COPIES
from ..taylor.selection import count_skipped, select_all
from ..tools.progress import progress as show_progress
from ..tools.warn import warn_of_data
from .check import check
from .choose import Choice, choose, propose_setups
from .choose_training import DataSize, choose_training
from .setup import COPIES, Evidence, Setup
from .survey import COINCIDING, AtomicEnergyFit, Survey, fit_atomic_energies, survey

COPIES_PER_STRUCTURE = 16.0
"""Taylor copies per structure (aenet-python's default)."""


DEAR = 70.0
"""Mean number of neighbours from which on exact training with symmetry functions is dearer than with Taylor copies: 0.4
of their time with 17 neighbours, 1.3 with 107."""


def propose(structures: Structures, *, behler: bool = False, mode: str | None = None, progress: bool = False) -> Setup:
    """Propose descriptors, atomic energies, networks, displacements and a training for a data set.

    A start that works, meant to be changed (`Setup.replace`): cutoffs by the number of neighbours, energies of the
    isolated atoms by least squares over the compositions, displacements by the shortest distance, networks and method
    by the number of force components, epochs by the time they take; `Setup.reasons` says why.

    Parameters
    ----------
    structures
        Of taylorfit or ASE, with energies (eV) and perhaps forces (eV/Å).  Taylor copies among them are passed over.
    behler
        Symmetry functions G2 and G4 (Behler 2011) instead of Chebyshev descriptors (Artrith, Urban, Ceder 2017)?
    mode
        How forces are trained on, as in `FORCES mode=`; None: exact where there are forces, but directional where
        that is much cheaper (symmetry functions and many neighbours).
    progress
        Show how far it is?

    Warns
    -----
    DataWarning
        for findings of the data check, and for atomic energies that the compositions do not determine.

    Raises
    ------
    InputError
        for a structure without energy, a degenerate cell, coinciding atoms, or a mode that needs forces without any.

    Examples
    --------
    >>> import numpy as np
    >>> from taylorfit import Structure, propose
    >>> dimers = [Structure(("H", "H"), np.diag([0.0, r, 0.0])[:2], energy=-6.7) for r in (0.7, 0.8)]
    >>> setup = propose(dimers)
    >>> setup.species, setup.atomic_energies["H"], setup.descriptors[0].r_cut
    (('H',), -3.35, 4.0)
    """
    given = as_structures(structures)
    data = [s for s in given if parse_copy_name(s.name) is None and not s.pushed_from]
    if not data:
        raise InputError("no structures", expected="at least one")
    for structure in data:
        if structure.energy is None and not structure.cohesive_energy:
            raise InputError("no energy", file=structure.name, expected="a total or cohesive energy")
    species = species_in(data)
    with show_progress("survey", len(data), quiet=not progress) as update:
        found = survey(data, species, update)
    _refuse_coinciding(found)
    fit = fit_atomic_energies(data, species)
    choice = choose(found)
    energies = dict.fromkeys(species, 0.0) if fit is None else fit.energies
    selections = select_all(data)
    with_copies = any(selection.reason is None for selection in selections)
    skipped = {reason.value: n for reason, n in count_skipped(selections).items()}
    mode, reason = _mode(mode, found, choice, behler, any(s.forces is not None for s in data), with_copies)
    setups = tuple(propose_setups(found, choice, behler))
    training = choose_training(_size(data), [setup.n_feature for setup in setups], mode)
    checked = check(data, energies)
    notes = _notes(fit, len(data))
    warn_of_data([*checked.doubts, *notes])
    return Setup(
        descriptors=setups,
        atomic_energies=energies,
        networks=dict.fromkeys(species, training.hidden),
        displacements=TaylorOptions(delta=choice.delta, fraction=COPIES_PER_STRUCTURE, outfile=COPIES)
        if with_copies
        else None,
        beta=training.beta,
        epochs=training.epochs,
        method=training.method,
        precision=training.precision,
        reasons=(*choice.reasons, reason, *training.reasons),
        mode=mode,
        notes=notes,
        files=_files([s for s in given if parse_copy_name(s.name) is None]),
        evidence=Evidence(checked, found, fit, choice, skipped),
    )


def _size(data: Sequence[Structure]) -> DataSize:
    """What there is to train on; structures and atoms without weight do not count."""
    used = [s for s in data if s.weight > 0.0]
    n_forces = sum(3 * int((s.atom_weights > 0.0).sum()) for s in used if s.forces is not None)
    compositions = {tuple(sorted(Counter(s.symbols).items())) for s in used}
    return DataSize(len(used), sum(s.n_atoms for s in used), n_forces, len(compositions))


def _refuse_coinciding(found: Survey) -> None:
    nearest = min(found.shortest, key=found.shortest.__getitem__, default=None)
    if nearest is not None and found.shortest[nearest] < COINCIDING:
        raise InputError(
            f"atoms {'-'.join(nearest)} all but coincide",
            file=found.where[nearest],
            value=f"{found.shortest[nearest]:.4g} Å",
            expected=f"more than {COINCIDING:g} Å",
        )


def _mode(
    asked: str | None, found: Survey, choice: Choice, behler: bool, with_forces: bool, with_copies: bool
) -> tuple[str, str]:
    """How forces are trained on, and why."""
    if asked is not None:
        if asked not in MODES:
            raise InputError("unknown mode", value=asked, expected="one of " + " ".join(MODES))
        if asked != "energy" and not (with_copies if asked in WITH_COPIES else with_forces):
            raise InputError(f"mode {asked} needs structures with forces", value="none", expected="mode energy")
        return asked, f"mode {asked}: asked for"
    if not with_forces:
        return "energy", "mode energy: there are no forces"
    neighbours = found.mean_neighbours[:, np.argmin(np.abs(found.radii - choice.radial_cutoff))].max()
    if behler and neighbours > DEAR:
        return "directional", (
            f"mode directional: exact training is dear with symmetry functions and {neighbours:.0f} neighbours"
        )
    return "exact", "mode exact: the most accurate, and cheap with these cutoffs"


def _notes(fit: AtomicEnergyFit | None, n_structures: int) -> tuple[str, ...]:
    """What is doubtful about the energies of the isolated atoms."""
    notes = [fit.doubt] if fit is not None and fit.doubt is not None else []
    if fit is not None and fit.n_structures < n_structures:
        notes.append(
            f"{n_structures - fit.n_structures} structures state only a cohesive energy and are left out of the fit"
        )
    return tuple(notes)


def _files(structures: Sequence[Structure]) -> tuple[str, ...]:
    """The files that structures come from, each once; none if one comes from elsewhere."""
    files = dict.fromkeys(file_of(structure.name) for structure in structures)
    return tuple(files) if all(map(os.path.isfile, files)) else ()
