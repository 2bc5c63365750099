"""Molecular dynamics of one potential from one start, by ASE, watched for explosions and extrapolations."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet

from ..errors import FormatError, InputError, TaylorfitError
from ..formats.structures.in_memory import set_fixed
from ..model.structure import Structure
from ..potential.calculator import Calculator
from ..potential.extrapolation import (
    COMMITTEE,
    ExtrapolationError,
    ExtrapolationGuard,
    ExtrapolationWarning,
    find_collapse,
)
from ..settings.md import EXPLODED, MOST_RELEASED, MdInput, Thermostat
from ..tools.interrupts import deferred_interrupt
from ..tools.randomness import Stream
from .analysis import pair_counts
from .trajectory import FrameWriter

COLUMNS = ("step", "time_ps", "E_pot_eV", "E_kin_eV", "E_tot_eV", "T_K")
DEVIATIONS = ("E_pot_std_eV", "F_std_max_eV_per_A")
"""Of a row of a walk: total energies of the whole cell."""


@dataclass
class Walk:
    """One potential from one start: where it is, and what was seen on the way."""

    label: str
    start: int
    """From 1."""
    seed: int
    atoms: Atoms
    """As of the last sample; the calculator belongs to the run."""
    rng_state: dict[str, Any]
    step: int
    """Negative during equilibration."""
    rows: list[tuple[float, ...]] = field(default_factory=list)
    """See `COLUMNS`."""
    deviations: list[tuple[float, ...]] = field(default_factory=list)
    """See `DEVIATIONS`: standard deviations over a committee in each row; NaN for a single potential."""
    histogram: np.ndarray | None = None
    """(n_pair, n_bin) counts of all samples"""
    n_samples: int = 0
    """Samples in the histogram."""
    first_extrapolation: int | None = None
    """Step, negative during equilibration."""
    extrapolation: str = ""
    """What it was."""
    worst: float | None = None
    """Furthest that a descriptor was outside the training data, σ; None: never beyond the tolerance."""
    worst_force_std: float | None = None
    """Most that the members of a committee differed by in a force, eV/Å; None: never beyond the limit."""
    ended: str = ""
    """Why it cannot go on: `exploded: …`, `collapsed: …` or `extrapolated: …`."""
    n_dumped: int = 0
    trajectory: str | None = None
    """Where its frames are."""

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atoms)


def new_walk(label: str, start: int, atoms: Atoms, settings: MdInput) -> Walk:
    """A walk at its beginning, with velocities drawn for the start's own seed and no drift of the whole."""
    seed = settings.seed + start - 1
    rng = Stream.VELOCITIES.generator(seed)
    atoms = atoms.copy()
    if settings.velocities == "random":
        # Maxwell and Boltzmann, with the whole at rest unless something holds it, or it is a single atom
        mass = atoms.get_masses()[:, None]
        momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(mass * units.kB * settings.temperature)
        if is_free(atoms):
            momenta -= mass / mass.sum() * momenta.sum(axis=0)
        atoms.set_momenta(momenta)
    return Walk(label, start, seed, atoms, dict(rng.bit_generator.state), -settings.equilibration)


def starting_atoms(structures: Sequence[Structure], repeat: tuple[int, int, int]) -> list[Atoms]:
    """The starting structures for ASE, repeated along their vectors.

    Raises
    ------
    InputError
        if a structure is to be repeated where it is not periodic, or ASE does not know an element.
    """
    result = []
    for structure in structures:
        for axis, n in enumerate(repeat):
            if n > 1 and not structure.pbc[axis]:
                raise InputError(
                    "cannot be repeated where it is not periodic",
                    file=structure.name or None,
                    value=" ".join(map(str, repeat)),
                    expected="REPEAT 1 along such a vector",
                )
        try:
            atoms = Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc)
            if structure.masses is not None:
                atoms.set_masses(structure.masses)
            if structure.momenta is not None:
                atoms.set_momenta(structure.momenta)
            if structure.fixed is not None:
                set_fixed(atoms, structure.fixed)
        except KeyError as error:
            raise InputError(
                "no mass is known for this species",
                file=structure.name or None,
                value=error.args[0],
                expected="a chemical element",
            ) from None
        result.append(atoms.repeat(repeat))
    return result


