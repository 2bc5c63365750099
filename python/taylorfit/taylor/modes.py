"""Displacements along normal modes, proposed as a third strategy in the outlook of Cooper et al. (2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np

from ..errors import InputError
from ..settings.displacements import AMPLITUDES, TaylorOptions
from ..tools.randomness import Stream
from .displacements import INSIDE, DisplacementPlan, DisplacementStrategy
from .selection import AtomSelection

if TYPE_CHECKING:
    from ..potential.potential import Potential

Hessians: TypeAlias = "HessianSource | Sequence[np.ndarray] | Potential"
HessianSource = Callable[[int], np.ndarray]
"""From the index of a structure to its (3N, 3N) symmetric Hessian, eV/Å²; rows x1 y1 z1 x2 …"""


@dataclass(frozen=True)
class ModeDisplacements(DisplacementStrategy):
    """One normal mode per copy, with a random sign.

    The modes are the eigenvectors of the Hessian itself in the space without rigid motions: 3N - 3 of them, or
    3N - 6 without rotations.  Masses play no part, as they play none in the energy: that way modes are
    orthogonal displacements and their truncation errors, ½ k A², do not mix.  Frames of a dynamics are no
    minima, so force constants k may be negative; |k| counts then.

    A structure gets a random subset of its modes, ⌊a⌋ or one more and at most all of them, in ascending
    order of k.  If only some atoms may move, the modes are those of their block of the Hessian.

    The same Hessian and seed give the same copies; LAPACK's last bits may depend on the number of threads of
    NumPy's BLAS (not on `--threads`) for more than about 50 atoms.
    """

    hessians: Hessians | None = None
    """One (3N, 3N) array for each structure, eV/Å², or a function of its number; in `displace` and `generate` also a
    first `Potential`, whose forces are differentiated.  Needed."""
    amplitude: str = "bound"
    """`bound`: each mode is followed until an atom has moved by its δ_max.  `stiffness`: no further than to an
    equal truncation error ½ |k| A², the median of those at the bound: the stiffer half of the modes is
    shortened, A ∝ 1/√|k|."""

    remove_rotations: bool = True
    """Leave the rotations of isolated structures out?"""

    name: ClassVar[str] = "modes"
    _stream: ClassVar[Stream] = Stream.MODES

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hessians is None:
            raise InputError("normal modes need Hessians", expected="hessian= or potential=")
        if self.amplitude not in AMPLITUDES:
            raise InputError("unknown amplitude", value=self.amplitude, expected=" or ".join(AMPLITUDES))

    def options(self) -> TaylorOptions:
        """Raise an InputError: Hessians in memory have no place in generate.in."""
        raise InputError("normal modes need Hessians from files here", expected='TaylorOptions(strategy="modes", …)')

    def plan(self, selections: Sequence[AtomSelection]) -> DisplacementPlan:
        """Return the number of copies of each structure; see the class."""
        return self._shared_plan(selections, limited=True)

    def _displace(self, structure: int, selection: AtomSelection, n_copies: int, atoms: np.ndarray) -> np.ndarray:
        assert callable(self.hessians)  # as `generation.displace` makes them
        deltas = self.deltas(selection)
        moved = np.flatnonzero(deltas)
        constants, modes = normal_modes(self.hessians(structure), moved, self._motions(selection, moved))
        reach = INSIDE / (np.sqrt((modes**2).sum(axis=2)) / deltas[moved]).max(axis=1)
        if self.amplitude == "stiffness":
            errors = 0.5 * np.abs(constants) * reach**2
            shorter = np.sqrt(np.median(errors) / np.maximum(errors, np.finfo(float).tiny))
            reach = reach * np.minimum(1.0, shorter)
        rng = self._rng(structure + 1, 0)
        chosen = np.sort(rng.permutation(len(modes))[:n_copies])
        signs = rng.integers(0, 2, len(modes))[chosen] * 2.0 - 1.0
        displacements = np.zeros((n_copies, len(deltas), 3))
        displacements[:, moved] = (signs * reach[chosen])[:, None, None] * modes[chosen]
        return displacements


def normal_modes(hessian: np.ndarray, moved: np.ndarray, motions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return force constants and modes of some atoms of a structure.

    Parameters
    ----------
    hessian
        (3N, 3N) of the whole structure, eV/Å².
    moved
        (n_moved,) indices of the atoms that move, from 0.
    motions
        (n_motion, n_moved, 3) orthonormal rigid motions that are to be left out.

    Returns
    -------
    tuple
        (n_mode,) force constants, eV/Å², ascending, and (n_mode, n_moved, 3) orthonormal modes; the largest
        component of each is positive.
    """
    rows = (3 * moved[:, None] + np.arange(3)).ravel()
    block = hessian[np.ix_(rows, rows)]
    flat = motions.reshape(len(motions), len(rows))
    # The last columns of the complete QR basis of the motions span everything else
    others = np.linalg.qr(flat.T, mode="complete")[0][:, len(flat) :] if len(flat) else np.eye(len(rows))
    constants, vectors = np.linalg.eigh(others.T @ block @ others)
    modes = (others @ vectors).T
    largest = modes[np.arange(len(modes)), np.abs(modes).argmax(axis=1)]
    modes *= np.sign(largest)[:, None]
    return constants, modes.reshape(len(modes), len(moved), 3)
