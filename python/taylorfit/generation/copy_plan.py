"""From the options of DERIVATIVES and the data to a plan of Taylor copies, with its reasons and expected errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data.curvature import Curvature
from ..errors import InputError
from ..model.structure import Structure
from ..settings.displacements import DEFAULT_RATIO, DEFAULT_STRAIN, TaylorOptions
from ..taylor.copies import CopySource, DisplacedCopies, StrainedCopies
from ..taylor.displacements import (
    AntitheticDisplacements,
    CartesianDisplacements,
    DisplacementPlan,
    DisplacementStrategy,
    RandomDisplacements,
)
from ..taylor.expansion import Expansion
from ..taylor.modes import HessianSource, ModeDisplacements
from ..taylor.orthogonal import OrthogonalDisplacements
from ..taylor.selection import SelectionRules, count_skipped, select_all
from ..taylor.strain import NEAR_ZERO_STRESS, StrainDisplacements, StrainPlan, select_for_strain
from ..taylor.truncation import Forecast, balanced_deltas, forecast
from .force_constants import mean_force_constants
from .hessians import FiniteDifferenceHessians, StoredHessians, load_potential

LARGE_DELTA = 0.3
"""Displacements (Å) beyond this are no small step any more: a warning."""
LARGEST_PART = 0.02
"""`delta=auto` goes up to this part of a species' shortest distance: about twice the published rule of thumb (1 to
1.5 %); further out third orders, which the estimate does not know, are no longer small."""

_KINDS: dict[str, type[DisplacementStrategy]] = {
    kind.name: kind
    for kind in (
        RandomDisplacements,
        CartesianDisplacements,
        OrthogonalDisplacements,
        AntitheticDisplacements,
        ModeDisplacements,
    )
}
_LETTERS = {"random": "random (B)", "cartesian": "cartesian (A)"}


@dataclass(frozen=True, eq=False)
class PlannedCopies:
    """What is going to be made, before it is."""

    source: CopySource
    n_copies: int
    n_without_copies: int
    skipped: dict[str, int]
    """Reason → number of structures without copies for it."""
    lines: tuple[str, ...]
    """What to tell."""
    report: dict[str, Any] = field(default_factory=dict)
    """delta (species → Å), curvature, curvature_source, and the forecast in meV/atom; see `commands.generate`."""


def plan_copies(
    structures: Sequence[Structure], options: TaylorOptions, shortest: Mapping[str, float], threads: int = 0
) -> PlannedCopies:
    """Choose atoms, displacements and second-order energies.

    Parameters
    ----------
    shortest
        Shortest distance of each pair of species ("H-O"), Å, for `delta=auto`.

    Raises
    ------
    InputError
        if an option does not fit the data, or something that an option needs is missing.
    """
    if options.strategy == "strain":
        return _plan_strains(structures, options)
    unknown = sorted(set(options.delta_species) - {symbol for s in structures for symbol in s.symbols})
    if unknown:
        raise InputError("delta_<species> for a species that does not occur", value=" ".join(unknown))
    rules = SelectionRules(
        species=options.species,
        atoms=options.atoms,
        force_min=options.forcemin,
        force_max=options.forcemax,
        **({} if options.skip is None else {"stationary_force": options.skip}),
    )
    selections = select_all(structures, rules)
    chosen = [s for s, selection in enumerate(selections) if selection.reason is None]
    hessians = _hessians(structures, chosen, options, threads)
    lines: list[str] = []
    curvature = None
    if _needs_curvature(options) and chosen:
        curvature = mean_force_constants(
            structures,
            curvature=options.curvature,
            temperature=options.temperature,
            potential=options.potential,
            seed=options.seed,
            threads=threads,
            required=True,
        )
    if curvature is not None:
        lines.append(f"mean force constants: {curvature.text}")

    left = "first order" if options.curvature is None else "corrected"

    def planned(deltas: Mapping[str, float]) -> DisplacementPlan:
        return strategy_of(options, deltas, hessians).plan(selections)

    deltas = {symbol: options.delta_of(symbol) for symbol in sorted({s for c in chosen for s in structures[c].symbols})}
    if None in deltas.values() and curvature is not None:
        found, reasons = choose_deltas(structures, planned, curvature, shortest, options.ratio or DEFAULT_RATIO, left)
        deltas = {symbol: found[symbol] if delta is None else delta for symbol, delta in deltas.items()}
        lines += reasons
    plan = planned({symbol: delta for symbol, delta in deltas.items() if delta is not None})
    lines += [
        f"warning: displacements of up to {delta:g} Å are far beyond first order (typical: 0.005 to 0.04 Å)"
        for delta in sorted({delta for delta in deltas.values() if delta and delta > LARGE_DELTA})
    ]
    expected = None
    if curvature is not None:
        expected = forecast(structures, plan, curvature.constants)
    weighing = curvature.constants if curvature is not None and options.weights == "truncation" else None
    expansion = Expansion(
        curvature=curvature.constants if left == "corrected" and curvature is not None else {},
        hessians=hessians if options.order == 2 else None,
    )
    report: dict[str, Any] = {"delta": deltas}
    if curvature is not None:
        report |= {"curvature": dict(curvature.constants), "curvature_source": curvature.source}
    if expected is not None:
        lines += forecast_lines(expected, left)
        report["forecast"] = forecast_report(expected, left)
    return _result(DisplacedCopies(plan, expansion, weighing), plan, options, _headline(options, deltas), lines, report)


def _needs_curvature(options: TaylorOptions) -> bool:
    """Whether a mean curvature is asked for, or something given that it follows from."""
    from_potential = options.potential is not None and options.order == 1 and options.strategy != "modes"
    return (
        options.curvature is not None
        or options.delta is None
        or options.weights != "none"
        or options.temperature is not None
        or from_potential
    )


def choose_deltas(
    structures: Sequence[Structure],
    planned: Callable[[Mapping[str, float]], DisplacementPlan],
    curvature: Curvature,
    shortest: Mapping[str, float],
    ratio: float,
    left: str,
) -> tuple[dict[str, float], list[str]]:
    """Return δ_max of each species, Å, and the reasons.

    The ratio of truncation error to signal decides, up to `LARGEST_PART` of a species' shortest distance.

    Raises
    ------
    InputError
        if there is nothing to choose by.
    """
    deltas = balanced_deltas(structures, planned, curvature.constants, ratio, left)
    if deltas is None:
        raise InputError("delta=auto finds no forces to choose by", expected="delta= in Å")
    reasons = [f"delta: {lengths(deltas)} for a truncation error ({left}) of {ratio:g} of the signal, ∝ 1/√k"]
    for symbol, delta in deltas.items():
        distances = [r for pair, r in shortest.items() if symbol in pair.split("-")]
        most = LARGEST_PART * min(distances, default=np.inf)
        if delta > most:
            deltas[symbol] = most
            reasons.append(
                f"delta of {symbol}: at most {100 * LARGEST_PART:g} % of its shortest distance "
                f"({min(distances):.3g} Å) instead"
            )
    # Three digits are more than is known
    return {symbol: float(f"{delta:.3g}") for symbol, delta in deltas.items()}, reasons


def lengths(deltas: Mapping[str, float]) -> str:
    """Lengths of the species in one line, Å."""
    return ", ".join(f"{symbol} {delta:.3g} Å" for symbol, delta in deltas.items())


def forecast_lines(expected: Forecast, left: str) -> list[str]:
    """Return expected errors in words; `left` is a key of `taylor.truncation.LEFT`."""
    shown = forecast_report(expected, left)
    bias = f"bias {shown['bias']:.3g} meV/atom" + (", taken out by the correction" if left == "corrected" else "")
    return [
        f"signal (rms of δ·F): {shown['signal']:.3g} meV/atom",
        f"expected truncation error: {bias}; scatter about {shown['scatter']:.2g} meV/atom; "
        f"rms {shown['error']:.3g} meV/atom, {shown['ratio']:.2g} of the signal",
    ]


def forecast_report(expected: Forecast, left: str) -> dict[str, Any]:
    """Return the forecast for JSON, meV/atom."""
    scatter = expected.error("corrected" if left == "corrected" else "centred")
    return {
        "left": left,
        "signal": 1e3 * expected.signal,
        "bias": 1e3 * expected.bias,
        "scatter": 1e3 * scatter,
        "error": 1e3 * expected.error(left),
        "ratio": expected.ratio(left),
    }


def _headline(options: TaylorOptions, deltas: Mapping[str, float | None]) -> str:
    """Strategy and displacements in words."""
    common = options.delta
    others = {symbol: delta for symbol, delta in deltas.items() if delta is not None and delta != common}
    bounds = ([] if common is None else [f"{common:g} Å"]) + ([lengths(others)] if others else [])
    extras = ["without rotations"] if options.removes_rotations else []
    extras += ["second order"] if options.order == 2 else []
    extras += ["weighted"] if options.weights != "none" else []
    return (
        f"strategy {_LETTERS.get(options.strategy, options.strategy)}, up to {', '.join(bounds) or 'nothing'}"
        + "".join(f", {extra}" for extra in extras)
    )


def _result(
    source: CopySource,
    plan: DisplacementPlan | StrainPlan,
    options: TaylorOptions,
    headline: str,
    lines: Sequence[str],
    report: dict[str, Any],
) -> PlannedCopies:
    skipped = {reason.value: n for reason, n in count_skipped(plan.selections).items() if n}
    n_with = int((plan.n_copies > 0).sum())
    told = [f"Taylor copies: {headline}, seed {options.seed}: {plan.total} copies of {n_with} structures"]
    if plan.n_wanted > options.n_max:
        told.append(f"  N_max={options.n_max} caps the number of copies ({plan.n_wanted} wanted)")
    elif plan.total < plan.n_wanted:
        told.append(f"  there are no more independent displacements ({plan.n_wanted} copies wanted)")
    told += [f"  {n} structure{'s get' if n > 1 else ' gets'} no copies: {reason}" for reason, n in skipped.items()]
    told += [line if line.startswith("warning") else f"  {line}" for line in lines]
    return PlannedCopies(source, plan.total, len(plan.n_copies) - n_with, skipped, tuple(told), report)


def _plan_strains(structures: Sequence[Structure], options: TaylorOptions) -> PlannedCopies:
    near_zero = NEAR_ZERO_STRESS if options.skip is None else options.skip
    selections = [select_for_strain(structure, options.forcemax, near_zero) for structure in structures]
    strain = DEFAULT_STRAIN if options.strain is None else options.strain
    plan = StrainDisplacements(strain, options.fraction, options.n_max, options.seed).plan(selections)
    source = StrainedCopies(plan)
    chosen = np.flatnonzero(plan.n_copies)
    lines, report = [], {"strain": strain}
    if len(chosen):
        changes = [source.of(s, structures[s]).energy_changes / structures[s].n_atoms for s in chosen.tolist()[:100]]
        signal = float(np.sqrt((np.concatenate(changes) ** 2).mean()))
        lines.append(f"signal of the stress: {1e3 * signal:.3g} meV/atom (rms of V σ:ε)")
        report["signal"] = 1e3 * signal
    return _result(source, plan, options, f"strategy strain, up to {strain:g}", lines, report)


def strategy_of(
    options: TaylorOptions, deltas: Mapping[str, float], hessians: HessianSource | None = None
) -> DisplacementStrategy:
    """Return the displacement strategy that the options describe; `deltas`: δ_max of species, Å, chosen or given."""
    common = options.delta if options.delta is not None else max(deltas.values(), default=0.01)
    extra = {"hessians": hessians, "amplitude": options.amplitude or "bound"} if options.strategy == "modes" else {}
    return _KINDS[options.strategy](
        delta=common,
        n_copies=options.fraction,
        max_copies=options.n_max,
        species_delta={symbol: delta for symbol, delta in deltas.items() if delta != common},
        seed=options.seed,
        remove_rotations=options.removes_rotations,
        **extra,
    )


def _hessians(
    structures: Sequence[Structure], needed: Sequence[int], options: TaylorOptions, threads: int
) -> HessianSource | None:
    if options.strategy != "modes" and options.order == 1:
        return None
    if options.hessian is not None:
        path = Path(options.hessian)
        if not path.exists():
            raise InputError("no such file or folder", value=options.hessian, expected="hessian= of Hessians in eV/Å²")
        return StoredHessians(path, structures, needed)
    return FiniteDifferenceHessians(load_potential(options.potential or (), structures), structures, threads)
