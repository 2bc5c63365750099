"""Claims about Li8Mo2Ni7Ti7O32: section III D."""

from __future__ import annotations

from itertools import pairwise

from facts import Cells, MissingFact, Results, best_setting, fact, gain, measured
from judges import UNTESTABLE, BestSetting, Between, Claim, Custom, Finding, Holds, Near, graded

OXIDE = "lmnto"

_SAME_DATA = (
    "the same data, another division: 499 structures instead of 720 + 80, 125 to check instead of 1,800 that are not "
    "public; 500 epochs, the paper's are not given; Taylor training in single precision"
)
_ALONE: Cells = {"mode": "energy", "network": "10:tanh-10:tanh"}
_ENERGY, _FORCE = (measured(column, _ALONE) for column in ("energy_rmse", "force_error"))
_HEADLINE: Cells = {"mode": "taylor", "delta": 0.03, "multiple": 70.0}
_T_ENERGY, _T_FORCE = (measured(column, _HEADLINE) for column in ("energy_rmse", "force_error"))


def _still_falling(results: Results) -> Finding:
    cells: Cells = {"scan": "grid", "mode": "taylor"}
    tried = [delta for delta in results.values_of("delta", cells) if delta >= 0.03]
    found = [results.of("force_error", {**cells, "delta": delta}) for delta in tried]
    if len(found) < 2:
        raise MissingFact("no two δ from 0.03 Å")
    falls = [later.median < before.median for before, later in pairwise(found)]
    last = [results.of("last_force_error", {**cells, "delta": delta}).median for delta in tried]
    return Finding(
        graded(all(falls), falls[0]),
        "; ".join(f"δ {delta:g}: {one.text(3)}, last epoch {end:.3f}" for delta, one, end in zip(tried, found, last)),
    )


def _fluctuation(results: Results) -> Finding:
    """Of runs that hold alone."""
    if "fluctuation: taylor" in results.facts:
        return _NEAR_FLUCTUATION(results)
    words = f"none of {len(results.fact('holds: taylor').values)} runs holds"
    if "fluctuation: exact" in results.facts:
        words += f"; exact forces: {results.fact('fluctuation: exact').text(4)}"
    return Finding(UNTESTABLE, words)


_NEAR_FLUCTUATION = Near(fact("fluctuation: taylor"), 1e-3, 4, better="smaller")


_OXIDE_MD = (
    "50 ps at most instead of 1 ns, as a run ends where atoms meet; 449 structures trained on instead of 4,000; "
    "networks 20-20, δ 0.015 Å, a = 20 as in the paper"
)

OXIDE_CLAIMS = (
    Claim(
        "oxide-energy",
        OXIDE,
        "III D, fig. 9a",
        "Energies alone: energy error",
        "4.6 meV/atom",
        "energy RMSE",
        Near(_ENERGY, 4.6, 2, better="smaller"),
        _SAME_DATA,
        "modes-full.in",
    ),
    Claim(
        "oxide-force",
        OXIDE,
        "III D, fig. 9b",
        "Energies alone: force error",
        "0.92 eV/Å",
        "mean |F − F_ref|",
        Near(_FORCE, 0.92, 3, better="smaller"),
        _SAME_DATA,
        "modes-full.in",
    ),
    Claim(
        "oxide-taylor-energy",
        OXIDE,
        "III D, fig. 9a",
        "Taylor, δ = 0.03 Å, a = 70: energy error",
        "4.9 meV/atom (+6.5 %)",
        "energy RMSE",
        Near(_T_ENERGY, 4.9, 2, better="smaller"),
        _SAME_DATA + ". Weights of the best test energy: which epoch that is depends on few structures",
        "taylor-full.in",
    ),
    Claim(
        "oxide-taylor-force",
        OXIDE,
        "III D, fig. 9b",
        "… and force error",
        "0.66 eV/Å",
        "mean |F − F_ref|",
        Near(_T_FORCE, 0.66, 3, better="smaller"),
        _SAME_DATA,
        "taylor-full.in",
    ),
    Claim(
        "oxide-gain",
        OXIDE,
        "III D",
        "… which is so much better than energies alone",
        "28.3 %",
        "improvement of the mean |F − F_ref|",
        Near(gain(_T_FORCE, _FORCE), 28.3, 0, better="larger"),
        _SAME_DATA,
        "modes-full.in, taylor-full.in",
    ),
    Claim(
        "oxide-delta",
        OXIDE,
        "III D, fig. 9a",
        "The energy error is smallest at δ = 0.02 Å",
        "0.02 Å",
        "δ of the smallest median energy RMSE",
        BestSetting(best_setting("delta", "energy_rmse", {"scan": "grid", "mode": "taylor"}), 0.02, "Å"),
        "200 structures, a = 20 instead of 70, 600 epochs",
        "delta-full.in",
    ),
    Claim(
        "oxide-not-converged",
        OXIDE,
        "III D, fig. 9b",
        "The force error still falls at δ = 0.04 Å",
        "not converged",
        "mean |F − F_ref| from 0.03 Å on",
        Custom("reproduced: falls from each δ tried to the next; partly: to 0.04 Å alone", _still_falling),
        "200 structures, a = 20 instead of 70, 600 epochs",
        "delta-full.in",
    ),
    Claim(
        "oxide-angle",
        OXIDE,
        "III D, fig. 9d",
        "Most directions are wrong by about 20°",
        "about 20°",
        "maximum of the distribution of angles, δ = 0.03 Å",
        Between(measured("angle_peak", _HEADLINE), 15.0, 25.0, digits=0, beaten_below=15.0),
        _SAME_DATA,
        "taylor-full.in",
    ),
    Claim(
        "oxide-energy-md",
        OXIDE,
        "III D, fig. 10",
        "NVE with energies alone is unstable",
        "unstable",
        "224 atoms, 400 K, 1 fs, 1 + 50 ps, a network a run",
        Holds("energy", stable=False),
        _OXIDE_MD,
        "larger-full.in, md-full.in",
    ),
    Claim(
        "oxide-taylor-md",
        OXIDE,
        "III D, fig. 10",
        "NVE with Taylor training is stable",
        "1 ns",
        "224 atoms, 400 K, 1 fs, 1 + 50 ps, a network a run",
        Holds("taylor"),
        _OXIDE_MD,
        "larger-full.in, md-full.in",
    ),
    Claim(
        "oxide-fluctuation",
        OXIDE,
        "III D, fig. 10",
        "… and its energy fluctuates by so much",
        "10⁻³ meV/atom",
        "standard deviation of the total energy, meV/atom",
        Custom(f"{_NEAR_FLUCTUATION.threshold}; runs that hold alone", _fluctuation),
        "runs with exact forces fluctuate by 4 and 5 · 10⁻³ meV/atom before they break down: the paper's order of "
        "magnitude is possible",
        "larger-full.in, md-full.in",
    ),
)
