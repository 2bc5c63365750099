"""Claims about the dimer and the water clusters: sections III A and III B."""

from __future__ import annotations

from functools import partial

from facts import Cells, MissingFact, Results, best_setting, fact, measured, ratio, share
from judges import NOT, PARTLY, REPRODUCED, BestSetting, Between, Claim, Custom, Falling, Finding, Near, OrLast, graded

DIMER, CLUSTERS = "lj-dimer", "water-cluster"
DEPTH, R0, CURVATURE = 3.607, 1.54, 109.5
"""Of the Lennard-Jones curve: eV, Å, eV/Å²."""

_DIMER_WHY = (
    "The paper shows curves and no numbers; cutoff and epochs are not given (here 6 Å, 3000). Taylor energies are "
    "wrong by up to 0.136 eV on the steep wall at 1.40 Å, which deepens the well beside it"
)


def _only_with_taylor(results: Results) -> Finding:
    energy, taylor = results.fact("energy: RMS"), results.fact("taylor: RMS")
    verdict = graded(taylor.median < 0.5 * energy.median, taylor.median < energy.median)
    return Finding(verdict, f"energies {energy.text(3)}; Taylor {taylor.text(3)}")


def _energy_curve(results: Results) -> Finding:
    found = results.fact("energy: RMS")
    return Finding(graded(found.median > 0.1 * DEPTH, found.high > 0.1 * DEPTH), found.text(3))


DIMER_CLAIMS = (
    Claim(
        "dimer-energy",
        DIMER,
        "III A, fig. 2a",
        "Energies of seven points alone do not give the curve",
        "curve wrong",
        "RMS deviation from the exact energy, 1.35 to 2.8 Å, eV",
        Custom(
            f"reproduced: median above 10 % of the depth ({0.1 * DEPTH:.2f} eV); partly: some networks", _energy_curve
        ),
        _DIMER_WHY,
        "train-energy.in",
    ),
    Claim(
        "dimer-minimum",
        DIMER,
        "III A, fig. 2b",
        "With Taylor points the minimum is at the right distance",
        "1.54 Å",
        "distance of the minimum, Å",
        Between(fact("taylor: minimum"), 1.52, 1.56, (1.50, 1.58), 3),
        _DIMER_WHY,
        "train-taylor.in",
    ),
    Claim(
        "dimer-depth",
        DIMER,
        "III A, fig. 2b",
        "… and has the right depth",
        "3.607 eV",
        "depth of the minimum, eV",
        Near(fact("taylor: depth"), DEPTH, 3),
        _DIMER_WHY,
        "train-taylor.in",
    ),
    Claim(
        "dimer-curvature",
        DIMER,
        "III A, fig. 2b",
        "… and the right curvature",
        "109.5 eV/Å² (of the formula)",
        "second derivative at the minimum, eV/Å²",
        Near(fact("taylor: curvature"), CURVATURE, 1),
        _DIMER_WHY,
        "train-taylor.in",
    ),
    Claim(
        "dimer-only",
        DIMER,
        "III A",
        "Only Taylor training reproduces minimum, slope and curvature",
        "yes",
        "RMS deviation from the exact energy, eV",
        Custom("reproduced: Taylor's median below half of that of energies; partly: below", _only_with_taylor),
        "Exact forces at the same seven points are the comparison that the paper does not have: fourteen numbers do "
        "not fix 101 weights, so that curves are free between the points",
        "train-energy.in, train-taylor.in",
    ),
)

_OTHER = "another reference method (GFN1-xTB, not BLYP-D3) and other frames, of them a third at 800 K"
_ENERGY: Cells = {"mode": "energy", "structures": 471.0}
_TAYLOR: Cells = {"mode": "taylor", "strategy": "random", "delta": 0.008, "multiple": 22.0, "structures": 471.0}
_A: Cells = {"mode": "taylor", "strategy": "cartesian", "delta": 0.03, "multiple": 12.0, "structures": 471.0}
_EXACT: Cells = {"mode": "exact", "structures": 471.0}
_GRID: Cells = {"scan": "grid", "mode": "taylor", "structures": 471.0}


_force, _energy = partial(measured, "force_error"), partial(measured, "energy_rmse")
_LAST = measured("last_force_error", _TAYLOR)
_LARGEST = _force({"mode": "energy", "structures": 1886.0})


