"""Molecular dynamics of many small systems at once, all in one evaluation of a committee in each step.

Langevin dynamics by the splitting BAOAB (Leimkuhler, Matthews 2013), which without friction is velocity Verlet; the
volume by stochastic rescaling of the cell (Bernetti, Bussi 2020).  Every run has random numbers of its own, so that
its path does not depend on what runs beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from ase import units
from ase.data import atomic_masses, atomic_numbers

from ..engine import PotentialTables, RepeatedEvaluation
from ..errors import InputError
from ..model.structure import Structure
from ..potential.deviation import force_deviation
from ..potential.extrapolation import find_collapse
from ..settings.extrapolation import ExtrapolationPolicy
from ..settings.learn import Exploration
from ..settings.md import EXPLODED, MOST_RELEASED
from ..tools.randomness import Stream

HELD, LEFT, COLLAPSED, WRONG = "held", "left its data", "collapsed", "wrong"
"""How a run ends: at its last step, where its committee differs too much, or beyond anything physical; a run that held
is wrong if the reference says something else of a frame of it."""
BEYOND = ExtrapolationPolicy(most_beyond=3.0)
"""Frames with a deviation of so many times the limit are collapsed: not worth a label."""
LASTING, SUSTAINED = 1.0 / 3.0, 5
"""A run has left its data, too, if in so many frames on end the root mean square over the atoms of the deviation is
above this share of the limit of a single atom."""
WALL_STIFFNESS = 1.0
"""eV/Å² of the soft wall."""
_GPA = units.GPa


@dataclass(eq=False)
class Walk:
    """A run: where it began, and what was seen."""

    exploration: Exploration
    start: int
    """From 1."""
    structure: Structure
    rng: np.random.Generator
    frames: list[Structure] = field(default_factory=list)
    """Every `sample` steps, and the last one."""
    deviations: list[float] = field(default_factory=list)
    """Of each frame: the standard deviation of the force on the atom where it is largest, eV/Å."""
    steps: int = 0
    verdict: str = HELD
    doubtful: int = 0
    """Frames on end with a deviation that must not last."""

    @property
    def time(self) -> float:
        """How long it held, ps."""
        return 1e-3 * self.steps * self.exploration.timestep

    def take(
        self,
        step: int,
        frame: Structure,
        spread: np.ndarray,
        hot: bool,
        policy: ExtrapolationPolicy,
        patient: bool = False,
    ) -> bool:
        """Take a frame, and judge the run by it; return whether it goes on.  The same rule for all explorers.

        Parameters
        ----------
        spread
            (n_atom,) deviation of the force on each atom, eV/Å.
        hot
            See `is_hot`.
        policy
            The limit of the deviation, and what has collapsed: atoms that are too close have fallen into each other,
            whatever the committee says of them.
        patient
            Does the run go on where the deviation is above its limit for a moment?
        """
        worst, limit = float(spread.max()), policy.max_force_std
        assert limit is not None
        if hot or not worst <= policy.most_beyond * limit or find_collapse(frame, policy) is not None:
            self.verdict = COLLAPSED
            return False
        self.steps = step
        self.frames.append(frame)
        self.deviations.append(worst)
        self.doubtful = self.doubtful + 1 if np.sqrt(np.mean(spread**2)) > LASTING * limit else 0
        if (worst > limit and not patient) or self.doubtful >= SUSTAINED:
            self.verdict = LEFT
        return self.verdict == HELD and step < self.exploration.steps


def is_wrong(errors: Sequence[np.ndarray], limit: float, calibration: float) -> bool:
    """Whether a run is as far off as no committee with this limit (eV/Å) may lastingly expect.

    Parameters
    ----------
    errors
        (n_atom,) |F − F_ref| of frames that were not chosen by their deviations, eV/Å.
    calibration
        Errors over deviations.
    """
    return not float(np.sqrt(np.mean(np.concatenate(errors) ** 2))) <= LASTING * limit * calibration


def masses_of(structure: Structure) -> np.ndarray:
    """(n_atom,) masses, u."""
    if structure.masses is not None:
        return structure.masses
    return np.asarray(atomic_masses[[atomic_numbers[symbol] for symbol in structure.symbols]])


def is_hot(
    kinetic: np.ndarray,
    energies: np.ndarray,
    highest: np.ndarray,
    n_atoms: np.ndarray | int,
    temperature: np.ndarray | float,
) -> np.ndarray:
    """Whether runs are far too hot, or their numbers are none; a start far from equilibrium may release energy.

    Parameters
    ----------
    kinetic, energies, highest, n_atoms, temperature
        (n,) kinetic and potential energies, the highest potential ones so far, numbers of atoms, and kT wanted; eV.
    """
    release = np.clip(highest - energies, 0.0, MOST_RELEASED * n_atoms)
    hot: np.ndarray = ~(kinetic <= EXPLODED * 1.5 * n_atoms * temperature + release)
    return hot


def new_walks(
    explorations: Sequence[Exploration], frames: Sequence[Sequence[Structure]], seed: int, round_: int
) -> list[Walk]:
    """Return the runs of all explorations, each starting from a frame drawn from `frames` of its exploration."""
    walks = []
    for k, (exploration, pool) in enumerate(zip(explorations, frames, strict=True)):
        order = Stream.EXPLORATION.generator(seed, round_, k, 0).permutation(len(pool))
        for start in range(1, exploration.starts + 1):
            rng = Stream.EXPLORATION.generator(seed, round_, k, start)
            first = pool[order[(start - 1) % len(pool)]]
            if exploration.strain > 0.0:
                strain = rng.uniform(-exploration.strain, exploration.strain, (3, 3))
                change = np.eye(3) + 0.5 * (strain + strain.T)
                first = replace(first, positions=first.positions @ change, cell=first.cell @ change)
            if exploration.ensemble == "npt" and not all(first.pbc):
                raise InputError(
                    "no volume to change", file=first.name or None, value="npt", expected="three periodic directions"
                )
            walks.append(Walk(exploration, start, first, rng))
    return walks


class _Ensemble:
    """Positions and velocities of the atoms of all runs that go on, one after the other."""

    def __init__(self, walks: Sequence[Walk]) -> None:
        self.walks = list(walks)
        sizes = [walk.structure.n_atoms for walk in walks]
        self.first = np.concatenate([[0], np.cumsum(sizes)])
        self.owner = np.repeat(np.arange(len(sizes)), sizes)
        self.mass = np.concatenate([masses_of(walk.structure) for walk in walks])[:, None]
        self.positions = np.concatenate([walk.structure.positions for walk in walks])
        self.cells = np.array([walk.structure.cell for walk in walks])
        own = [walk.exploration for walk in walks]
        self.temperature = np.array([e.temperature for e in own]) * units.kB
        step = np.array([e.timestep for e in own]) * units.fs
        friction = np.array([e.friction / units.fs if e.ensemble != "nve" else 0.0 for e in own])
        self.step = step[self.owner, None]
        decay = np.exp(-friction * step)
        self.decay = decay[self.owner, None]
        kick = np.sqrt((1.0 - decay**2) * self.temperature)
        self.kick = kick[self.owner, None] / np.sqrt(self.mass)
        self.noisy = friction > 0.0
        self.walls = np.array([e.wall for e in own])
        self.centres = np.array([self._centre(k) for k in range(len(own))])
        # Stochastic rescaling: drift and noise of ln V for a pressure in eV/Å³
        npt = np.array([e.ensemble == "npt" for e in own])
        mobility = np.array([e.compressibility / _GPA / (e.barostat * units.fs) for e in own])
        self.mobility = np.where(npt, mobility * step, 0.0)
        self.pressure = np.array([e.pressure for e in own]) * _GPA
        self.highest = np.full(len(own), -np.inf)
        self.velocities = np.concatenate([self._velocities(k) for k in range(len(own))])

    def _centre(self, k: int) -> np.ndarray:
        part = slice(self.first[k], self.first[k + 1])
        centre: np.ndarray = (self.mass[part] * self.positions[part]).sum(axis=0) / self.mass[part].sum()
        return centre

    def _velocities(self, k: int) -> np.ndarray:
        """Of Maxwell and Boltzmann, with the whole at rest unless it is a single atom."""
        mass = self.mass[self.first[k] : self.first[k + 1]]
        momenta = self.walks[k].rng.standard_normal((len(mass), 3)) * np.sqrt(mass * self.temperature[k])
        if len(mass) > 1:
            momenta -= mass / mass.sum() * momenta.sum(axis=0)
        velocities: np.ndarray = momenta / mass
        return velocities

    def without(self, ended: np.ndarray) -> _Ensemble:
        """The runs that go on; their state is kept."""
        left = object.__new__(_Ensemble)
        stay, atoms = ~ended, ~ended[self.owner]
        left.walks = [walk for walk, kept in zip(self.walks, stay) if kept]
        sizes = np.diff(self.first)[stay]
        left.first = np.concatenate([[0], np.cumsum(sizes)])
        left.owner = np.repeat(np.arange(len(sizes)), sizes)
        for name in ("mass", "positions", "velocities", "step", "decay", "kick"):
            setattr(left, name, getattr(self, name)[atoms])
        for name in ("cells", "temperature", "noisy", "walls", "centres", "mobility", "pressure", "highest"):
            setattr(left, name, getattr(self, name)[stay])
        return left

    def structure(self, k: int) -> Structure:
        """Run k as it is now."""
        old = self.walks[k].structure
        part = slice(self.first[k], self.first[k + 1])
        return Structure(old.symbols, self.positions[part].copy(), self.cells[k].copy(), old.pbc)

    def half_kick(self, forces: np.ndarray) -> None:
        """Velocities by half a step."""
        self.velocities += 0.5 * self.step * forces / self.mass

    def drift(self) -> None:
        """Half a step, a kick of the thermostat, and half a step."""
        self.positions += 0.5 * self.step * self.velocities
        if self.noisy.any():
            noise = np.zeros_like(self.positions)
            for k in np.flatnonzero(self.noisy):
                part = slice(self.first[k], self.first[k + 1])
                noise[part] = self.walks[k].rng.standard_normal((part.stop - part.start, 3))
            self.velocities = self.decay * self.velocities + self.kick * noise
        self.positions += 0.5 * self.step * self.velocities

    def rescale(self, strain_derivatives: np.ndarray) -> None:
        """Change the volumes, with the cells' derivatives of the energy (eV) at hand."""
        if not self.mobility.any():
            return
        kinetic = self.kinetic()
        scale = np.ones(len(self.walks))
        for k in np.flatnonzero(self.mobility):
            volume = abs(np.linalg.det(self.cells[k]))
            inner = (2.0 * kinetic[k] - np.trace(strain_derivatives[k])) / (3.0 * volume)
            thermal = self.temperature[k] / volume
            # ln V has the diffusion D = kT m/V, and Itô's drift D' + D (ln p)' for p ∝ V exp(-(K + U + pV)/kT) at
            # fixed scaled positions and momenta: the terms without pressures cancel
            drift = -self.mobility[k] * (self.pressure[k] - inner)
            noise = np.sqrt(2.0 * thermal * self.mobility[k]) * self.walks[k].rng.standard_normal()
            # A far too large step would tear the cell apart before the barostat finds its way
            scale[k] = np.exp(np.clip(drift + noise, -0.2, 0.2) / 3.0)
        self.cells *= scale[:, None, None]
        self.positions *= scale[self.owner, None]
        self.velocities /= scale[self.owner, None]

    def wall_forces(self) -> np.ndarray | float:
        """Of the soft walls, eV/Å."""
        if not self.walls.any():
            return 0.0
        away = self.positions - self.centres[self.owner]
        distance = np.linalg.norm(away, axis=1)
        radius = np.where(self.walls > 0.0, self.walls, np.inf)[self.owner]
        outside = np.maximum(distance - radius, 0.0)
        forces: np.ndarray = -WALL_STIFFNESS * (outside / np.maximum(distance, 1e-12))[:, None] * away
        return forces

    def is_hot(self, energies: np.ndarray) -> np.ndarray:
        """See `is_hot`."""
        self.highest = np.fmax(self.highest, energies)
        return is_hot(self.kinetic(), energies, self.highest, np.diff(self.first), self.temperature)

    def kinetic(self) -> np.ndarray:
        """(n,) kinetic energies, eV."""
        each = (0.5 * self.mass * self.velocities**2).sum(axis=1)
        return np.bincount(self.owner, each, minlength=len(self.walks))


