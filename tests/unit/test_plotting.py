"""Figures: units on every axis, the right artists with the right values, files that do not change from run to run."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from prediction_cases import noisy_predictions, train_report, training
from taylorfit import plotting
from taylorfit.analysis.errors import errors_in
from taylorfit.analysis.lennard_jones import LennardJones
from taylorfit.analysis.measures import direction_error
from taylorfit.analysis.scan_series import scan_series
from taylorfit.errors import FormatError, InputError
from taylorfit.formats.csv_table import Table, read_table
from taylorfit.plotting import curves, dimer, directions, errors, nve, parity, rdf, scan, style

SETS = [noisy_predictions(noise, label) for noise, label in ((0.8, "energy"), (0.3, "Taylor"), (0.05, "exact"))]
UNIT = re.compile(r"\((meV/atom|eV/atom|eV/Å|eV|Å|Å²|ps|degrees|%|Å/eV|atom/meV|copies per structure)\)$")


def labels(figure: Figure) -> list[str]:
    """All axis labels that are shown."""
    found = [text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel()) if text]
    return found + ([figure.get_supylabel()] if figure.get_supylabel() else [])


def legend(figure: Figure) -> list[str]:
    """Entries of the first legend."""
    found = [axes.get_legend() for axes in figure.axes if axes.get_legend()] + figure.legends
    return [text.get_text() for text in found[0].get_texts()]


def scan_table(folder: Path, with_delta: bool = True) -> Table:
    """Three modes; δ of taylor varies, and a; three seeds."""
    lines = ["label,mode,delta_A,multiple_a,n_structures,seed,energy_rmse_meV_per_atom,force_error_norm_mean_eV_per_A"]
    for seed in range(3):
        lines.append(f"energy,energy,,,471,{seed},{5 + seed},{1.0 + 0.1 * seed}")
        for a in (11, 22):
            for delta in (0.02, 0.01):
                value = 100 * delta + 0.01 * a + 0.1 * seed
                lines.append(f"taylor,taylor,{delta if with_delta else ''},{a},471,{seed},{2 * value},{value}")
    (folder / "scan.csv").write_text("\n".join(lines) + "\n")
    return read_table(folder / "scan.csv")


def every_figure(folder: Path) -> dict[str, Figure]:
    time, r = np.linspace(0.0, 2.0, 50), np.linspace(1.3, 3.0, 20)
    lj = LennardJones()
    return {
        "curves": curves([training(folder)], ["a"]),
        "parity": parity(SETS[0]),
        "errors": errors(SETS),
        "errors, log": errors(SETS, log=True),
        "directions": directions(SETS),
        "scan": scan.figure(scan_table(folder), "delta"),
        "nve": nve.figure([nve.NveRun("a", time, 1e-6 * time)]),
        "dimer": dimer.figure([dimer.DimerCurve("a", r, lj.energy(r), lj.force(r))], lj, r),
    }


def letters(figure: Any) -> list[str]:
    """Names of the panels, without those that have none."""
    return [name for axes in figure.axes if (name := axes.get_title(loc="left"))]


def test_every_axis_has_a_unit(tmp_path: Path) -> None:
    for name, figure in every_figure(tmp_path).items():
        plain = {"epoch", "share of the atoms per cell (%)", "values per cell"}
        found = [label for label in labels(figure) if label not in plain]
        assert found and all(UNIT.search(label) for label in found), (name, found)


def test_figures_leave_matplotlib_as_it_was(tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 31.0, "lines.linewidth": 9.0}):
        figure = every_figure(tmp_path)["dimer"]
        assert matplotlib.rcParams["font.size"] == 31.0
        assert figure.axes[0].xaxis.label.get_size() == 8.0  # whatever the user's settings are


def test_figures_of_results_from_python() -> None:
    fit = SimpleNamespace(to_dict=lambda: train_report(20, 5))
    assert plotting.curves(fit).axes[0].get_xlim() == (1, 20)
    assert len(plotting.curves([fit, fit], ["a", "b"]).axes[0].get_legend().texts) == 5
    for draw, n in ((plotting.parity, 3), (plotting.errors, 2), (plotting.directions, 2)):
        assert len(draw(SETS[0]).axes) == n
    with pytest.raises(AttributeError, match="pie"):
        _ = plotting.pie


def test_pyplot_and_its_global_state_are_not_used() -> None:
    code = (
        "import sys; from taylorfit.plotting import directions, parity, scan; "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("suffix", style.SUFFIXES)
def test_the_same_data_give_the_same_file(suffix: str, tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        style.save(errors(SETS), tmp_path / f"{name}{suffix}")
        contents.append((tmp_path / f"{name}{suffix}").read_bytes())
    assert contents[0] == contents[1] and len(contents[0]) > 5000
    assert b"Date" not in contents[0] and b"Matplotlib" not in contents[0]


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.gif: .*: found '\.gif', expected \.png or \.pdf"):
        style.save(errors(SETS), tmp_path / "x.gif")
    assert not list(tmp_path.iterdir())


def test_styles_stay_different_for_many_lines() -> None:
    n = len(style.COLOURS)
    for of in (style.line_style, style.marker_style):
        found = [tuple(map(str, of(index).values())) for index in range(3 * n)]
        assert len(set(found)) == 3 * n


# --- learning curves ---------------------------------------------------------------------------


def test_curves_of_two_trainings(tmp_path: Path) -> None:
    one, other = training(tmp_path), training(tmp_path, best_epoch=90)
    figure = curves([one, other], ["energy", "Taylor"])
    above, below = figure.axes
    assert [len(axes.lines) for axes in figure.axes] == [6, 4]  # train, test, mark; force error, mark
    np.testing.assert_allclose(above.lines[1].get_ydata(), 1e3 * one.test_rmse)
    np.testing.assert_allclose(above.lines[2].get_xydata(), [[60, 1e3 * one.test_rmse[60]]])
    np.testing.assert_allclose(below.lines[0].get_ydata(), one.validation_force_error)
    assert legend(figure)[:2] == ["energy", "Taylor"] and "best test epoch" in legend(figure)
    assert letters(figure) == ["(a)", "(b)"]


def test_curves_of_one_training_are_called_test_and_training(tmp_path: Path) -> None:
    figure = curves(training(tmp_path), ["some-file"])
    assert legend(figure) == ["test", "training", "best test epoch"]
    assert {line.get_color() for line in figure.axes[0].get_legend().get_lines()} == {style.COLOURS[0]}


def test_curves_without_test_and_validation(tmp_path: Path) -> None:
    epochs = [row | {"test_rmse": None} for row in train_report()["epochs"]]
    figure = curves([training(tmp_path, epochs=epochs, validation_history=[])], ["a"])
    assert len(figure.axes) == 1 and len(figure.axes[0].lines) == 1 and legend(figure) == ["training"]


def test_curves_show_test_forces_where_there_is_no_validation(tmp_path: Path) -> None:
    epochs = [
        row | {"test_force_rmse": 1.0 / (1 + row["epoch"]) if row["epoch"] % 10 == 0 else None}
        for row in train_report()["epochs"]
    ]
    figure = curves([training(tmp_path, epochs=epochs, validation_history=[])], ["a"])
    below = figure.axes[1]
    assert below.get_ylabel() == "test: RMSE of force components (eV/Å)"
    np.testing.assert_allclose(below.lines[0].get_xydata()[:2], [[0, 1.0], [10, 1.0 / 11.0]])


# --- predictions -------------------------------------------------------------------------------


def test_parity_shows_points_and_errors() -> None:
    figure = parity(SETS[0])
    energy, residual, force = figure.axes[:3]
    assert letters(figure) == ["(a)", "(b)", "(c)"]
    error = 1e3 * (SETS[0].energies_per_atom[1] - SETS[0].energies_per_atom[0])
    np.testing.assert_allclose(residual.lines[1].get_xydata().T, [SETS[0].energies_per_atom[0], error])
    assert residual.get_ylim()[1] > np.abs(error).max()
    np.testing.assert_array_equal(energy.lines[0].get_xydata().T, SETS[0].energies_per_atom)
    reference, prediction = SETS[0].compared_forces
    np.testing.assert_array_equal(force.lines[0].get_xydata().T, [reference.ravel(), prediction.ravel()])
    found = errors_in(SETS[0])
    assert f"MAE {1e3 * found.energy_mae:#.3g} meV/atom" in energy.texts[0].get_text()
    assert f"RMSE {found.force_rmse:#.3g} eV/Å" in force.texts[0].get_text()


def test_parity_of_many_values_is_a_map() -> None:
    many = noisy_predictions(0.3, n_structures=400)
    figure = parity(many)
    (mesh,) = figure.axes[2].collections
    assert mesh.get_array().sum() == many.forces.size


def test_parity_leaves_out_what_has_no_reference() -> None:
    forces_only = replace(SETS[0], energy_ref=np.full(SETS[0].n_structures, np.nan))
    assert len(parity(forces_only).axes) == 1
    with pytest.raises(InputError, match="no reference"):
        parity(replace(forces_only, forces_ref=np.full_like(SETS[0].forces_ref, np.nan)))


def test_distributions_have_the_area_that_is_shown() -> None:
    figure = errors(SETS)
    for panel in figure.axes:
        assert len(panel.patches) == len(SETS)
        for patch in panel.patches:
            values, edges, _ = patch.get_data()
            assert 0.98 < (values * np.diff(edges)).sum() <= 1.0 + 1e-12
    widths = [np.ptp(patch.get_data().edges) for patch in figure.axes[0].patches]
    assert widths[0] > widths[1] > widths[2]
    assert legend(figure) == ["energy", "Taylor", "exact"]


def test_logarithmic_distributions_count_what_is_beyond_the_axis() -> None:
    far = np.array(SETS[0].forces)
    far[0] += 50.0
    figure = errors([replace(SETS[0], forces=far), SETS[1]], log=True)
    limit = figure.axes[0].get_xlim()[1]
    beyond = [
        int((np.linalg.norm(forces - one.forces_ref, axis=1) > limit).sum())
        for forces, one in ((far, SETS[0]), (SETS[1].forces, SETS[1]))
    ]
    assert beyond[0] > 0 and limit < 50.0
    assert legend(figure) == [one.label + (f" ({n} farther out)" if n else "") for one, n in zip(SETS, beyond)]


def test_logarithmic_distributions_are_fractions_of_larger_errors() -> None:
    """Straight from the values: no bins, so that no single value of a tail stands alone."""
    figure = errors(SETS, log=True)
    assert letters(figure) == ["(a)", "(b)"] and not figure.axes[0].patches
    for panel, values in zip(
        figure.axes,
        (
            np.linalg.norm(SETS[1].forces - SETS[1].forces_ref, axis=1),
            1e3 * np.abs(SETS[1].energy - SETS[1].energy_ref) / SETS[1].n_atoms,
        ),
    ):
        error, larger = panel.lines[1].get_data()
        assert larger[0] == 100.0 and larger[-1] == pytest.approx(100.0 / len(values)) and (np.diff(larger) <= 0).all()
        for k in (1, len(values) // 2, len(values)):
            assert larger[k] == pytest.approx(100.0 * (values >= error[k] - 1e-9).mean())


def test_distributions_of_perfect_and_of_single_predictions() -> None:
    perfect = replace(SETS[0], forces=SETS[0].forces_ref, energy=SETS[0].energy_ref)
    assert len(errors([perfect, noisy_predictions(0.1, n_structures=1)], log=True).axes) == 2


def test_direction_maps_share_their_scale_and_count_all_atoms() -> None:
    figure = directions(SETS)
    maps = [axes.collections[0] for axes in figure.axes[:3]]
    assert len({(mesh.norm.vmin, mesh.norm.vmax) for mesh in maps}) == 1
    for mesh, one, axes in zip(maps, SETS, figure.axes):
        assert 99.0 < mesh.get_array().sum() <= 100.0 + 1e-9
        angle = direction_error(one.forces, one.forces_ref)
        assert f"{one.label}\nmean {angle.mean():.1f}°, median {np.median(angle):.1f}°" == axes.texts[0].get_text()


def test_direction_maps_need_forces() -> None:
    with pytest.raises(InputError, match="no reference forces to compare with: found 'energy'"):
        directions([replace(SETS[0], forces_ref=np.full_like(SETS[0].forces_ref, np.nan))])


@pytest.mark.parametrize("n", (1, 2, 4))
def test_direction_maps_of_any_number(n: int) -> None:
    figure = directions((SETS * 2)[:n])
    assert sum(bool(axes.collections) for axes in figure.axes[:-1]) == n


def test_dollars_in_labels_are_dollars(tmp_path: Path) -> None:
    odd = replace(SETS[0], label="costs $_{ $ 5")
    for figure in (errors([odd]), directions([odd]), curves([training(tmp_path)], [odd.label])):
        assert len(style.png_bytes(figure, dpi=40)) > 1000


# --- scans -------------------------------------------------------------------------------------


def test_scan_reduces_seeds_to_best_and_median(tmp_path: Path) -> None:
    found = {one.label: one for one in scan_series(scan_table(tmp_path), "delta", "force_error_norm_mean_eV_per_A")}
    assert list(found) == ["energy", "taylor, a = 11", "taylor, a = 22"]
    line = found["taylor, a = 22"]
    np.testing.assert_allclose(line.x, [0.01, 0.02])
    np.testing.assert_allclose(line.best, [1.22, 2.22])
    np.testing.assert_allclose(line.median, [1.32, 2.32])
    assert line.seeds == (3, 3)
    flat = found["energy"]
    assert flat.x.size == 0 and flat.best == [1.0] and flat.median == pytest.approx([1.1])


def test_scan_relative_to_a_mode_and_along_another_axis(tmp_path: Path) -> None:
    found = {
        one.label: one for one in scan_series(scan_table(tmp_path), "a", "energy_rmse_meV_per_atom", relative="energy")
    }
    # One reference for all: the median of energy training
    assert found["energy"].best == pytest.approx([5 / 6]) and found["energy"].median == [1.0]
    line = found["taylor, δ = 0.01 Å"]
    np.testing.assert_allclose(line.x, [11, 22])
    np.testing.assert_allclose(line.best, 2 * np.array([1.11, 1.22]) / 6)
    np.testing.assert_allclose(line.median, 2 * np.array([1.21, 1.32]) / 6)


def test_scan_figure_draws_best_solid_and_median_dashed(tmp_path: Path) -> None:
    figure = scan.figure(scan_table(tmp_path), "delta")
    for panel in figure.axes:
        assert len(panel.lines) == 6 and [line.get_linestyle() for line in panel.lines] == ["-", "--"] * 3
    modes = ["energy", "taylor, a = 11", "taylor, a = 22"]
    assert legend(figure) == [*(f"{mode} (n = 3)" for mode in modes), "best", "median", "each"]
    points = figure.axes[1].collections[0].get_offsets()
    assert len(points) == 6 and points[:, 1].min() == min(figure.axes[1].lines[2].get_ydata())
    assert len(figure.axes[1].patches) == 1  # what the seeds of energy training span
    assert figure.axes[1].get_ylim()[1] > points[:, 1].max()


def test_the_legend_of_a_scan_says_how_many_trainings_there_are(tmp_path: Path) -> None:
    table = scan_table(tmp_path)
    lines = Path(table.file).read_text().splitlines(keepends=True)
    # The last row is one seed of the smaller δ with a = 22
    (tmp_path / "fewer.csv").write_text("".join(lines[:-1]))
    assert legend(scan.figure(read_table(tmp_path / "fewer.csv"), "delta"))[2] == "taylor, a = 22 (n = 2 to 3)"
    (tmp_path / "one.csv").write_text("".join(lines[:6]))
    assert legend(scan.figure(read_table(tmp_path / "one.csv"), "delta"))[2] == "taylor, a = 22"


def test_scan_complaints(tmp_path: Path) -> None:
    table = scan_table(tmp_path)
    with pytest.raises(InputError, match="found 'exact', expected energy or taylor"):
        scan.figure(table, "delta", relative="exact")
    with pytest.raises(FormatError, match="no column beta_A2"):
        scan.figure(table, "beta")
    with pytest.raises(InputError, match="no row has a value on the axis asked for: found 'delta_A'"):
        scan.figure(scan_table(tmp_path, with_delta=False), "delta")


# --- molecular dynamics and the dimer ----------------------------------------------------------


STEPS = """potential,start,step,time_ps,E_pot_eV,E_kin_eV,E_tot_eV,T_K
exact,1,0,0.0,-563,3,-560.0,300
exact,1,1,0.5,-563,3,-559.944,300
exact,2,0,0.0,-563,3,-561.0,300
exact,2,1,0.5,-563,3,-560.888,300
energy,1,0,0.0,-563,3,-560.0,300
energy,1,1,0.5,-563,3,-550.0,300
"""


def test_nve_runs_are_per_atom_and_relative_to_the_start_and_belong_to_potentials(tmp_path: Path) -> None:
    (tmp_path / "md.steps.csv").write_text(STEPS)
    table = read_table(tmp_path / "md.steps.csv")
    runs = nve.nve_runs(table, n_atoms=56)
    assert [run.label for run in runs] == ["exact", "exact", "energy"]
    np.testing.assert_allclose(runs[0].change, [0.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(runs[1].change, [0.0, 2.0], atol=1e-9)
    assert {run.label for run in nve.nve_runs(table, "LMNTO", n_atoms=56)} == {"LMNTO, exact", "LMNTO, energy"}
    together = nve.figure(runs[:2])
    assert len(together.axes) == 1 and legend(together) == ["exact"]
    # A run that drifts would flatten the others
    apart = nve.figure(runs)
    assert [[text.get_text() for text in axes.texts] for axes in apart.axes] == [["exact", "1", "2"], ["energy"]]
    assert [text.get_text() for text in together.axes[0].texts] == ["1", "2"]
    assert [len(axes.lines) for axes in apart.axes] == [3, 2]  # with the line at zero
    with pytest.raises(FormatError, match="no column n_atoms"):
        nve.nve_runs(table)


def test_nve_takes_atoms_from_the_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time_ps,E_tot_eV,n_atoms\n0.0,-560.0,56\n1.0,-560.056,56\n")
    (run,) = nve.nve_runs(read_table(tmp_path / "a.csv"), fallback="a")
    assert run.label == "a" and run.change[1] == pytest.approx(-1.0)


def test_rdf_has_a_panel_for_each_pair(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "potential,pair,r_A,g,g_std\nT,O-O,1.0,0.0,\nT,O-O,2.0,1.5,\nT,O-H,1.0,0.5,\nT,O-H,2.0,0.9,\n"
        "E,O-O,1.0,0.2,\nE,O-O,2.0,1.1,\n"
    )
    (tmp_path / "b.csv").write_text("r_A,g\n1.0,0.1\n2.0,1.2\n")
    found = rdf.rdf_curves(read_table(tmp_path / "a.csv"))
    assert [(curve.label, curve.pair) for curve in found] == [("T", "O-O"), ("T", "O-H"), ("E", "O-O")]
    figure = rdf.figure(found)
    assert [axes.get_ylabel() for axes in figure.axes] == ["g(r), O-O", "g(r), O-H"]
    first, second = ([line for line in axes.lines if line.get_label()[0] != "_"] for axes in figure.axes)
    np.testing.assert_array_equal(first[1].get_xydata(), [[1.0, 0.2], [2.0, 1.1]])
    assert len(first) == 2 and len(second) == 1 and first[0].get_color() == second[0].get_color()
    assert all(axes.get_xlabel() == "r (Å)" for axes in figure.axes)
    (one,) = rdf.rdf_curves(read_table(tmp_path / "b.csv"), "reference")
    assert (one.label, one.pair) == ("reference", "")
    (tmp_path / "c.csv").write_text("r_A,g\n1.0,0.1\n1.0,0.2\n")
    with pytest.raises(FormatError, match="distances do not ascend"):
        rdf.rdf_curves(read_table(tmp_path / "c.csv"))


def test_dimer_shows_exact_curve_points_and_potentials() -> None:
    r = np.linspace(1.3, 3.0, 50)
    lj = LennardJones()
    above, below = dimer.figure([dimer.DimerCurve("net", r, lj.energy(r) + 0.1, lj.force(r) - 0.1)], lj, r).axes
    energies = {line.get_label(): line for line in above.lines}
    np.testing.assert_array_equal(energies["exact"].get_ydata(), lj.energy(r))
    assert len(energies["reference points"].get_xdata()) == 7
    assert len(energies["Taylor points, ±0.02 Å"].get_xdata()) == 14
    np.testing.assert_allclose(energies["net"].get_ydata() - energies["exact"].get_ydata(), 0.1)
    np.testing.assert_allclose(below.lines[-1].get_ydata(), lj.force(r) - 0.1)
