"""The verb `predict`: energies, forces and stress of structures, beside their references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ..analysis.errors import predictions_of
from ..engine import Evaluation
from ..formats.structures.files import require_species
from ..formats.structures.in_memory import Structures, as_structures
from ..model.predictions import Predictions
from ..model.structure import Structure
from ..tools.progress import progress as show_progress
from ..tools.ranks import ALONE, Ranks
from .potential import Potential, Source, as_potential


def predict(
    potential: Source,
    structures: Structures,
    *,
    forces: bool = True,
    stress: bool = True,
    threads: int = 0,
    label: str = "",
    progress: bool = False,
) -> Predictions:
    """Evaluate a potential for structures, and compare with what is known of them.

    Parameters
    ----------
    potential
        A `Potential`, or its files (see `Potential.load`).
    structures
        Of taylorfit or ASE; energies (eV), forces (eV/Å) and stresses (eV/Å³) that they have are the reference.
    forces, stress
        Evaluate them, too?
    threads
        Threads of the engine; 0: all cores.  The results do not depend on it.
    label
        What plots call this potential.
    progress
        Show how far it is?

    Raises
    ------
    InputError
        for a species without potential, coinciding atoms, or a degenerate cell; it names the structure.

    Examples
    --------
    >>> from taylorfit import Potential, predict
    >>> predictions = predict(Potential.load("fit"), structures)                # doctest: +SKIP
    >>> predictions.errors.force_rmse, predictions.forces.shape                 # doctest: +SKIP
    """
    return predict_shared(
        as_potential(potential),
        as_structures(structures),
        forces=forces,
        stress=stress,
        threads=threads,
        label=label,
        progress=progress,
    )


def predict_shared(
    potential: Potential,
    structures: Sequence[Structure],
    *,
    forces: bool,
    stress: bool,
    threads: int,
    label: str,
    progress: bool,
    ranks: Ranks = ALONE,
) -> Predictions:
    """Do the same; `ranks` share the structures, which the first of them has."""
    for structure in structures:
        require_species(structure, potential.species, "no potential for a species of this structure")
    shown = progress and ranks.size == 1
    evaluations = ranks.spread(partial(_evaluate, potential, forces or stress, threads, shown), structures)
    if not forces:
        evaluations = [replace(evaluation, forces=None) for evaluation in evaluations]
    return predictions_of(structures, evaluations, potential.atomic_energies, label, potential.files, stress)


def _evaluate(
    potential: Potential, forces: bool, threads: int, progress: bool, structures: list[Structure]
) -> list[Evaluation]:
    with show_progress("predict", len(structures), quiet=not progress) as update:
        return potential.evaluate(structures, forces=forces, threads=threads, advance=update)