Evaluator = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""(n_atom, 3) positions, (n, 3, 3) cells → (n,) mean energies, (n_member, n_atom, 3) forces, (n, 3, 3) mean derivatives
of the energies by the strain."""
LayOut = Callable[[Sequence[Structure]], Evaluator]
"""Lays out structures for an evaluation at changing places."""


def committee_evaluator(committee: PotentialTables, threads: int) -> LayOut:
    """Return what lays out structures for the engine and then evaluates them at changing places."""

    def lay_out(structures: Sequence[Structure]) -> Evaluator:
        numbered = [replace(structure, name=str(k)) for k, structure in enumerate(structures)]
        return RepeatedEvaluation(numbered, committee, threads)

    return lay_out


def run_walks(
    walks: Sequence[Walk],
    lay_out: LayOut,
    policy: ExtrapolationPolicy,
    advance: Callable[[int], None] = lambda done: None,
    patient: bool = False,
) -> None:
    """Run all walks to their ends; frames, deviations and verdicts are noted in them.

    Parameters
    ----------
    lay_out
        Makes the evaluator of some structures.
    policy, patient
        What ends runs, see `Walk.take`.
    advance
        Called with the number of steps done.
    """
    state = _Ensemble(walks)
    evaluate = lay_out([walk.structure for walk in walks])
    forces = strain = np.zeros(0)
    step = 0
    while state.walks:
        if step > 0:
            state.half_kick(forces)
            state.drift()
            state.rescale(strain)
        while True:
            try:
                energies, members, strain = evaluate(state.positions, state.cells)
                break
            except InputError as error:  # atoms fell into each other in a run, which is named by its number
                lost = np.arange(len(state.walks)) == int(error.file or 0)
                state = _end(state, lost, COLLAPSED)
            if not state.walks:
                return
            evaluate = lay_out([walk.structure for walk in state.walks])
        forces = members.mean(axis=0) + state.wall_forces()
        if step > 0:
            state.half_kick(forces)
        spread = force_deviation(members)
        ended = _note(state, energies, spread, step, policy, patient)
        if ended.any():
            forces, strain = forces[~ended[state.owner]], strain[~ended]
            state = state.without(ended)
            evaluate = lay_out([walk.structure for walk in state.walks])
        advance(step)
        step += 1


def _note(
    state: _Ensemble, energies: np.ndarray, spread: np.ndarray, step: int, policy: ExtrapolationPolicy, patient: bool
) -> np.ndarray:
    """Note frames and verdicts; return which runs are over."""
    hot = state.is_hot(energies)
    worst = np.maximum.reduceat(spread, state.first[:-1])
    assert policy.max_force_std is not None
    ended: np.ndarray = hot | ~(worst <= policy.max_force_std * (policy.most_beyond if patient else 1.0))
    for k, walk in enumerate(state.walks):
        if ended[k] or step >= walk.exploration.steps or step % walk.exploration.sample == 0:
            own = spread[state.first[k] : state.first[k + 1]]
            ended[k] = not walk.take(step, state.structure(k), own, bool(hot[k]), policy, patient)
        else:
            walk.steps = step
    return ended


def _end(state: _Ensemble, lost: np.ndarray, verdict: str) -> _Ensemble:
    for walk, is_lost in zip(state.walks, lost):
        if is_lost:
            walk.verdict = verdict
    return state.without(lost)