def is_free(atoms: Atoms) -> bool:
    """Whether the whole could drift: several atoms, none of which is held."""
    return len(atoms) > 1 and not _held(atoms)


def _held(atoms: Atoms) -> list[Any]:
    """The constraints that hold atoms, without that of the whole."""
    return [constraint for constraint in atoms.constraints if not isinstance(constraint, FixCom)]


def temperature(atoms: Atoms) -> float:
    """K; components that are held do not count, nor do three of the whole where that could drift but does not."""
    return float(2.0 * atoms.get_kinetic_energy() / (_freedom(atoms) * units.kB))


def _freedom(atoms: Atoms) -> int:
    """Degrees of freedom, at least one."""
    n_held = sum(int(constraint.get_removed_dof(atoms)) for constraint in _held(atoms))
    return max(3 * len(atoms) - (3 if is_free(atoms) else n_held), 1)


def run_walk(
    walk: Walk, calculator: Calculator, settings: MdInput, frames: FrameWriter | None = None
) -> Iterator[Walk]:
    """Go on from where the walk is; yield it after every sample, when it may be kept.

    Rows, histogram and trajectory get one entry every `settings.sample` steps from step 0 on.  An error of the engine
    (atoms that coincide), an energy that is no number, `EXPLODED` times the temperature, or in a sample atoms that are
    too close (`ExtrapolationPolicy.shortest`) end the walk.
    """
    if walk.ended or walk.step >= settings.steps:
        return
    guard = calculator.watch(settings.extrapolation)
    atoms = walk.atoms.copy()
    atoms.calc = calculator
    rng = np.random.default_rng()
    rng.bit_generator.state = walk.rng_state
    step = walk.step
    dynamics = None
    dumped_before = walk.n_dumped
    with _watched(walk, guard, step):
        # A structure that cannot be evaluated at all is an error of the user, no explosion
        atoms.get_forces()
        highest = float(atoms.get_potential_energy())
    while not walk.ended:
        if step % settings.sample == 0 or step == settings.steps:
            # Ctrl-C waits: half a frame, or a frame without its row, would stay in the file of a resumed run
            with deferred_interrupt() as interrupt:
                if step >= 0 and step % settings.sample == 0 and not (walk.rows and walk.rows[-1][0] >= step):
                    _sample(walk, atoms, step, settings, frames)
                kept = atoms.copy()
                kept.set_constraint(_held(atoms))
                walk.atoms, walk.rng_state, walk.step = kept, rng.bit_generator.state, step
                walk.n_dumped = dumped_before + len(guard.dumped)
            interrupt.check()
            collapse = None if walk.ended else find_collapse(_bare(atoms), guard.policy)
            if collapse is not None:
                walk.ended = f"collapsed: {collapse}"
            yield walk
            if walk.ended:
                return
        if step >= settings.steps:
            return
        if dynamics is None or step == 0:
            dynamics = _dynamics(atoms, rng, settings, thermostat=step < 0 or settings.ensemble == "nvt")
        step += 1
        try:
            with _watched(walk, guard, step):
                dynamics.step()
        except TaylorfitError as error:
            walk.ended = f"exploded: {error}"
        hot = temperature(atoms)
        if not walk.ended and not hot <= EXPLODED * settings.temperature + _released(atoms, highest):
            walk.ended = f"exploded: temperature {hot:.4g} K"
    walk.step = step
    walk.n_dumped = dumped_before + len(guard.dumped)
    yield walk


