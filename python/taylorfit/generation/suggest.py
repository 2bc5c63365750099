"""Displacements, copies and strategy for a data set, with the reasons and the expected errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.choose import DELTA_FRACTION
from ..data.curvature import Curvature
from ..data.survey import survey
from ..errors import InputError
from ..formats.structures.in_memory import Structures, as_structures
from ..model.structure import Structure, species_in
from ..potential.potential import Source
from ..settings.displacements import DEFAULT_RATIO, TaylorOptions
from ..settings.keyword_file import format_options
from ..taylor.displacements import DisplacementPlan
from ..taylor.selection import AtomSelection, select_all
from ..taylor.truncation import Forecast, forecast
from ..tools.progress import progress as show_progress
from .copy_plan import choose_deltas, forecast_report, strategy_of
from .force_constants import mean_force_constants

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
    """Displacements for a data set, and why; see `suggest`."""

    options: TaylorOptions
    """For `displace`, `generate`, and the block DERIVATIVES of generate.in."""
    mode: str
    """The training that they are for, a key of `MODES`."""
    reasons: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    """Empty without mean force constants."""
    n_structures: int
    species: tuple[str, ...]
    forces: dict[str, dict[str, float]]
    """Species → `rms` force component and `largest` norm, eV/Å."""
    shortest: dict[str, float]
    """Shortest distance of each pair of species ("H-O"), Å."""
    curvature: Curvature | None
    """Mean force constants; None where nothing tells them."""

    @property
    def deltas(self) -> dict[str, float | None]:
        """δ_max of each species, Å."""
        return {symbol: self.options.delta_of(symbol) for symbol in self.species}

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `suggest`."""
        return {
            "structures": self.n_structures,
            "forces": self.forces,
            "shortest_distances": self.shortest,
            "curvature": None if self.curvature is None else dict(self.curvature.constants),
            "curvature_source": None if self.curvature is None else self.curvature.source,
            "mode": self.mode,
            "derivatives": format_options(self.options),
            "fraction": self.options.fraction,
            "strategy": self.options.strategy,
            "delta": self.deltas,
            "reasons": list(self.reasons),
            "alternatives": [
                {"title": a.title, "delta": a.deltas, "forecast": forecast_report(a.expected, a.left)}
                for a in self.alternatives
            ],
        }


def suggest(
    structures: Structures,
    *,
    mode: str = "centred",
    curvature: Mapping[str, float] | str | None = None,
    temperature: float | None = None,
    potential: Source | None = None,
    outfile: str | None = None,
    seed: int = 1,
    threads: int = 0,
    progress: bool = False,
) -> Suggestion:
    """Suggest displacements for a data set: δ_max per species, the number of copies and the strategy.

    The size of the second order, which first-order energies neglect, decides how far atoms may move.  It follows from
    mean force constants: given ones, else from the temperature (k = ⟨F_x²⟩/kT), a first potential, or pairs of near
    frames in the data.

    Parameters
    ----------
    structures
        Of taylorfit or ASE, with energies (eV) and forces (eV/Å).
    mode
        How the copies are going to be trained on: `centred` or `taylor`.
    curvature
        Mean force constant of each species, eV/Å²; `auto`: to be found, or an error; None: to be found if possible.
    temperature
        Of the dynamics that all structures come from, K.
    potential
        A first potential, or its files.
    outfile
        Training-set file for the copies, in `Suggestion.options`.
    seed
        Of the random vectors that probe a potential.
    threads
        Threads of the engine; 0: all cores.
    progress
        Show how far it is?

    Raises
    ------
    InputError
        if no structure can be displaced, or force constants are asked for and cannot be found.

    Examples
    --------
    >>> from taylorfit import displace, suggest
    >>> suggestion = suggest(structures, temperature=300.0)                    # doctest: +SKIP
    >>> copies = displace(structures, suggestion.options)                      # doctest: +SKIP
    """
    if mode not in MODES:
        raise InputError("unknown mode of training on copies", value=mode, expected=" or ".join(MODES))
    data = as_structures(structures)
    species = species_in(data)
    with show_progress("survey", len(data), quiet=not progress) as update:
        shortest = {"-".join(pair): r for pair, r in survey(data, species, update).shortest.items()}
    constants = mean_force_constants(
        data, curvature=curvature, temperature=temperature, potential=potential, seed=seed, threads=threads
    )
    options, reasons, alternatives = _choose(data, constants, shortest, mode, outfile)
    forces = force_statistics(data)
    return Suggestion(options, mode, reasons, alternatives, len(data), species, forces, shortest, constants)


def _choose(
    structures: Sequence[Structure],
    curvature: Curvature | None,
    shortest: Mapping[str, float],
    mode: str,
    outfile: str | None,
) -> tuple[TaylorOptions, tuple[str, ...], tuple[Alternative, ...]]:
    """Return the displacements, the reasons, and what else might be done."""
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
        return replace(base, delta=delta), tuple(reasons), ()
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
    return options, tuple(reasons), alternatives


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
        symbols = np.where(structure.atom_weights > 0.0, structure.symbols, "")
        for symbol in set(structure.symbols) & set(symbols.tolist()):
            squares.setdefault(symbol, []).append((structure.forces[symbols == symbol] ** 2).sum(axis=1))
    merged = {symbol: np.concatenate(parts) for symbol, parts in sorted(squares.items())}
    return {
        symbol: {"rms": float(np.sqrt(values.mean() / 3.0)), "largest": float(np.sqrt(values.max()))}
        for symbol, values in merged.items()
    }
