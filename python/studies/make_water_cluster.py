"""Make the water-cluster data: GFN1-xTB dynamics of (H2O)6, then single points.

    python python/studies/make_water_cluster.py --output DIR

Three Langevin runs (two at 300 K, one at 800 K) inside a soft spherical wall give a pool of
frames.  Training and validation frames are picked evenly from it, get their energies and
forces from a fresh, tighter calculation without the wall, and are packed as XSF files.

A run is kept in segments, one file each; started again, the program goes on behind the last
one and gives what an uninterrupted run would have given.  The dynamics is chaotic: on another
machine or with another version of tblite the frames differ, their statistics do not.

Needs tblite, which nothing else in taylorfit does: ``pip install taylorfit[example-data]``.
"""

from __future__ import annotations

import argparse
import io
import json
import lzma
import os
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taylorfit.errors import InputError, TaylorfitError
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.model.structure import Structure
from taylorfit.tools.atomic_write import atomic_write

if TYPE_CHECKING:
    from ase import Atoms

METHOD = "GFN1-xTB"
N_MOLECULES = 6
SYMBOLS = ("O", "H", "H") * N_MOLECULES
ATOMIC_NUMBERS = {"H": 1, "O": 8}
FREE_ATOM_MULTIPLICITY = {"H": 2, "O": 3}

# CODATA 2014, what ASE uses today.  Fixed here, because the 2018 values would move the energy
# of a cluster by 8e-6 eV and no data set may mix the two.
HARTREE = 27.211386024367243
"""eV"""
BOHR = 0.5291772105638411
"""Å"""

LABEL_ACCURACY = 0.01
"""tblite's accuracy for the labels: forces agree with differences of the energy to 4e-7 eV/Å."""
MD_ACCURACY = 0.1
"""For the dynamics; 2e-6 eV/Å is far below the thermostat's noise."""

TIMESTEP_FS = 0.5
FRICTION_PER_FS = 0.01
FRAME_STEPS = 40
"""One frame each 40 steps = 20 fs."""
SEGMENT_STEPS = 1000
WALL_RADIUS = 5.0
"""Å"""
WALL_STIFFNESS = 1.0
"""eV/Å²"""

PRISM_EDGE = 2.9
"""Å between neighbouring oxygen atoms at the start."""
OH_LENGTH = 0.9572
"""Å"""
HOH_ANGLE = np.radians(104.52)

DECIMALS = 8
"""Positions are rounded before they are labelled, so that a file is consistent in itself."""


@dataclass(frozen=True)
class Run:
    """One molecular dynamics run."""

    name: str
    temperature: float
    """K"""
    seed: int


@dataclass(frozen=True)
class Settings:
    """What decides the data; kept beside them so that a resumed run cannot change it."""

    runs: tuple[Run, ...] = (Run("300a", 300.0, 101), Run("300b", 300.0, 202), Run("800", 800.0, 303))
    steps: int = 60_000
    """Steps of each run after equilibration."""
    equilibration: int = 4_000
    """Steps of each run that give no frames (2 ps: the start from FIRE is not in equilibrium)."""

    def __post_init__(self) -> None:
        for option, value, least in (("--steps", self.steps, FRAME_STEPS), ("--equilibration", self.equilibration, 0)):
            if value < least:
                raise InputError(f"{option} is too small", value=value, expected=f"at least {least}")

    @property
    def frames_per_run(self) -> int:
        """Number of frames each run contributes to the pool."""
        return self.steps // FRAME_STEPS

    def frame_names(self) -> list[str]:
        """Name of every frame of the pool, e.g. ``300a_00020fs``, in the order of the runs."""
        interval = FRAME_STEPS * TIMESTEP_FS
        return [
            f"{run.name}_{round((index + 1) * interval):05d}fs"
            for run in self.runs
            for index in range(self.frames_per_run)
        ]


# --- which frames ---------------------------------------------------------------------------


