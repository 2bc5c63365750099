"""The Lennard-Jones dimer of Cooper et al. 2020, section III A and figure 2."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from datasets import TRAINING, VALIDATION
from drawings import dimer_panels, save_figures
from facts import Fact
from results import NOTHING, claims_section, results_of
from study import Step, Study, generate_step, main, train_step
from taylorfit.analysis.lennard_jones import DISPLACEMENT, POINTS, DimerCurve, LennardJones, potential_curve
from taylorfit.errors import InputError
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.model.provenance import copy_name
from taylorfit.model.structure import Structure
from taylorfit.plotting import dimer
from taylorfit.potential.potential import Potential
from taylorfit.reporting.document import Document, Section
from taylorfit.reporting.training_page import picture
from taylorfit.settings.train import TrainInput
from taylorfit.tools.tables import Table

SYMBOL = "C"
MODES = {
    "energy": "energies alone",
    "taylor": "Taylor (the paper)",
    "centred": "Taylor, centred",
    "directional": "directional",
    "exact": "exact forces",
}
"""Mode → title."""
DRAWN = ("energy", "taylor", "exact")
RANGE = 1.35, 2.8
"""Distances over which deviations are measured, Å: the points and a little of the wall."""
WITHIN = 1.4, 2.8
"""Those between the points, Å."""
STEP = 0.005
"""Å"""


@dataclass(frozen=True)
class DimerNumbers:
    """The curve in numbers."""

    r_min: float
    """Distance of the deepest minimum, Å."""
    depth: float
    """Energy there relative to the isolated atoms, negative, eV."""
    curvature: float
    """Second derivative there, eV/Å²."""
    rms: float
    """Root mean square deviation from the exact energy, eV."""
    largest: float
    """Largest deviation, eV."""


Member = tuple[DimerCurve, DimerNumbers, DimerNumbers]
"""Curve of a potential, its numbers over `RANGE` and over `WITHIN`."""
Members = dict[str, list[Member]]
"""Mode → members, smallest RMS deviation over `RANGE` first."""


def place(data: Path | None) -> None:
    """Write the seven points, their Taylor copies, and dimers to check against."""
    if data is not None:
        raise InputError("this study is analytic and takes no data", value=data, expected="no --data")
    exact = LennardJones()
    for folder in (TRAINING, VALIDATION):
        Path(folder).mkdir(exist_ok=True)
    distances, energies = exact.taylor_points(np.array(POINTS), DISPLACEMENT)
    for number, point in enumerate(POINTS):
        parent = f"{TRAINING}/{number + 1}.xsf"
        _write(parent, exact.dimer(point, SYMBOL))
        for copy, axis in enumerate("-+"):
            at = 2 * number + copy
            positions = np.array([[0.0, 0.0, 0.0], [distances[at], 0.0, 0.0]])
            _write(
                copy_name(parent, "cartesian", copy, DISPLACEMENT, f"2{axis}x"),
                Structure((SYMBOL, SYMBOL), positions, energy=float(energies[at])),
            )
    for number, distance in enumerate(grid(0.05)):
        _write(f"{VALIDATION}/{number:02d}.xsf", exact.dimer(float(distance), SYMBOL))


def _write(name: str, structure: Structure) -> None:
    if not Path(name).exists():
        write_xsf(name, structure)


def grid(step: float) -> np.ndarray:
    """Distances over `RANGE`, Å."""
    low, high = RANGE
    return np.linspace(low, high, round((high - low) / step) + 1)


def steps(scale: str) -> list[Step]:
    """Training sets, then a committee for each mode; quick and full are the same, for all takes seconds."""
    return [
        generate_step("generate.in"),
        generate_step("generate-copies.in"),
        *(train_step(f"train-{mode}.in") for mode in MODES),
    ]


def members() -> Members:
    """Curves of all potentials that are there."""
    exact, r = LennardJones(), grid(STEP)
    found: Members = {}
    for mode in MODES:
        if not Path(f"train-{mode}.in").exists():
            continue
        settings = TrainInput.read(f"train-{mode}.in")
        files = sorted(Path(settings.committee.folder).glob(f"[0-9]*/{settings.networks[0].file}"))
        curves = [potential_curve(Potential.load([file]), MODES[mode], r) for file in files]
        known = [(curve, dimer_numbers(curve, exact, *RANGE), dimer_numbers(curve, exact, *WITHIN)) for curve in curves]
        if known:
            found[mode] = sorted(known, key=lambda member: member[1].rms)
    return found


def dimer_numbers(curve: DimerCurve, exact: LennardJones, low: float, high: float) -> DimerNumbers:
    """Minimum, curvature and deviations of a curve between two distances, Å.

    The minimum is refined by the force: it lies where the force, linear between the grid points, is zero.  The
    curvature is the slope of the force there, by central differences of neighbouring grid points.
    """
    inside = (curve.r >= low - 1e-9) & (curve.r <= high + 1e-9)
    r, energy, force = curve.r[inside], curve.energy[inside], curve.force[inside]
    lowest = int(energy.argmin())
    slope = -np.gradient(force, r)
    # At an end of the range there is no minimum to refine
    step = force[lowest] / slope[lowest] if 0 < lowest < len(r) - 1 and slope[lowest] > 0.0 else 0.0
    deviation = np.abs(energy - exact.energy(r))
    return DimerNumbers(
        r_min=float(r[lowest] + step),
        depth=float(energy[lowest] - 0.5 * force[lowest] * step),
        curvature=float(np.interp(r[lowest] + step, r, slope)),
        rms=float(np.sqrt((deviation**2).mean())),
        largest=float(deviation.max()),
    )


def median_member(known: list[Member]) -> Member:
    """The member of median RMS deviation (of an even number the better one in the middle)."""
    return known[(len(known) - 1) // 2]


def exact_curvature(exact: LennardJones) -> float:
    """V″(r0), eV/Å²."""
    return 72.0 * exact.epsilon / exact.r0**2


def numbers_table(found: Members) -> Table:
    """Minimum, curvature and deviations: the best member of each mode and the median one."""
    exact = LennardJones()
    curvature = exact_curvature(exact)
    lines = [("exact", "", f"{exact.r0:.3f}", f"{-exact.epsilon:.3f}", f"{curvature:.1f}", *4 * ("0",))]
    for mode, known in found.items():
        for which, (_, over, within) in (("best", known[0]), ("median", median_member(known))):
            lines.append(
                (
                    MODES[mode],
                    f"{which} of {len(known)}",
                    f"{over.r_min:.3f}",
                    f"{over.depth:.3f}",
                    f"{over.curvature:.1f}",
                    f"{over.rms:.3f}",
                    f"{over.largest:.3f}",
                    f"{within.rms:.3f}",
                    f"{within.largest:.3f}",
                )
            )
    ranges = [f"{low} to {high} Å" for low, high in (RANGE, WITHIN)]
    return Table(
        (
            "training",
            "seed",
            "minimum, Å",
            "depth, eV",
            "curvature, eV/Å²",
            *(f"{what}, eV, {where}" for where in ranges for what in ("RMS deviation", "largest")),
        ),
        tuple(lines),
        numeric=True,
    )


def facts(found: Members, _: Mapping[str, Fact]) -> dict[str, Fact]:
    """Minimum, depth, curvature and deviation of each network."""
    measures = {
        "minimum": ("Å", lambda one: one.r_min),
        "depth": ("eV", lambda one: -one.depth),
        "curvature": ("eV/Å²", lambda one: one.curvature),
        "RMS": ("eV", lambda one: one.rms),
    }
    return {
        f"{mode}: {name}": Fact(tuple(round(take(numbers), 5) for _, numbers, _ in known), unit)
        for mode, known in found.items()
        for name, (unit, take) in measures.items()
    }


def results(scale: str) -> Document:
    """The page."""
    found = members()
    if not found:
        return Document("Study lj-dimer", (Section("Results", (NOTHING,)),))
    exact = LennardJones()
    panels = {MODES[mode]: [curve for curve, _, _ in found[mode]] for mode in ("energy", "taylor") if mode in found}
    save_figures({"2": dimer_panels(panels, exact, grid(STEP))})
    drawn = [median_member(found[mode])[0] for mode in DRAWN if mode in found]
    return Document(
        "Study lj-dimer",
        (
            Section(
                "Numbers",
                (
                    "Networks 11-5-5-1 (and an input that is always zero), seven points from 1.4 to 2.8 Å, "
                    "all of them trained on. Deviations from the exact energy; members are ordered "
                    f"by their RMS over {RANGE[0]} to {RANGE[1]} Å.",
                    numbers_table(found),
                ),
            ),
            Section(
                "Figure 2",
                (
                    picture(
                        "dimer",
                        dimer.figure(drawn, exact, grid(STEP)),
                        "The median seed of each training; circles: reference points, crosses: Taylor points.",
                    ),
                ),
            ),
            *claims_section(results_of("lj-dimer", scale, partial(facts, found))),
        ),
    )


STUDY = Study("lj-dimer", place, steps, results)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
