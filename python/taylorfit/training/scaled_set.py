"""ænet's scaled training sets (`.train.scaled`): standardised descriptors, energies in [−1, 1]."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..model.trainset import TrainingSet
from .pack import KEPT_ENERGY, Scaling


def scale_training_set(training_set: TrainingSet, max_energy: float | None = None) -> TrainingSet:
    """Return what train.x makes of a training set before it trains.

    Energies become scale·(E − n_atoms·shift), forces scale·F, descriptors are standardised, and
    structures above `max_energy` (eV/atom) are left out.  The setups stay as they are.

    Raises
    ------
    InputError
        if the set is scaled already, has no setups, or all energies are equal.
    """
    t = training_set
    if t.normalised:
        raise InputError("the training set is scaled already", expected="a file as generate writes it")
    scaling = Scaling.of(t, max_energy)
    energy = scaling.energies(t)
    per_atom = energy / t.n_atoms
    kept = per_atom <= KEPT_ENERGY
    kept_atoms = np.repeat(kept, t.n_atoms)
    lengths = np.diff(t.first_value)
    descriptors = t.descriptors.copy()
    for species, (shift, factor) in enumerate(zip(scaling.feature_shift, scaling.feature_factor)):
        starts = t.first_value[:-1][t.atom_species == species]
        places = starts[:, None] + np.arange(len(shift))
        descriptors[places] = (descriptors[places] - shift) * factor
    return replace(
        t,
        normalised=True,
        scale=scaling.energy_scale,
        shift=scaling.energy_shift,
        names=[name for name, keep in zip(t.names, kept) if keep],
        n_species_in=t.n_species_in[kept],
        energy=energy[kept],
        first_atom=np.concatenate([[0], np.cumsum(t.n_atoms[kept])]),
        atom_species=t.atom_species[kept_atoms],
        positions=t.positions[kept_atoms],
        forces=t.forces[kept_atoms] * scaling.energy_scale,
        first_value=np.concatenate([[0], np.cumsum(lengths[kept_atoms])]),
        descriptors=descriptors[np.repeat(kept_atoms, lengths)],
        energy_mean=float(per_atom[kept].mean()),
        energy_min=float(per_atom[kept].min()),
        energy_max=float(per_atom[kept].max()),
    )