def _same_delta(results: Results) -> Finding:
    cells: Cells = {"strategy": "random", **_GRID}
    found = {
        multiple: best_setting("delta", "force_error", {"multiple": multiple, **cells})(results)
        for multiple in results.values_of("multiple", cells)
    }
    if len(found) < 2:
        raise MissingFact("no search over δ and a")
    places = [list(one.tried).index(one.best) for one in found.values()]
    words = "; ".join(f"a = {a:g}: {one.best:g} Å ({one.of})" for a, one in found.items())
    return Finding((REPRODUCED, PARTLY, NOT)[min(max(places) - min(places), 2)], words)


def _no_gain(results: Results) -> Finding:
    cells: Cells = {"strategy": "random", "delta": 0.01, **_GRID}
    small, large = (results.of("force_error", {**cells, "multiple": a}) for a in (22.0, 32.0))
    better = 100.0 * (1.0 - large.median / small.median)
    return Finding(graded(better < 5.0, better < 15.0), f"a = 22: {small.text(3)}; a = 32: {large.text(3)}")


def _both_strategies(results: Results) -> Finding:
    energy = _force(_ENERGY)(results)
    a, b = (_force(cells)(results).gain(energy) for cells in (_A, _TAYLOR))
    verdict = graded(abs(a.median - b.median) < 10.0, min(a.median, b.median) > 20.0)
    return Finding(verdict, f"A {a.text(0)}; B {b.text(0)}")


def _delta_a_larger(results: Results) -> Finding:
    found = {
        name: best_setting("delta", "force_error", {"strategy": strategy, "multiple": a, **_GRID})(results)
        for name, strategy, a in (("A", "cartesian", 12.0), ("B", "random", 11.0))
    }
    a, b = (one.best for one in found.values())
    words = "; ".join(f"{name} {one.best:g} Å ({one.of})" for name, one in found.items())
    return Finding(graded(a >= 2.0 * b, a > b), words)


def _table_s1(structures: float, strategy: str, delta: float, multiple: float) -> Custom:
    """A line of Table S1, by search over both δ and a."""
    cells: Cells = {"scan": "grid", "mode": "taylor", "structures": structures, "strategy": strategy}

    def judge(results: Results) -> Finding:
        tried = sorted({(float(row["delta"] or 0), float(row["multiple"] or 0)) for row in results.rows(cells)})
        if len(tried) < 3:
            raise MissingFact(f"no search for {structures:g} structures, {strategy}")
        errors = {(d, a): results.of("force_error", {**cells, "delta": d, "multiple": a}) for d, a in tried}
        best = min(errors, key=lambda pair: errors[pair].median)
        deltas, multiples = ({pair[k] for pair in tried} for k in (0, 1))
        same_delta = best[0] == min(deltas, key=lambda value: abs(value - delta))
        same_multiple = best[1] == min(multiples, key=lambda value: abs(value - multiple))
        words = f"{best[0]:g} Å / {best[1]:g} of {len(tried)} tried, {errors[best].text(3)}"
        return Finding(graded(same_delta and same_multiple, same_delta or same_multiple), words)

    return Custom("reproduced: the grid points nearest to the paper's δ and a; partly: one of the two", judge)


_TABLE_S1 = tuple(
    Claim(
        f"table-s1-{name.lower()}-{structures}",
        CLUSTERS,
        "Table S1",
        f"Best δ and a, strategy {name}, {label}",
        f"{delta:g} Å / {multiple}",
        "smallest median force error of the grid",
        _table_s1(float(structures), strategy, delta, float(multiple)),
        ("100 epochs each in single precision" if structures == 1886 else "300 epochs each")
        + ", and grids of few values: the optimum moves to larger a and δ the longer a training is from its end. The "
        "paper's a of strategy A are per training structure (11 stands for 12: 6 per atom)",
        files,
    )
    for name, strategy, label, structures, delta, multiple, files in (
        ("A", "cartesian", "train_0500", 471, 0.03, 11, "cartesian-delta-full.in"),
        ("B", "random", "train_0500", 471, 0.008, 22, "delta-full.in"),
        ("A", "cartesian", "train_1000", 943, 0.04, 32, "cartesian-delta-1000-full.in"),
        ("B", "random", "train_1000", 943, 0.010, 32, "delta-1000-full.in"),
        ("A", "cartesian", "train_2000", 1886, 0.04, 32, "cartesian-delta-2000-full.in"),
        ("B", "random", "train_2000", 1886, 0.010, 32, "delta-2000-full.in"),
    )
)

