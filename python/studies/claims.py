"""Every claim of Cooper, Kästner, Urban, Artrith, npj Comput. Mater. 6, 54 (2020): what the pages are made from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from claims_bulk import BULK_CLAIMS
from claims_clusters import CLUSTER_CLAIMS, DIMER_CLAIMS
from claims_oxide import OXIDE_CLAIMS
from facts import Cells, Fact, MissingFact, Quantity, Results, best_setting, fact, measured, ratio
from judges import Claim, Custom, Finding, graded

DISCUSSION = "discussion"
"""Claims that need the results of several studies."""
_BULK, _CLUSTERS, _OXIDE = "bulk-water", "water-cluster", "lmnto"
_CLUSTER_MODES: dict[str, Cells] = {"energy": {}, "taylor": {"delta": 0.008, "strategy": "random"}}


def combined(results: Mapping[str, Results]) -> Results:
    """What claims of the discussion are judged by, from the results of the studies."""
    facts: dict[str, Fact] = {}

    def take(name: str, study: str, quantity: Quantity) -> None:
        with suppress(KeyError, MissingFact):
            facts[name] = quantity(results[study])

    for study in (_CLUSTERS, _BULK, _OXIDE):
        take(f"memory ratio: {study}", study, ratio(fact("memory: taylor"), fact("memory: energy")))
        take(f"copies: {study}", study, fact("memory: a"))
        take(f"shortest bond: {study}", study, fact("shortest distance of the data"))
    grid: Cells = {"scan": "grid", "mode": "taylor"}
    take(
        f"best δ: {_CLUSTERS}",
        _CLUSTERS,
        _best_delta("force_error", {"strategy": "random", "multiple": 22.0, "structures": 471.0, **grid}),
    )
    take("best δ: " + _OXIDE, _OXIDE, _best_delta("energy_rmse", grid))

    for mode, more in _CLUSTER_MODES.items():
        take(f"gap: {mode}", _CLUSTERS, _gap({"mode": mode, "structures": 471.0, **more}))
    return Results(DISCUSSION, {}, (), facts)


def _gap(cells: Cells) -> Quantity:
    return ratio(measured("energy_rmse", cells), measured("train_rmse", cells))


def _best_delta(column: str, cells: Cells) -> Quantity:
    search = best_setting("delta", column, cells)
    return lambda results: Fact((search(results).best,), "Å")


def _memory(results: Results) -> Finding:
    words, worst = [], 0.0
    for study in (_CLUSTERS, _BULK, _OXIDE):
        if f"memory ratio: {study}" in results.facts:
            found = results.fact(f"memory ratio: {study}").median
            words.append(f"{study}: {found:.1f} times at a = {results.fact(f'copies: {study}').median:.0f}")
            worst = max(worst, found)
    if not words:
        raise MissingFact("memory")
    return Finding(graded(worst < 1.2, worst < 2.0), "; ".join(words))


def _bond(results: Results) -> Finding:
    shares, words = [], []
    for study in (_CLUSTERS, _OXIDE):
        delta, bond = results.fact(f"best δ: {study}").median, results.fact(f"shortest bond: {study}").median
        shares.append(delta / bond)
        words.append(f"{study}: {delta:g} Å of {bond:.2f} Å, {100 * delta / bond:.1f} %")
    apart = max(shares) / min(shares)
    return Finding(graded(apart < 1.5, apart < 2.5), "; ".join(words))


def _transfer(results: Results) -> Finding:
    energy, taylor = results.fact("gap: energy"), results.fact("gap: taylor")
    verdict = graded(taylor.median < 0.8 * energy.median, taylor.median < energy.median)
    return Finding(verdict, f"energies {energy.text(1)}; Taylor {taylor.text(1)}")


DISCUSSION_CLAIMS = (
    Claim(
        "memory",
        DISCUSSION,
        "IV",
        "Taylor training needs no more memory than energy training",
        "the same",
        "memory that a training keeps, over that of energy training with the same structures",
        Custom("reproduced: below 1.2 times; partly: below 2", _memory),
        "it needs 1 + a times as many atoms; what is true is that it needs no derivatives of descriptors",
        "timing",
    ),
    Claim(
        "bond",
        DISCUSSION,
        "IV",
        "The best δ is proportional to the shortest bond: a rule of thumb",
        "0.9 Å O–H: 0.008 to 0.01; 1.7 Å metal–O: 0.02 to 0.03",
        "best δ of the grids (forces of clusters, energies of the oxide) over the shortest distance of the data",
        Custom("reproduced: shares within a factor of 1.5; partly: 2.5", _bond),
        "two systems are no proof of a proportionality; force constants, which limit the truncation error, are another",
        "water-cluster: delta-full.in; lmnto: delta-full.in",
    ),
    Claim(
        "transfer",
        DISCUSSION,
        "IV",
        "Taylor training makes energies more transferable",
        "yes",
        "energy RMSE of validation structures over that of training structures, clusters",
        Custom("reproduced: below 0.8 of the ratio of energies alone; partly: smaller", _transfer),
        "validation frames are from the same runs as the training frames: an interpolation",
        "water-cluster: modes-full.in",
    ),
)


@dataclass(frozen=True)
class FutureWork:
    """Something that the paper proposes, and what came of it."""

    item: str
    here: str
    what_came: str
    command: str


FUTURE_WORK = (
    FutureWork(
        "Normal-mode displacements as a third strategy",
        "`strategy=modes`",
        "with Hessians or a potential as their source; worse than as many random ones (*modes*, *modes, stiffness* "
        "below)",
        "`DERIVATIVES method=taylor strategy=modes`",
    ),
    FutureWork(
        "Expansion to second order with Hessians",
        "`order=2`, `curvature=auto`",
        "at twice δ Hessians take the energy error back to that of δ, and so does the mean curvature, which needs none "
        "(*far* below): [twice δ at the same error](beyond.md#curvature-and-far-copies), and far copies for "
        "dynamics",
        "`taylorfit generate` with `curvature=auto temperature=400`",
    ),
    FutureWork(
        "Displace only atoms with large forces",
        "`forcemin=`, `forcemax=`",
        "no gain: atoms above 1 eV/Å alone do as well as all of them, at as many copies (*large forces* below)",
        "`DERIVATIVES … forcemin=0.3`",
    ),
    FutureWork(
        "Exclude structures of geometry optimisations, whose forces are near zero",
        "`forcemin=`",
        "such structures get no copies; not measured, as the data are frames of dynamics and have none",
        "`DERIVATIVES … forcemin=0.05`",
    ),
    FutureWork(
        "Select atoms or substructures",
        "`species=`, `atoms=`; weights of atoms",
        "in all modes: copies of chosen atoms alone, or weights of forces; H atoms alone do as well as all (*H alone* "
        "below)",
        "`DERIVATIVES … species=O`",
    ),
    FutureWork(
        "δ for each species",
        "`delta_O=`, `delta_H=`",
        "no gain over one δ (*δ of species* below)",
        "`DERIVATIVES … delta_H=0.008 delta_O=0.012`",
    ),
    FutureWork(
        "Rule of thumb for δ from the shortest bond",
        "`delta=auto`",
        "judged above; taylorfit takes 1 % of the shortest bond where it knows no force constants, and the force "
        "constants where it does (*δ auto* below)",
        "`taylorfit suggest`",
    ),
    FutureWork(
        "Benchmark of δ for each system, by energies and forces",
        "`taylorfit scan`",
        "one command, resumable; figures 4, 6 and 9 come from it",
        "`taylorfit scan delta-full.in`",
    ),
    FutureWork(
        "Linear independence of displacements",
        "`strategy=orthogonal`",
        "no gain (*orthogonal* below); the D-optimal design of equal lengths is an orthogonal one "
        "([Beside aenet-python](aenet-python.md#d-optimal-and-orthogonal-displacements))",
        "`DERIVATIVES … strategy=orthogonal`",
    ),
)

CLAIMS = (*DIMER_CLAIMS, *CLUSTER_CLAIMS, *BULK_CLAIMS, *OXIDE_CLAIMS, *DISCUSSION_CLAIMS)
"""All of them."""


def claims_of(study: str) -> list[Claim]:
    """Those that a study's results judge."""
    return [claim for claim in CLAIMS if claim.study == study]