def _released(atoms: Atoms, highest: float) -> float:
    """Temperature, K, that a start of the potential energy `highest`, eV, may give by going downhill; bounded.

    A hole in the potential gives more than `MOST_RELEASED`: no structure that was meant binds by so much more.
    """
    release = np.clip(highest - atoms.get_potential_energy(), 0.0, MOST_RELEASED * len(atoms))
    return float(2.0 * release / (_freedom(atoms) * units.kB))


@contextmanager
def _watched(walk: Walk, guard: ExtrapolationGuard, step: int) -> Iterator[None]:
    """Note the first extrapolation of a walk; each walk reports its own, so that nothing is warned of twice."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExtrapolationWarning)
            yield
    except ExtrapolationError as error:
        walk.ended = f"{'collapsed' if error.collapsed else 'extrapolated'}: {error}"
    if "descriptor" in guard.worst:
        walk.worst = max(walk.worst or 0.0, guard.worst["descriptor"].amount)
    if COMMITTEE in guard.worst:
        walk.worst_force_std = max(walk.worst_force_std or 0.0, guard.worst[COMMITTEE].amount)
    if guard.worst and walk.first_extrapolation is None:
        walk.first_extrapolation, walk.extrapolation = step, str(next(iter(guard.worst.values())))


def _bare(atoms: Atoms) -> Structure:
    """Species, positions and cell."""
    return Structure(tuple(atoms.get_chemical_symbols()), atoms.positions, atoms.cell.array, tuple(atoms.pbc))


def _sample(walk: Walk, atoms: Atoms, step: int, settings: MdInput, frames: FrameWriter | None) -> None:
    potential, kinetic = float(atoms.get_potential_energy()), float(atoms.get_kinetic_energy())
    counts = (
        None
        if settings.rdf is None
        else pair_counts(_bare(atoms), settings.rdf.pairs, settings.rdf.r_max, settings.rdf.bins)
    )
    if frames is not None:
        frames.write(_frame(atoms, walk, step, settings))
        walk.trajectory = frames.path
    if counts is not None:
        walk.histogram = counts if walk.histogram is None else walk.histogram + counts
        walk.n_samples += 1
    walk.rows.append(
        (step, 1e-3 * step * settings.timestep, potential, kinetic, potential + kinetic, temperature(atoms))
    )
    found = atoms.calc.results
    walk.deviations.append(
        (found["energy_std"], float(found["forces_std"].max())) if "forces_std" in found else (np.nan, np.nan)
    )


def _frame(atoms: Atoms, walk: Walk, step: int, settings: MdInput) -> Atoms:
    """A frame with energy and forces of the potential, time in fs."""
    frame = atoms.copy()
    frame.set_constraint(_held(atoms))
    frame.info.update(potential=walk.label, start=walk.start, step=step, time_fs=step * settings.timestep)
    atoms.get_forces()
    frame.calc = SinglePointCalculator(frame, **{key: atoms.calc.results[key] for key in ("energy", "forces")})
    if "forces_std" in atoms.calc.results:  # of a committee, eV and eV/Å
        frame.info["energy_std"] = atoms.calc.results["energy_std"]
        frame.set_array("forces_std", atoms.calc.results["forces_std"])
    return frame


def _dynamics(atoms: Atoms, rng: np.random.Generator, settings: MdInput, thermostat: bool) -> Any:
    held = _held(atoms)
    atoms.set_constraint(held)
    timestep = settings.timestep * units.fs
    if not thermostat:
        return VelocityVerlet(atoms, timestep)
    if is_free(atoms):  # The whole stays where it is
        atoms.set_constraint(FixCom())
    how: Thermostat = settings.thermostat
    if how.kind == "langevin":
        return Langevin(
            atoms, timestep, temperature_K=settings.temperature, friction=how.friction / units.fs, fixcm=False, rng=rng
        )
    return bussi()(atoms, timestep, temperature_K=settings.temperature, taut=how.time * units.fs, rng=rng)


def bussi() -> type:
    """ASE's stochastic velocity rescaling.

    Raises
    ------
    InputError
        if the installed ASE does not have it.
    """
    try:
        from ase.md.bussi import Bussi
    except ImportError:
        raise InputError(
            "the installed ASE has no Bussi thermostat", expected="ASE 3.24 or newer, or langevin"
        ) from None
    return Bussi


IDENTITY_FREE = ("steps", "starts", "trajectory", "output", "skin", "threads")
"""Settings that a resumed run may have different."""


def pack_walks(walks: Sequence[Walk]) -> dict[str, np.ndarray]:
    """All walks as arrays for a checkpoint."""
    arrays: dict[str, np.ndarray] = {"n_walks": np.array(len(walks))}
    for k, walk in enumerate(walks):
        plain = {name: getattr(walk, name) for name in _PLAIN}
        arrays |= {
            f"{k}.plain": np.array(json.dumps(plain)),
            f"{k}.positions": walk.atoms.positions,
            f"{k}.momenta": walk.atoms.get_momenta(),
            f"{k}.rows": np.array(walk.rows).reshape(-1, len(COLUMNS)),
            f"{k}.deviations": np.array(walk.deviations).reshape(-1, len(DEVIATIONS)),
        }
        if walk.histogram is not None:
            arrays[f"{k}.histogram"] = walk.histogram
    return arrays


_PLAIN = (
    "label",
    "start",
    "seed",
    "rng_state",
    "step",
    "n_samples",
    "first_extrapolation",
    "extrapolation",
    "worst",
    "worst_force_std",
    "ended",
    "n_dumped",
    "trajectory",
)


def unpack_walks(
    arrays: dict[str, np.ndarray], structures: Sequence[Atoms], bins: tuple[int, int] | None = None
) -> list[Walk]:
    """The walks that `pack_walks` packed; `structures` are the starting ones, `bins` the shape of histograms.

    Raises
    ------
    FormatError
        if the arrays are not what `pack_walks` makes.
    """
    try:
        walks = [_unpack_walk(k, arrays, structures) for k in range(int(arrays["n_walks"]))]
        if any(walk.histogram is not None and bins not in (None, walk.histogram.shape) for walk in walks):
            raise ValueError("counts of other bins")
        return walks
    except Exception as error:  # arrays of other shapes and kinds fail in whatever way they do
        raise FormatError(
            f"damaged checkpoint of molecular dynamics ({error})", expected="a file written by md"
        ) from None


def _unpack_walk(k: int, arrays: dict[str, np.ndarray], structures: Sequence[Atoms]) -> Walk:
    plain = json.loads(str(arrays[f"{k}.plain"]))
    atoms = structures[(plain["start"] - 1) % len(structures)].copy()
    atoms.set_positions(arrays[f"{k}.positions"], apply_constraint=False)
    atoms.set_momenta(arrays[f"{k}.momenta"], apply_constraint=False)
    found = arrays[f"{k}.rows"].astype(np.float64, casting="safe").reshape(-1, len(COLUMNS))
    rows = [(int(row[0]), *row[1:]) for row in found.tolist()]
    # Checkpoints of earlier versions have none
    unknown = np.full((len(rows), len(DEVIATIONS)), np.nan)
    deviations = arrays.get(f"{k}.deviations", unknown).astype(np.float64, casting="safe").reshape(unknown.shape)
    histogram = arrays.get(f"{k}.histogram")
    walk = Walk(atoms=atoms, rows=rows, deviations=list(map(tuple, deviations.tolist())), histogram=histogram, **plain)
    np.random.default_rng().bit_generator.state = walk.rng_state
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.get_momenta()).all()):
        raise ValueError("positions or momenta are not finite")
    if not isinstance(walk.step, int) or not isinstance(walk.ended, str) or not isinstance(walk.n_samples, int):
        raise TypeError("steps are not whole numbers")
    return walk