CLUSTER_CLAIMS = (
    Claim(
        "cluster-energy",
        CLUSTERS,
        "III B",
        "Energy-only training: energies better than 2 meV/atom",
        "< 2 meV/atom",
        "energy RMSE, 471 structures",
        Between(_energy(_ENERGY), 0.0, 2.0, (0.0, 4.0)),
        _OTHER + "; the 300 and 800 K frames are 70 meV/atom apart, and the paper does not say RMSE or MAE",
        "modes-full.in",
    ),
    Claim(
        "cluster-energy-taylor",
        CLUSTERS,
        "fig. S2",
        "Taylor training leaves energy errors as they are",
        "unchanged",
        "energy RMSE of Taylor B over that of energies alone",
        Between(ratio(_energy(_TAYLOR), _energy(_ENERGY)), 0.8, 1.2, (0.6, 1.5), 2, beaten_below=0.8),
        "forces tell of energies, too, where energies alone are learnt by heart",
        "modes-full.in",
    ),
    Claim(
        "cluster-sizes",
        CLUSTERS,
        "fig. 3a",
        "Energies alone: force errors fall with the number of structures",
        "471, 943, 1886",
        "mean |F − F_ref|, eV/Å",
        Falling(
            tuple((f"{n}", _force({"mode": "energy", "structures": float(n)})) for n in (471, 943, 1886)), digits=3
        ),
        _OTHER,
        "modes-full.in, sizes-1000-full.in, sizes-2000-full.in",
    ),
    Claim(
        "cluster-angles",
        CLUSTERS,
        "fig. 3b-d",
        "… and more atoms have directions within 15°",
        "more with each set",
        "share of the atoms with an angle below 15°, %",
        Falling(
            tuple(
                (f"{n}", measured("within_15", {"mode": "energy", "structures": float(n)})) for n in (471, 943, 1886)
            ),
            rising=True,
            digits=1,
        ),
        _OTHER,
        "modes-full.in, sizes-1000-full.in, sizes-2000-full.in",
    ),
    Claim(
        "cluster-delta",
        CLUSTERS,
        "III B, fig. 4",
        "Best δ of strategy B",
        "about 0.01 Å",
        "δ of the smallest median force error at a = 22",
        BestSetting(best_setting("delta", "force_error", {"strategy": "random", "multiple": 22.0, **_GRID}), 0.01, "Å"),
        "plain Taylor training ties the weight of forces to δ², so that few epochs prefer a larger δ (300 here)",
        "delta-full.in",
    ),
    Claim(
        "cluster-delta-a",
        CLUSTERS,
        "III B, fig. 4",
        "The best δ does not depend on a",
        "independent",
        "δ of the smallest median force error for each a",
        Custom("reproduced: the same δ for all a; partly: neighbours on the grid", _same_delta),
        "300 epochs",
        "delta-full.in",
    ),
    Claim(
        "cluster-a",
        CLUSTERS,
        "III B, fig. 4",
        "No gain beyond a = 22",
        "none",
        "force error of a = 32 and 22 at δ = 0.01 Å",
        Custom("reproduced: less than 5 % better; partly: less than 15 %", _no_gain),
        "300 epochs; a = 22 of 51 directions span 43 % of the displacements",
        "delta-full.in",
    ),
    Claim(
        "cluster-a-b",
        CLUSTERS,
        "III B, figs. 4, 5",
        "Strategies A and B help forces alike",
        "both",
        "improvement of the force error over energies alone",
        Custom("reproduced: improvements within 10 points; partly: both above 20 %", _both_strategies),
        "A with δ 0.03 Å and a = 12, B with 0.008 Å and 22, as in Table S1",
        "modes-full.in, cartesian-full.in",
    ),
    Claim(
        "cluster-delta-a-b",
        CLUSTERS,
        "Table S1",
        "Strategy A needs a larger δ than B",
        "0.03 against 0.008 Å",
        "δ of the smallest median force error at a = 12 (A) and 11 (B)",
        Custom("reproduced: at least twice; partly: larger", _delta_a_larger),
        "a vector of one moved atom of 18 is shorter",
        "delta-full.in, cartesian-delta-full.in",
    ),
    Claim(
        "cluster-copies-a",
        CLUSTERS,
        "III B",
        "Strategy A with 471 structures makes so many copies of training structures",
        "5,088",
        "copies trained on, a = 12",
        Between(measured("copies", _A), 5037.0, 5139.0, (4500.0, 5700.0), 0),
        "5,088 = 12 × 424 training structures; atoms are drawn at random over all 471, so that the share of the "
        "training structures varies by a few tens",
        "cartesian-full.in",
    ),
    Claim(
        "cluster-copies-b",
        CLUSTERS,
        "III B",
        "Strategy B with 471 structures makes so many copies",
        "10,362",
        "copies generated (those of test structures among them), a = 22",
        Near(fact("copies generated, B"), 10362.0, 0),
        "22 × 471; 9,328 of them belong to training structures and are trained on",
        "modes-full.in",
    ),
    Claim(
        "cluster-exact-mae",
        CLUSTERS,
        "III B",
        "Direct force training: error of the forces",
        "0.18 eV/Å",
        "mean |F − F_ref|, the larger of the measures it could be",
        Near(_force(_EXACT), 0.18, 3, better="smaller"),
        "the paper mixes components, norms and errors of norms; " + _OTHER,
        "modes-full.in",
    ),
    Claim(
        "cluster-share",
        CLUSTERS,
        "III B",
        "Taylor training has about half of direct training's improvement",
        "about 50 %",
        "share of the way from energies to exact forces, Taylor B",
        OrLast(
            Between(share(_force(_TAYLOR), _force(_ENERGY), _force(_EXACT)), 40.0, 60.0, (25.0, 80.0), 0),
            Between(share(_LAST, _force(_ENERGY), _force(_EXACT)), 40.0, 60.0, (25.0, 80.0), 0),
        ),
        "depends on δ² and epochs; direct training here goes further than the paper's, and so does what it is a "
        "share of",
        "modes-full.in",
    ),
    Claim(
        "cluster-tail",
        CLUSTERS,
        "III B, fig. 5",
        "Taylor training removes force errors above 1 eV/Å",
        "gone",
        "share of the atoms with |F − F_ref| > 1 eV/Å, %",
        Between(measured("tail", _TAYLOR), 0.0, 0.1, (0.0, 1.0)),
        _OTHER,
        "modes-full.in",
    ),
    Claim(
        "cluster-exact-tail",
        CLUSTERS,
        "III B, fig. 5",
        "The tail of direct training ends at 0.5 eV/Å",
        "0.5 eV/Å",
        "share of the atoms with |F − F_ref| > 0.5 eV/Å, %",
        Between(measured("above_half", _EXACT), 0.0, 0.1, (0.0, 1.0)),
        _OTHER,
        "modes-full.in",
    ),
    Claim(
        "cluster-time",
        CLUSTERS,
        "III B",
        "An epoch of direct training takes as long as so many of Taylor training, a = 22",
        "8",
        "seconds per epoch, minima of alternating runs",
        Near(ratio(fact("seconds: exact"), fact("seconds: taylor")), 8.0, 2, better="smaller"),
        "the paper differentiates through stored matrices of derivatives; here products of vectors with them",
        "timing",
    ),
    Claim(
        "cluster-quarter",
        CLUSTERS,
        "III B",
        "Taylor with 471 structures is as good as energies alone with 1886: three quarters of the calculations saved",
        'equal at a quarter ("nearly 75 %")',
        "force error of Taylor B, 471, over that of energies, 1886",
        OrLast(
            Between(ratio(_force(_TAYLOR), _LARGEST), 0.8, 1.2, (0.6, 1.5), 2, beaten_below=0.8),
            Between(ratio(_LAST, _LARGEST), 0.8, 1.2, (0.6, 1.5), 2, beaten_below=0.8),
        ),
        _OTHER,
        "modes-full.in, sizes-2000-full.in",
    ),
    *_TABLE_S1,
)
