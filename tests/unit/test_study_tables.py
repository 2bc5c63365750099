"""Tables of studies, groups of seeds, and the numbers of a dimer, as pure functions."""

from __future__ import annotations

import numpy as np
import pytest

import tables
from lj_dimer import dimer_numbers
from tables import ENERGY, FORCE, History
from taylorfit.analysis.lennard_jones import DimerCurve, LennardJones
from taylorfit.analysis.scan_groups import best_and_median, seed_groups, varied_columns
from taylorfit.formats.csv_table import Table as CsvTable
from taylorfit.formats.scan_table import FORCE_NORM
from taylorfit.tools.tables import Table, text_lines


def row(mode: str, seed: int, energy: float, force: float, last: float | None = None, **cells: str) -> dict[str, str]:
    """A row of a scan, as far as tables read it."""
    strategy = {"strategy": "random", "delta_A": "0.008", "multiple_a": "22"} if mode in ("taylor", "centred") else {}
    return {
        "mode": mode,
        "strategy": "",
        "delta_A": "",
        "multiple_a": "",
        "beta_A2": "",
        "n_structures": "100",
        "network": "10:tanh",
        "seed": str(seed),
        "best_epoch": "50",
        "epochs": "90",
        "seconds_per_epoch": "0.25",
        ENERGY.column: str(energy),
        FORCE_NORM: str(force),
        FORCE.column: str(force / 2),
        f"last_{ENERGY.column}": str(energy),
        f"last_{FORCE_NORM}": str(force if last is None else last),
        f"last_{FORCE.column}": str(force / 2),
        **strategy,
        **cells,
    }


ROWS = [
    row("exact", 1, 1.0, 0.1),
    row("energy", 1, 6.0, 1.1),
    row("energy", 2, 5.0, 1.3),
    row("taylor", 1, 3.0, 0.5, last=0.4),
    row("energy", 3, 9.0, 1.0),
    row("taylor", 2, 4.0, 0.7, last=0.6),
]


def cells(table: Table, *start: str) -> dict[str, str]:
    """The line of a table that begins with some cells, by title (of equal titles the last)."""
    (line,) = [line for line in table.rows if line[: len(start)] == start]
    return dict(zip(table.header, line))


def test_seeds_are_grouped_and_reduced() -> None:
    groups = seed_groups(ROWS)
    assert sorted(len(group) for group in groups.values()) == [1, 2, 3]
    assert varied_columns(ROWS) == ["mode"]
    assert "multiple_a" in varied_columns([*ROWS, row("taylor", 1, 1, 1, multiple_a="5")])
    assert best_and_median(tables.of_mode(ROWS, "energy"), FORCE_NORM) == (1.0, 1.1)
    assert best_and_median([{FORCE_NORM: ""}], FORCE_NORM) is None


def test_table_of_modes_has_best_median_and_the_last_epoch_where_it_differs() -> None:
    table = tables.modes_table(ROWS)
    assert [line[0] for line in table.rows] == ["energy", "taylor", "taylor, last epoch", "exact"]
    assert all(len(line) == len(table.header) for line in table.rows)
    assert table.rows[0][:8] == ("energy", "–", "100", "3", "5.00", "6.00", "1.000", "1.100")
    taylor, last = cells(table, "taylor"), cells(table, "taylor, last epoch")
    assert taylor["copies"] == "B, δ 0.008 Å, a 22"
    assert taylor["weights of epoch"] == "50" and last["weights of epoch"] == "90"
    assert last["mean |F − F_ref|, eV/Å: best"] == "0.400"
    assert taylor["s per epoch"] == "0.250" and last["s per epoch"] == ""


def test_what_varies_within_a_mode_is_named() -> None:
    rows = [row("exact", 1, 1, 1, beta_A2="0.001"), row("exact", 1, 1, 1, beta_A2="0.01"), row("energy", 1, 1, 1)]
    assert [line[0] for line in tables.modes_table(rows).rows] == ["energy", "exact β=0.001 Å²", "exact β=0.01 Å²"]


def test_share_of_the_improvement() -> None:
    table = tables.share_table(ROWS)
    assert [line[0] for line in table.rows] == ["taylor"]
    # Energies: 5 and 6 without forces (best, median), 1 with exact ones, 3 and 3.5 with Taylor; forces likewise
    assert table.rows[0][3:7] == ("50 %", "50 %", "56 %", "50 %")
    # Neither end at that size
    other = tables.share_table([*ROWS, row("taylor", 1, 1, 1, n_structures="7")])
    assert cells(other, "taylor", "B, δ 0.008 Å, a 22", "7")["energy RMSE: best"] == "–"


def test_share_without_an_improvement_is_not_a_number() -> None:
    rows = [row("energy", 1, 1.0, 1.0), row("taylor", 1, 1.0, 1.0), row("exact", 1, 2.0, 0.5)]
    assert cells(tables.share_table(rows), "taylor")["energy RMSE: best"] == "–"


