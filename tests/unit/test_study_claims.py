"""Claims of the paper: their judges on invented results, and pages that agree with the results they are made from."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import displacement_designs as designs
import judges
import write_pages
from claims import CLAIMS, claims_of, combined
from facts import Fact, MissingFact, Results, best_setting, fact, gain, measured, ratio, share
from judges import BEATEN, NOT, PARTLY, REPRODUCED, UNTESTABLE
from measure import table_row, training_cells
from scan_pictures import scan_pictures
from tables import claims_table
from taylorfit.md.analysis import first_peak


def invented(**facts: tuple[float, ...]) -> Results:
    return Results("x", {}, (), {name: Fact(values) for name, values in facts.items()})


@pytest.mark.parametrize(
    ("values", "better", "verdict"),
    [
        ((9.0,), "", REPRODUCED),
        ((12.1, 12.5), "", PARTLY),
        ((8.0, 13.0, 14.0), "", REPRODUCED),  # 30 % away, but within the spread
        ((8.0, 30.0, 40.0), "", PARTLY),  # the spread alone is not enough
        ((16.0,), "", NOT),
        ((7.0,), "smaller", BEATEN),
        ((13.0,), "larger", BEATEN),
        ((13.0,), "smaller", PARTLY),
        ((30.0,), "smaller", NOT),
    ],
)
def test_a_number_is_near_the_papers(values: tuple[float, ...], better: str, verdict: str) -> None:
    judge = judges.Near(fact("error"), 10.0, better=better)
    assert judge(invented(error=values)).verdict == verdict
    assert "20 %" in judge.threshold and ("beaten" in judge.threshold) == bool(better)


@pytest.mark.parametrize(("value", "verdict"), [(0.5, BEATEN), (1.5, REPRODUCED), (2.5, PARTLY), (9.0, NOT)])
def test_a_median_lies_in_a_range(value: float, verdict: str) -> None:
    judge = judges.Between(fact("q"), 1.0, 2.0, (1.0, 3.0), beaten_below=1.0)
    assert judge(invented(q=(value, value, 99.0))).verdict == verdict


@pytest.mark.parametrize(
    ("best", "last", "verdict"),
    [(10.0, 1.0, REPRODUCED), (12.5, 10.0, PARTLY), (1.0, 10.0, PARTLY), (1.0, 2.0, NOT), (20.0, 1.0, NOT)],
)
def test_what_only_the_last_epoch_fulfils_is_partly_reproduced(best: float, last: float, verdict: str) -> None:
    judge = judges.OrLast(judges.Near(fact("best"), 10.0), judges.Near(fact("last"), 10.0))
    found = judge(invented(best=(best,), last=(last,)))
    assert found.verdict == verdict and "last epoch" in found.here and "last epoch" in judge.threshold


@pytest.mark.parametrize(
    ("medians", "verdict"), [((3.0, 2.0, 1.0), REPRODUCED), ((3.0, 4.0, 1.0), PARTLY), ((1.0, 2.0, 3.0), NOT)]
)
def test_errors_fall_from_one_to_the_next(medians: tuple[float, ...], verdict: str) -> None:
    names = ("a", "b", "c")
    results = invented(**{name: (value,) for name, value in zip(names, medians)})
    falling = tuple((name, fact(name)) for name in names)
    assert judges.Falling(falling)(results).verdict == verdict
    assert judges.Falling(falling, rising=True)(results).verdict == {REPRODUCED: NOT, NOT: REPRODUCED}.get(verdict, NOT)


def row(seed: int, error: float, **cells: str | float) -> dict[str, str | float | None]:
    return {"scan": "full", "mode": "taylor", "seed": float(seed), "force_error": error, "delta": 0.01, **cells}


SCAN = Results(
    "x",
    {},
    (
        row(1, 3.0, delta=0.01),
        row(1, 1.0, delta=0.02),
        row(2, 9.0, delta=0.02),  # the best seed is here, the best median is not
        row(1, 4.0, delta=0.03),
        row(1, 8.0, mode="energy"),
        row(2, 6.0, mode="energy"),
        row(1, 2.0, mode="exact"),
    ),
)


def test_quantities_follow_from_trainings() -> None:
    energy, exact = (measured("force_error", {"mode": mode}) for mode in ("energy", "exact"))
    assert energy(SCAN) == Fact((8.0, 6.0), "eV/Å") and energy(SCAN).median == 7.0
    assert gain(exact, energy)(SCAN).values == pytest.approx((100.0 * 5.0 / 7.0,))
    assert ratio(energy, exact)(SCAN).values == (4.0, 3.0)
    half = measured("force_error", {"mode": "taylor", "delta": 0.03})
    assert share(half, energy, exact)(SCAN).values == pytest.approx((60.0,))
    with pytest.raises(MissingFact):
        share(half, exact, energy)(SCAN)
    assert energy(SCAN).text(1) == "7.0 eV/Å (6.0 to 8.0; n = 2)" and exact(SCAN).text(1) == "2.0 eV/Å (n = 1)"


@pytest.mark.parametrize(("paper", "verdict"), [(0.012, REPRODUCED), (0.02, PARTLY), (0.04, NOT)])
def test_the_best_setting_is_that_of_the_median(paper: float, verdict: str) -> None:
    search = best_setting("delta", "force_error", {"mode": "taylor"})
    assert search(SCAN) == (0.01, [0.01, 0.02, 0.03], (1, 2, 1))
    assert judges.BestSetting(search, paper, "Å")(SCAN).verdict == verdict
    with pytest.raises(MissingFact, match="no search"):
        best_setting("delta", "force_error", {"mode": "exact"})(SCAN)


def test_what_was_not_run_cannot_be_judged() -> None:
    for claim in CLAIMS:
        found = claim.finding(Results(claim.study))
        assert found.verdict == UNTESTABLE, claim.id


def test_dynamics_that_collapse_do_not_hold() -> None:
    (claim,) = [claim for claim in CLAIMS if claim.id == "oxide-taylor-md"]
    facts = {"holds: taylor": Fact((1.0, 1.0)), "shortest distance: taylor": Fact((1.5,))}
    assert claim.finding(Results("lmnto", facts=facts)).verdict == REPRODUCED
    facts["holds: taylor"] = Fact((1.0, 0.0))
    found = claim.finding(Results("lmnto", facts=facts))
    assert found.verdict == PARTLY and found.here == "1 of 2 runs hold, shortest distance 1.50 Å"
    facts["holds: taylor"] = Fact((0.0, 0.0))
    assert claim.finding(Results("lmnto", facts=facts)).verdict == NOT


def test_peaks_and_fluctuations_are_those_of_runs_that_hold() -> None:
    claims = {claim.id: claim for claim in CLAIMS}
    facts = {f"O-O {what}: frames": Fact((value,)) for what, value in (("peak", 2.9), ("place", 2.7))}
    facts["holds: taylor"] = Fact((0.0, 0.0))
    assert claims["bulk-rdf"].finding(Results("bulk-water", facts=facts)).verdict == NOT
    facts |= {"holds: taylor": Fact((1.0, 0.0)), "O-O peak: taylor": Fact((3.1,)), "O-O place: taylor": Fact((2.7,))}
    found = claims["bulk-rdf"].finding(Results("bulk-water", facts=facts))
    assert found.verdict == REPRODUCED and "energies: no run holds" in found.here
    facts |= {"O-O peak: energy": Fact((3.0,)), "O-O place: energy": Fact((2.7,))}
    assert claims["bulk-rdf"].finding(Results("bulk-water", facts=facts)).verdict == NOT

    oxide = {"holds: taylor": Fact((0.0,)), "fluctuation: exact": Fact((0.004,))}
    found = claims["oxide-fluctuation"].finding(Results("lmnto", facts=oxide))
    assert found.verdict == UNTESTABLE and "0.0040" in found.here
    oxide |= {"fluctuation: taylor": Fact((0.0011,))}
    assert claims["oxide-fluctuation"].finding(Results("lmnto", facts=oxide)).verdict == REPRODUCED


def test_a_line_of_table_s1_is_judged_by_both_its_numbers() -> None:
    (claim,) = [claim for claim in CLAIMS if claim.id == "table-s1-b-471"]
    cells = {"scan": "grid", "structures": 471.0, "strategy": "random"}

    def grid(best: tuple[float, float]) -> Results:
        points = [(d, a) for d in (0.005, 0.01, 0.02) for a in (11.0, 22.0)]
        rows = [row(1, 1.0 if point == best else 2.0, delta=point[0], multiple=point[1], **cells) for point in points]
        return Results("water-cluster", {}, tuple(rows))

    assert claim.finding(grid((0.01, 22.0))).verdict == REPRODUCED
    assert claim.finding(grid((0.01, 11.0))).verdict == claim.finding(grid((0.02, 22.0))).verdict == PARTLY
    assert claim.finding(grid((0.02, 11.0))).verdict == NOT


def test_claims_of_several_studies() -> None:
    small, large = Fact((10.0,)), Fact((230.0,))
    facts = {"memory: energy": small, "memory: taylor": large, "memory: a": Fact((22.0,))}
    both = combined({"water-cluster": Results("water-cluster", facts=facts)})
    verdicts = {claim.id: claim.finding(both).verdict for claim in claims_of("discussion")}
    assert verdicts == {"memory": NOT, "bond": UNTESTABLE, "transfer": UNTESTABLE}


def test_claims_have_names_of_their_own_and_say_all() -> None:
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS) > 50
    for claim in CLAIMS:
        assert all((claim.place, claim.claim, claim.paper, claim.how, claim.judge.threshold, claim.inputs)), claim.id


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = Results("x", {"commit": "1"}, SCAN.trainings, {"δ": Fact((0.1, 0.2), "Å")})
    results.save(tmp_path / "x.json")
    again = Results.load(tmp_path / "x.json")
    assert again.facts == results.facts and again.provenance == results.provenance
    assert [dict(one) for one in again.trainings] == [dict(one) for one in results.trainings]


def test_the_first_peak_is_not_the_highest() -> None:
    r = np.linspace(0.0, 6.0, 121)
    curve = 2.0 * np.exp(-((r - 2.8) ** 2) / 0.02) + 3.0 * np.exp(-((r - 4.5) ** 2) / 0.02)
    assert first_peak(r, curve) == pytest.approx((2.8, 2.0), abs=0.03)
    assert first_peak(r, 0.0 * r) == (0.0, 0.0)


def test_designs_of_displacements_have_one_length_and_a_simplex_is_d_optimal() -> None:
    rng = np.random.default_rng(1)
    found = {"normal": designs.normal(rng, 6, 5), "simplex": designs.d_optimal(rng, 6, 5)}
    for vectors in found.values():
        assert np.sqrt(np.mean(vectors**2, axis=(1, 2))) == pytest.approx(np.ones(6))
        assert vectors.mean(axis=1) == pytest.approx(np.zeros((6, 3)), abs=1e-12)
    assert found["simplex"].sum(axis=0) == pytest.approx(np.zeros((5, 3)), abs=1e-12)
    cosine = np.einsum("iax,jax->ij", found["simplex"], found["simplex"]) / 15.0
    assert cosine == pytest.approx(np.where(np.eye(6, dtype=bool), 1.0, -0.2))
    # No set that is a little different, of the same lengths and sum, has a larger determinant
    best = designs.log_determinant(found["simplex"])
    for size in (0.01, 0.1, 0.5):
        other = found["simplex"] + size * designs.normal(rng, 6, 5)
        for _ in range(200):
            other -= other.mean(axis=0)
            other /= np.sqrt(np.mean(other**2, axis=(1, 2), keepdims=True))
        assert designs.log_determinant(other) < best


def test_figures_of_scans_come_from_all_results() -> None:
    rows = [
        row(seed, 1.0 + delta, delta=delta, structures=471.0, strategy="random")
        for seed in (1, 2)
        for delta in (0.01, 0.02)
    ]
    rows += [row(1, 2.0, mode=mode, structures=471.0) | {"delta": None} for mode in ("energy", "directional")]
    grid = tuple(one | {"scan": "grid", "energy_rmse": 1.0, "multiple": 22.0} for one in rows)
    (name,), (figure,) = zip(*scan_pictures({"water-cluster": Results("water-cluster", {}, grid)}).items())
    assert name == "water-cluster-figure-4"
    # Relative to energies alone; directional training is not in the paper
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == [
        "Taylor B (n = 2)",
        "energies alone (n = 1)",
    ]
    (best, _) = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 2 and line.get_marker() != "None"]
    assert best.get_xdata() == pytest.approx([0.01, 0.02]) and best.get_ydata() == pytest.approx([0.505, 0.51])


def test_a_training_goes_back_to_its_row() -> None:
    cells = training_cells(table_row(grid := row(3, 0.25, delta=0.02, strategy="random")), Path("nowhere"), [])
    assert {name: cells[name] for name in ("mode", "seed", "force_error", "delta", "strategy")} == {
        name: grid[name] for name in ("mode", "seed", "force_error", "delta", "strategy")
    }


# --- pages -------------------------------------------------------------------------------------

PAGE_FILES = sorted(write_pages.PAGES.glob("*.md"))


@pytest.mark.parametrize("page", PAGE_FILES, ids=lambda path: path.stem)
def test_pages_agree_with_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert write_pages.renewed(text, write_pages.all_results()) == text, "run python/studies/write_pages.py"
    for picture in re.findall(r"\((\.\./pictures/[^)]+)\)", text):
        assert (page.parent / picture).is_file(), picture


def test_every_claim_stands_on_a_page() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGE_FILES)
    for study in {claim.study for claim in CLAIMS}:
        table = claims_table(write_pages.all_results().get(study, Results(study)))
        assert write_pages.markdown(table) in pages, study


def test_a_page_is_renewed_between_its_marks() -> None:
    text = "before\n<!-- claims x -->\nold\n<!-- end -->\nafter"
    new = write_pages.renewed(text, {})
    assert new.startswith("before\n<!-- claims x -->\n\n| claim |") and new.endswith("<!-- end -->\nafter")
    assert write_pages.renewed(new, {}) == new
