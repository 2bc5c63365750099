"""Kinds of findings of the data check."""

from __future__ import annotations

from ..settings.displacements import STATIONARY_FORCE

KINDS = {
    "units": "energies, forces and positions do not fit together",
    "unconverged": "the self-consistency cycle did not converge (electronic steps used up)",
    "predicted": "energy and forces of a potential (a trajectory of md), not of a reference calculation",
    "atomic-energies": "atomic energies do not fit the total energies",
    "missing-energy": "no energy",
    "missing-forces": "no forces",
    "placeholder-energy": "energy of exactly 0 beside forces that are not: a placeholder?",
    "duplicate": "same atoms, cell and positions as an earlier structure",
    "near-duplicate": "no atom further than 0.01 Å from an earlier structure",
    "near-zero-forces": f"largest |F| below {STATIONARY_FORCE} eV/Å: no copies will be made",
    "energy-outlier": "energy per atom far from what the composition gives",
    "force-outlier": "largest |F| far above the usual",
    "short-distance": "unusually short distance",
    "net-force": "net force above 0.005 eV/Å per atom",
}
"""Kinds of findings and their wording."""

NOTES = frozenset({"near-duplicate", "near-zero-forces", "missing-forces", "net-force"})
"""Kinds that are worth knowing but no sign of an error."""

DROPPABLE = ("unreadable", *(kind for kind in KINDS if kind not in ("units", "atomic-energies")))
"""Kinds that concern single structures, which can be left out for them; unreadable files are left out by the reader."""