def test_best_copies_of_each_strategy_and_size() -> None:
    def taylor(seed: int, force: float, **cells: str) -> dict[str, str]:
        return row("taylor", seed, 2.0, force, **cells)

    table = tables.best_copies_table(
        [
            *ROWS,
            taylor(1, 0.2, delta_A="0.02"),
            taylor(2, 0.9, delta_A="0.02"),
            taylor(1, 0.55, multiple_a="32"),
            taylor(1, 0.8, strategy="cartesian", delta_A="0.03"),
            taylor(1, 0.3, n_structures="50"),
        ]
    )
    # By the median (0.6, 0.55, 0.55 of the first), not by the best seed
    assert [line[:4] for line in table.rows] == [
        ("50", "B", "0.008", "22"),
        ("100", "A", "0.03", "22"),
        ("100", "B", "0.02", "22"),
    ]
    assert table.rows[2][5:] == ("0.550", "0.275", "3")
    assert tables.best_copies_table([row("energy", 1, 1, 1)]).rows == ()


def test_equal_time() -> None:
    def history(step: float, *forces: float) -> History:
        force = np.array(forces)
        return History(step * np.arange(1, len(forces) + 1), force / 100.0, force)

    assert history(2.0, 5.0, 4.0).at(3.9) == (0.05, 5.0) and history(2.0, 5.0, 4.0).at(1.0) is None
    histories = {
        "fast": [history(1.0, 9.0, 8.0, 7.0), history(1.0, 9.0, 6.0, 5.0), history(1.0, 3.0, 2.0, 1.0)],
        "slow": [history(4.0, 2.0, 1.0, 0.5)],
    }
    budgets = tables.time_budgets(histories)
    assert budgets == pytest.approx([3.0, 6.0, 12.0])
    table = tables.equal_time_table(histories, budgets)
    assert table.rows == (
        ("fast", "50.00", "5.000", "(50.00)", "(5.000)", "(50.00)", "(5.000)"),
        ("slow", "–", "–", "20.00", "2.000", "5.00", "0.500"),
    )
    assert "3 s" in table.header[1] and len(table.header) == 7
    assert tables.time_budgets({}) == []


def test_runs_of_dynamics_as_a_table() -> None:
    columns = {
        "potential": ("a", "a", "b"),
        "start": ("1", "2", "1"),
        "steps": ("100", "40", "100"),
        "status": ("finished", "exploded: 4000 K", "finished"),
        "first_extrapolation": ("", "12", ""),
        "worst_sigma": ("", "3.25", ""),
        "temperature_K": ("299.51", "4000.0", "301.0"),
        "drift_meV_per_atom_ps": ("", "", ""),
    }
    table = CsvTable("starts.csv", columns, (2, 3, 4))
    shown = tables.walks_table(table)
    assert "drift, meV/atom/ps" not in shown.header and shown.rows[1][3:5] == ("exploded: 4000 K", "12")


def test_text_of_a_table_is_aligned() -> None:
    lines = text_lines(Table(("mode", "error"), (("energy", "1.25"), ("exact", "0.5")), numeric=True))
    assert lines == ["mode    error", "-------------", "energy   1.25", "exact     0.5"]


# --- the dimer ---------------------------------------------------------------------------------


def test_numbers_of_the_exact_dimer() -> None:
    exact, r = LennardJones(), np.linspace(1.35, 2.8, 291)
    numbers = dimer_numbers(DimerCurve("", r, exact.energy(r), exact.force(r)), exact, 1.35, 2.8)
    assert numbers.r_min == pytest.approx(exact.r0, abs=2e-4)
    assert numbers.depth == pytest.approx(-exact.epsilon, abs=1e-4)
    assert numbers.curvature == pytest.approx(72.0 * exact.epsilon / exact.r0**2, rel=2e-3)
    assert numbers.rms == numbers.largest == 0.0


def test_numbers_of_another_dimer_and_range() -> None:
    exact, other, r = LennardJones(), LennardJones(epsilon=3.0, r0=1.6), np.linspace(1.35, 2.8, 291)
    numbers = dimer_numbers(DimerCurve("", r, other.energy(r), other.force(r)), exact, 1.5, 2.8)
    assert numbers.r_min == pytest.approx(1.6, abs=2e-4) and numbers.depth == pytest.approx(-3.0, abs=1e-4)
    inside = np.linspace(1.5, 2.8, 261)
    deviation = np.abs(other.energy(inside) - exact.energy(inside))
    assert numbers.largest == pytest.approx(deviation.max())
    assert numbers.rms == pytest.approx(np.sqrt((deviation**2).mean()))
    # Falling all the way: the lowest point is an end, and nothing is refined there
    slope = dimer_numbers(DimerCurve("", r, -r, np.ones_like(r)), exact, 1.35, 2.8)
    assert (slope.r_min, slope.depth) == pytest.approx((2.8, -2.8))