def evenly(n_items: int, n_chosen: int) -> list[int]:
    """Return `n_chosen` indices spread evenly over ``range(n_items)``: ⌊(j + ½) n_items/n_chosen⌋."""
    return [(2 * j + 1) * n_items // (2 * n_chosen) for j in range(n_chosen)]


def select_frames(n_pool: int) -> tuple[list[int], list[int]]:
    """Return the indices of the training and of the validation frames in a pool of `n_pool`.

    For the full pool of 4500 these are the 471 frames of the smallest of three nested training
    sets (1886, every second of those, every second again) and 200 frames of a validation set of
    2000 that is disjoint from the largest one; smaller pools are split in the same proportions.
    """
    largest = evenly(n_pool, round(n_pool * 1886 / 4500))
    taken = set(largest)
    rest = [index for index in range(n_pool) if index not in taken]
    held_out = [rest[j] for j in evenly(len(rest), round(len(rest) * 2000 / 2614))][1::4]
    training = largest[2::4]
    validation = [held_out[j] for j in evenly(len(held_out), round(len(held_out) * 200 / 500))]
    if not (training and validation):
        raise InputError(
            "too few frames for a training and a validation set", value=n_pool, expected="at least 24 in all runs"
        )
    return training, validation


# --- labels ---------------------------------------------------------------------------------


def _require_tblite() -> Any:
    try:
        import tblite.interface
    except ImportError:
        raise TaylorfitError(
            "tblite is not installed (needed only to make this data set): pip install taylorfit[example-data]"
        ) from None
    return tblite.interface


def _single_point(symbols: Sequence[str], positions: np.ndarray, unpaired: int = 0) -> tuple[float, np.ndarray]:
    """Return energy (eV) and forces (eV/Å) of neutral atoms at `positions` (Å)."""
    interface = _require_tblite()
    numbers = np.array([ATOMIC_NUMBERS[symbol] for symbol in symbols])
    calculator = interface.Calculator(METHOD, numbers, np.asarray(positions) / BOHR, charge=0, uhf=unpaired)
    calculator.set("verbosity", 0)
    calculator.set("accuracy", LABEL_ACCURACY)
    result = calculator.singlepoint()
    return float(result["energy"]) * HARTREE, -np.asarray(result["gradient"]) * (HARTREE / BOHR)


def label(structure: Structure) -> Structure:
    """Return `structure` with its GFN1-xTB energy and forces, computed afresh and without the wall.

    The energy is the electronic free energy at tblite's 300 K, with which the forces agree.
    """
    energy, forces = _single_point(structure.symbols, structure.positions)
    return replace(structure, energy=round(energy, DECIMALS), forces=np.round(forces, DECIMALS))


def free_atom_energy(symbol: str) -> float:
    """Return the GFN1-xTB energy of a free atom, eV: the TYPES block of generate.in.

    GFN1-xTB has no spin polarisation, so that the multiplicity only sets the occupation.
    """
    return _single_point([symbol], np.zeros((1, 3)), FREE_ATOM_MULTIPLICITY[symbol] - 1)[0]


# --- dynamics -------------------------------------------------------------------------------


def start_positions(generator: np.random.Generator) -> np.ndarray:
    """Return (18, 3) positions, Å: molecules turned at random on the corners of a triangular prism."""
    radius = PRISM_EDGE / np.sqrt(3.0)
    angles = 2.0 * np.pi * np.arange(3) / 3.0
    triangle = np.stack([radius * np.cos(angles), radius * np.sin(angles), np.zeros(3)], axis=1)
    half_height = np.array([0.0, 0.0, PRISM_EDGE / 2.0])
    oxygens = np.concatenate([triangle - half_height, triangle + half_height])
    x, y = OH_LENGTH * np.sin(HOH_ANGLE / 2.0), OH_LENGTH * np.cos(HOH_ANGLE / 2.0)
    molecule = np.array([[0.0, 0.0, 0.0], [x, y, 0.0], [-x, y, 0.0]])
    return np.concatenate([oxygen + molecule @ _random_rotation(generator).T for oxygen in oxygens])


def _random_rotation(generator: np.random.Generator) -> np.ndarray:
    """Return a rotation matrix, uniformly distributed: that of a random unit quaternion."""
    q = generator.standard_normal(4)
    a, b, c, d = q / np.linalg.norm(q)
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a - b * b + c * c - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a - b * b - c * c + d * d],
        ]
    )


