"""Displacements, copies and strategy for a data set, with the reasons and the expected errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..data.choose import DELTA_FRACTION
from ..data.curvature import Curvature
from ..errors import InputError
from ..model.structure import Structure
from ..settings.displacements import DEFAULT_RATIO, TaylorOptions
from ..taylor.displacements import DisplacementPlan
from ..taylor.selection import AtomSelection, select_all
from ..taylor.truncation import Forecast, forecast
from .copy_plan import choose_deltas, strategy_of

COPIES = 24
"""Copies per structure: the published learning curves are flat from 22 (clusters) and 24 (bulk) on."""
NEARLY_ORTHOGONAL = 0.05
"""Random vectors that are so small a part of all directions repeat hardly anything."""
CENTRED_RATIO = 0.15
"""Truncation error over signal for the group-centred loss, whose weight of the forces does not depend on δ: a small δ
costs nothing there.  At the published δ (0.008 Å for water clusters) it is about this."""
RULE_OF_THUMB = (0.010, 0.015)
"""δ_max over the shortest bond: common practice with strategy B."""
MODES = {"centred": "centred", "taylor": "corrected"}
"""Kind of training → what is left of the truncation error with the displacements that are suggested for it."""


@dataclass(frozen=True, eq=False)
class Alternative:
    """Displacements for one kind of training."""

    title: str
    left: str
    """What is left of the truncation error, a key of `taylor.truncation.LEFT`."""
    deltas: dict[str, float]
    """δ_max of each species, Å."""
    expected: Forecast
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Suggestion:
    """What to put into generate.in, and why."""

    options: TaylorOptions
    reasons: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    """Empty without mean force constants."""


def suggest(
    structures: Sequence[Structure],
    curvature: Curvature | None,
    shortest: Mapping[str, float],
    mode: str = "centred",
    outfile: str | None = None,
) -> Suggestion:
    """Choose δ_max per species, the number of copies and the strategy.

    Parameters
    ----------
    curvature
        Mean force constants; None: δ follows from the shortest distance alone.
    shortest
        Shortest distance of each pair of species ("H-O"), Å.
    mode
        A key of `MODES`: how the copies are going to be trained on.
    outfile
        Training-set file for the copies.

    Raises
    ------
    InputError
        if no structure can be displaced.
    """
    selections = select_all(structures)
    can_move = [pair for pair in zip(structures, selections) if pair[1].reason is None]
    if not can_move:
        raise InputError("no structure can have copies", expected="structures with forces that are not all near zero")
    is_isolated = not any(any(structure.pbc) for structure, _ in can_move)
    base = TaylorOptions(rotations="remove" if is_isolated else None, fraction=float(COPIES))
    directions = min(strategy_of(base, {}).n_directions(selection) for _, selection in can_move)
    copies = min(COPIES, directions)
    is_sparse = copies < NEARLY_ORTHOGONAL * directions
    strategy = "random" if is_sparse else "orthogonal"
    base = TaylorOptions(
        strategy=strategy,
        rotations=base.rotations,
        fraction=float(copies),
        outfile=outfile,
        n_max=max(TaylorOptions.n_max, copies * len(can_move)),
    )
    reasons = [
        f"{copies} copies per structure: "
        + (
            f"more than {COPIES} gave no better forces in the published tests"
            if copies == COPIES
            else "one for each independent displacement"
        ),
        f"strategy {strategy}: "
        + (
            f"{copies} random vectors of {directions} dimensions are nearly orthogonal anyway"
            if is_sparse
            else f"no two copies measure the same component of the forces ({copies} of {directions})"
        ),
    ]
    if is_isolated:
        reasons.append("rotations=remove: the structures are isolated, and turning them tells nothing")
    if curvature is None:
        delta = float(f"{DELTA_FRACTION * min(shortest.values(), default=1.0):.2g}")
        reasons.append(
            f"delta {delta:g} Å: {100 * DELTA_FRACTION:g} % of the shortest distance; truncation errors cannot "
            "be estimated (give --temperature, --potential or --curvature)"
        )
        return Suggestion(replace(base, delta=delta), tuple(reasons), ())
    alternatives = _alternatives(structures, selections, base, curvature, shortest)
    best = next(a for a in alternatives if a.left == MODES[mode])
    reasons += best.reasons
    options = replace(
        base,
        delta=max(best.deltas.values()),
        delta_species=_others(best.deltas),
        curvature=_rounded(curvature.constants) if best.left == "corrected" else None,
    )
    if best.left == "centred":
        reasons.append(
            "FORCES mode=centred in train.in: the common bias of a structure's copies drops out, and the weight "
            "of the forces does not depend on delta"
        )
    else:
        reasons.append("curvature=: without it the bias would decide, and delta would have to be smaller")
    return Suggestion(options, tuple(reasons), alternatives)


def _alternatives(
    structures: Sequence[Structure],
    selections: Sequence[AtomSelection],
    base: TaylorOptions,
    curvature: Curvature,
    shortest: Mapping[str, float],
) -> tuple[Alternative, ...]:
    def planned(deltas: Mapping[str, float]) -> DisplacementPlan:
        options = replace(base, delta=max(deltas.values()), delta_species=_others(deltas))
        return strategy_of(options, deltas).plan(selections)

    found = []
    for title, left, ratio in (
        ("group-centred training", "centred", CENTRED_RATIO),
        ("plain Taylor training, corrected", "corrected", DEFAULT_RATIO),
        ("plain Taylor training", "first order", DEFAULT_RATIO),
    ):
        deltas, reasons = choose_deltas(structures, planned, curvature, shortest, ratio, left)
        expected = forecast(structures, planned(deltas), curvature.constants)
        assert expected is not None  # some structures can move, and those get copies
        found.append(Alternative(title, left, deltas, expected, tuple(reasons)))
    return tuple(found)


def _others(deltas: Mapping[str, float]) -> dict[str, float]:
    """The species whose δ_max is not the largest one."""
    return {symbol: delta for symbol, delta in deltas.items() if delta != max(deltas.values())}


def _rounded(constants: Mapping[str, float]) -> dict[str, float]:
    return {symbol: float(f"{k:.4g}") for symbol, k in constants.items()}


def force_statistics(structures: Sequence[Structure]) -> dict[str, dict[str, float]]:
    """Return of each species the rms force component and the largest |F|, eV/Å."""
    squares: dict[str, list[np.ndarray]] = {}
    for structure in structures:
        if structure.forces is None:
            continue
        symbols = np.array(structure.symbols)
        for symbol in set(structure.symbols):
            squares.setdefault(symbol, []).append((structure.forces[symbols == symbol] ** 2).sum(axis=1))
    merged = {symbol: np.concatenate(parts) for symbol, parts in sorted(squares.items())}
    return {
        symbol: {"rms": float(np.sqrt(values.mean() / 3.0)), "largest": float(np.sqrt(values.max()))}
        for symbol, values in merged.items()
    }