def wall(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Return energy (eV) and forces (eV/Å) of the wall, V = Σ_i k/2 max(0, |r_i| - R)²."""
    distance = np.linalg.norm(positions, axis=1)
    excess = np.maximum(0.0, distance - WALL_RADIUS)
    energy = 0.5 * WALL_STIFFNESS * float(excess @ excess)
    # Inside the wall the excess is zero; the lower bound only keeps an atom at the centre from 0/0.
    direction = positions / np.maximum(distance, WALL_RADIUS)[:, None]
    return energy, -WALL_STIFFNESS * excess[:, None] * direction


def _attach_calculator(atoms: Atoms) -> None:
    """Give `atoms` a fresh GFN1-xTB calculator with the wall added."""
    from ase.calculators.calculator import Calculator, all_changes
    from ase.calculators.mixing import SumCalculator

    _require_tblite()
    from tblite.ase import TBLite

    class Wall(Calculator):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012 - as in the base class

        def calculate(
            self,
            atoms: Any = None,
            properties: Sequence[str] = ("energy",),
            system_changes: Sequence[str] = all_changes,
        ) -> None:
            super().calculate(atoms, properties, system_changes)
            energy, forces = wall(atoms.get_positions())
            self.results = {"energy": energy, "forces": forces}

    atoms.calc = SumCalculator([TBLite(method=METHOD, accuracy=MD_ACCURACY, verbosity=0), Wall()])


@dataclass(frozen=True)
class Segment:
    """A stretch of a run: its frames, and all that is needed to go on from its end."""

    step: int
    """Steps done at its end, equilibration included."""
    positions: list[list[float]]
    """(18, 3) Å"""
    velocities: list[list[float]]
    """(18, 3) in ASE's unit"""
    generator: Mapping[str, Any]
    """State of the random numbers."""
    frames: list[list[list[float]]]
    """(n_frame, 18, 3) Å"""


def prepare_run(run: Run) -> Segment:
    """Return the start of `run`: roughly relaxed, with velocities of its temperature."""
    from ase import Atoms, units
    from ase.optimize import FIRE

    generator = np.random.default_rng(run.seed)
    atoms = Atoms(SYMBOLS, start_positions(generator))
    _attach_calculator(atoms)
    FIRE(atoms, logfile=None).run(fmax=0.3, steps=60)
    sigma = np.sqrt(units.kB * run.temperature / atoms.get_masses())
    velocities = sigma[:, None] * generator.standard_normal((len(atoms), 3))
    return Segment(0, atoms.get_positions().tolist(), velocities.tolist(), generator.bit_generator.state, [])


def continue_run(run: Run, segment: Segment, settings: Settings) -> Segment:
    """Return the segment that follows `segment`.

    Each starts with a new calculator: tblite begins from its last density, which a resumed
    run does not have.
    """
    from ase import Atoms, units
    from ase.md.langevin import Langevin

    generator = np.random.default_rng()
    generator.bit_generator.state = segment.generator
    atoms = Atoms(SYMBOLS, np.array(segment.positions))
    atoms.set_velocities(np.array(segment.velocities))
    _attach_calculator(atoms)
    dynamics = Langevin(
        atoms,
        TIMESTEP_FS * units.fs,
        temperature_K=run.temperature,
        friction=FRICTION_PER_FS / units.fs,
        # Fixing the centre of mass this way heats 18 atoms from 300 to 354 K; the wall holds them.
        fixcm=False,
        rng=generator,
    )
    end = min(segment.step + SEGMENT_STEPS, settings.equilibration + settings.steps)
    frames = []
    for step in range(segment.step + 1, end + 1):
        dynamics.run(1)
        after = step - settings.equilibration
        if after > 0 and after % FRAME_STEPS == 0:
            frames.append(atoms.get_positions().tolist())
    return Segment(
        end, atoms.get_positions().tolist(), atoms.get_velocities().tolist(), generator.bit_generator.state, frames
    )


def run_dynamics(run: Run, settings: Settings, folder: Path) -> np.ndarray:
    """Return the (n_frame, 18, 3) frames of `run`, Å; what `folder` holds already is not repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    total = settings.equilibration + settings.steps
    began = time.monotonic()
    first: int | None = None
    segment: Segment | None = None
    frames: list[list[list[float]]] = []
    number = 0
    while segment is None or segment.step < total:
        path = folder / f"segment_{number:04d}.json"
        if path.exists():
            segment = _read_segment(path)
        else:
            first = (segment.step if segment else 0) if first is None else first
            try:
                segment = prepare_run(run) if segment is None else continue_run(run, segment, settings)
            except RuntimeError as error:
                raise TaylorfitError(f"run {run.name} failed in {path.name}: {error}") from error
            with atomic_write(path) as file:
                json.dump(asdict(segment), file)
            done, elapsed = segment.step - first, time.monotonic() - began
            left = f", {elapsed / done * (total - segment.step) / 60.0:.1f} min left" if done else ""
            print(f"run {run.name}: step {segment.step} of {total}{left}", flush=True)
        frames += segment.frames
        number += 1
    return np.array(frames)


def _read_segment(path: Path) -> Segment:
    try:
        return Segment(**json.loads(path.read_text()))
    except (ValueError, TypeError):
        raise InputError(
            "not a segment of a run", file=path, expected="what this program wrote; delete it and later ones"
        ) from None


# --- files ----------------------------------------------------------------------------------


def pack_archive(files: Mapping[str, bytes], path: Path) -> None:
    """Write a .tar.xz that depends on names and content alone: sorted, no owner, no date."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    with atomic_write(path, "wb") as file:
        file.write(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def write_set(frames: Iterable[tuple[str, np.ndarray]], folder: Path, archive: Path) -> None:
    """Label (name, positions) pairs, write them to `folder` as XSF, and pack the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {}
    for name, positions in frames:
        path = folder / f"{name}.xsf"
        try:
            structure = label(Structure(SYMBOLS, np.round(positions, DECIMALS), name=name))
        except RuntimeError as error:
            raise TaylorfitError(f"no energy for frame {name}: {error}") from error
        write_xsf(path, structure)
        files[f"{folder.name}/{path.name}"] = path.read_bytes()
    pack_archive(files, archive)
    print(f"{archive}: {len(files)} structures, {archive.stat().st_size / 1000:.0f} kB", flush=True)


def make_data(settings: Settings, output: Path) -> None:
    """Run the dynamics, then write `train.tar.xz` and `validation.tar.xz` to `output`."""
    _require_tblite()  # now, not after the first files
    training, validation = select_frames(len(settings.runs) * settings.frames_per_run)
    output.mkdir(parents=True, exist_ok=True)
    _keep_settings(settings, output / "settings.json")
    pool = np.concatenate([run_dynamics(run, settings, output / "runs" / run.name) for run in settings.runs])
    names = settings.frame_names()

    def chosen(indices: Iterable[int]) -> Iterator[tuple[str, np.ndarray]]:
        return ((names[index], pool[index]) for index in indices)

    write_set(chosen(training), output / "xsf", output / "train.tar.xz")
    write_set(chosen(validation), output / "validation", output / "validation.tar.xz")
    for symbol in ("O", "H"):
        print(f"free {symbol} atom: {free_atom_energy(symbol):.{DECIMALS}f} eV")


def _keep_settings(settings: Settings, path: Path) -> None:
    """Write the settings, or refuse if the folder was begun with others."""
    text = json.dumps(asdict(settings), indent=1)
    if not path.exists():
        with atomic_write(path) as file:
            file.write(text)
    elif path.read_text() != text:
        raise InputError(
            "the folder was begun with other settings", file=path, expected="the same ones, or another --output"
        )


def _parser() -> argparse.ArgumentParser:
    standard = Settings()
    parser = argparse.ArgumentParser(
        description="Make the water-cluster data anew: (H2O)6, GFN1-xTB (needs tblite: "
        "pip install taylorfit[example-data]). The full set takes about half an hour on one core; "
        "started again, it goes on where it was stopped."
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for runs and archives")
    parser.add_argument(
        "--steps",
        type=int,
        default=standard.steps,
        metavar="N",
        help=f"steps of {TIMESTEP_FS} fs in each of the three runs (default {standard.steps}); "
        f"one frame each {FRAME_STEPS}",
    )
    parser.add_argument(
        "--equilibration",
        type=int,
        default=standard.equilibration,
        metavar="N",
        help=f"steps before those (default {standard.equilibration})",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs=3,
        default=[run.seed for run in standard.runs],
        metavar="SEED",
        help="one for each run (default %(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = _parser().parse_args(argv)
    # 18 atoms do not gain from threads.  Before tblite is loaded, or it is not seen.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        runs = tuple(replace(run, seed=seed) for run, seed in zip(Settings().runs, arguments.seeds, strict=True))
        make_data(Settings(runs, arguments.steps, arguments.equilibration), arguments.output)
    except TaylorfitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return TaylorfitError.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
