"""Structures unlike the training data: found, named, reported, stopped at, dumped."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from calculator_cases import SPECIES, as_structure, random_atoms, write_committee, write_member
from engine_reference import chebyshev_tables, split_values
from taylorfit import Calculator, ExtrapolationError, ExtrapolationWarning
from taylorfit.engine import describe
from taylorfit.errors import FormatError, InputError
from taylorfit.formats.aenet.potential_file import read_potential, write_potential
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.data_limits import read_data_limits, write_data_limits
from taylorfit.formats.structures.xsf import read_xsf, write_xsf
from taylorfit.model.data_limits import DataLimits
from taylorfit.model.descriptor import DescriptorStatistics, component_name
from taylorfit.model.network import Network
from taylorfit.model.scaling import range_unit
from taylorfit.model.structure import Structure
from taylorfit.potential.extrapolation import find_collapse
from taylorfit.potential.potential import load_members
from taylorfit.settings.extrapolation import TOLERANCE, ExtrapolationPolicy

ANY = {"H-H": 0.0, "H-O": 0.0, "O-O": 0.0}
"""Atoms may come as close as they like."""
BEHLER_SETUP = """DESCR
END DESCR
ATOM H
ENV 2
H
O
RMIN 0.5
SYMMFUNC type=Behler2011
2
G=2 type2=O eta=0.5 Rs=0.0 Rc=6.0
G=4 type2=H type3=O eta=0.01 lambda=-1.0 zeta=2.0 Rc=5.0
"""


@pytest.fixture
def atoms() -> Atoms:
    return random_atoms()


def trained_on(folder: Path, atoms: Atoms, seed: int = 0, **changes: dict[int, tuple[float, float]]) -> Path:
    """Potentials whose training data were exactly `atoms`; `changes` widen the range of components of a species."""
    write_member(folder, atoms, seed)
    tables = chebyshev_tables(SPECIES, (4.0, 6), (3.0, 3))
    structure = as_structure(atoms)
    ((values, _),) = describe([structure], tables)
    for symbol in SPECIES:
        potential = read_potential(folder / f"{symbol}.nn")
        own = np.array(
            [v for v, s in zip(split_values(values[0], structure, tables), structure.symbols) if s == symbol]
        )
        statistics = potential.setup.statistics._replace(minimum=own.min(axis=0), maximum=own.max(axis=0))
        for f, (low, high) in changes.get(symbol, {}).items():
            statistics.minimum[f], statistics.maximum[f] = low, high
        write_potential(
            folder / f"{symbol}.nn", replace(potential, setup=replace(potential.setup, statistics=statistics))
        )
    return folder


def deviation(folder: Path, symbol: str) -> np.ndarray:
    s = read_potential(folder / f"{symbol}.nn").setup.statistics
    return np.sqrt(s.mean_square - s.mean**2)


def test_training_data_themselves_are_inside(tmp_path: Path, atoms: Atoms):
    atoms.calc = Calculator(trained_on(tmp_path, atoms), tolerance=1e-9, threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExtrapolationWarning)
        atoms.get_forces()
    assert atoms.calc.guard.n_found == 0 and atoms.calc.guard.worst == {}


@pytest.mark.parametrize(
    ("component", "name"),
    [
        (0, "radial order 0"),
        (3, "radial order 3"),
        (7, "angular order 0"),
        (10, "angular order 3"),
        (11, "radial order 0, weighted"),
        (20, "angular order 2, weighted"),
    ],
)
def test_atom_component_and_distance_are_named(tmp_path: Path, atoms: Atoms, component: int, name: str):
    """The range of one component is cut below the largest value that occurs, by 1.75 σ."""
    folder = trained_on(tmp_path, atoms)
    tables = chebyshev_tables(SPECIES, (4.0, 6), (3.0, 3))
    ((values, _),) = describe([as_structure(atoms)], tables)
    own = np.array(
        [v[component] for v, s in zip(split_values(values[0], as_structure(atoms), tables), atoms.symbols) if s == "O"]
    )
    indices = [i for i, s in enumerate(atoms.symbols) if s == "O"]
    limit = own.max() - 1.75 * deviation(folder, "O")[component]
    trained_on(tmp_path, atoms, O={component: (-1e3, limit)})
    atoms.calc = Calculator(folder, threads=1)
    with pytest.warns(ExtrapolationWarning) as caught:
        atoms.get_forces()
    outside = atoms.calc.guard.worst["descriptor"]
    assert (outside.atom, outside.symbol, outside.component) == (indices[int(own.argmax())], "O", name)
    assert outside.amount == pytest.approx(1.75, abs=1e-9)
    (message,) = {str(one.message) for one in caught if one.category is ExtrapolationWarning}
    assert {one.filename for one in caught if one.category is ExtrapolationWarning} == {__file__}
    assert message.startswith(f"atom {outside.atom + 1} (O): {name} is 1.75 σ outside the training data")


def test_components_of_symmetry_functions_have_their_parameters_in_the_name(tmp_path: Path):
    (tmp_path / "H.stp").write_text(BEHLER_SETUP)
    setup = read_setup(tmp_path / "H.stp")
    assert component_name(setup, 0).split() == ["G2", "O", "Rc=6", "Rs=0", "eta=0.5"]
    assert component_name(setup, 1).split() == ["G4", "H-O", "Rc=5", "lambda=-1", "zeta=2", "eta=0.01"]


def test_one_environment_species_has_no_weighted_half(tmp_path: Path):
    setup = chebyshev_tables(("Si",), (4.0, 6), (3.0, 3)).setups[0]
    assert [component_name(setup, f) for f in (6, 7, setup.n_feature - 1)] == [
        "radial order 6",
        "angular order 0",
        "angular order 3",
    ]


def test_tolerance_is_in_deviations(tmp_path: Path, atoms: Atoms):
    folder = trained_on(tmp_path, atoms)
    high = read_potential(folder / "O.nn").setup.statistics.maximum[2] - 0.5 * deviation(folder, "O")[2]
    trained_on(tmp_path, atoms, O={2: (-1e3, high)})
    for tolerance, found in ((0.49, 1), (0.51, 0)):
        atoms.calc = Calculator(folder, threads=1, tolerance=tolerance)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms.get_forces()
        assert atoms.calc.guard.n_found == found


@pytest.mark.parametrize(("departure", "outside"), [(1e-9, False), (0.05, True), (-0.05, True)])
def test_component_that_did_not_vary_counts_too(departure: float, outside: bool):
    """Data of dimers have no angles: an angle is unlike them, though the network does not see it; rounding is not."""
    mean = np.array([2.0, 0.0])
    unit = range_unit(DescriptorStatistics(5, mean, mean, mean, mean**2))
    assert ((abs(departure) * unit > TOLERANCE) == outside).all()


def test_ignore_says_and_counts_nothing(tmp_path: Path, atoms: Atoms):
    atoms.calc = Calculator(trained_on(tmp_path, atoms), on_extrapolation="ignore", threads=1)
    atoms.positions *= 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExtrapolationWarning)
        atoms.get_forces()
    assert atoms.calc.guard.n_found == 0


def test_same_warning_comes_again_only_when_it_gets_worse(tmp_path: Path, atoms: Atoms):
    atoms.calc = Calculator(trained_on(tmp_path, atoms), threads=1)
    cell, positions = atoms.cell.array.copy(), atoms.positions.copy()

    def n_warnings(factor: float) -> int:
        atoms.set_cell(cell * factor)
        atoms.positions = positions * factor
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            atoms.get_forces()
        return sum(issubclass(one.category, ExtrapolationWarning) for one in caught)

    assert n_warnings(0.95) == 1
    assert [n_warnings(0.9501 + 1e-6 * k) for k in range(3)] == [0, 0, 0]
    assert n_warnings(0.8) == 1
    assert atoms.calc.guard.n_found == 5


def test_stop_raises_and_the_error_knows_all(tmp_path: Path, atoms: Atoms):
    atoms.calc = Calculator(trained_on(tmp_path, atoms), on_extrapolation="stop", threads=1)
    atoms.get_forces()
    atoms.positions[0] += 0.5
    with pytest.raises(ExtrapolationError, match="σ outside the training data") as caught:
        atoms.get_forces()
    np.testing.assert_array_equal(caught.value.structure.positions, atoms.positions)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.extrapolation == caught.value.extrapolation and str(again) == str(caught.value)
    assert "forces" not in atoms.calc.results


def test_dump_writes_structures_without_energies_up_to_a_number(tmp_path: Path, atoms: Atoms):
    folder = tmp_path / "next"
    atoms.calc = Calculator(
        trained_on(tmp_path / "nn", atoms),
        on_extrapolation="dump",
        threads=1,
        dump_folder=folder,
        most_dumps=3,
        dump_interval=2,
        apart=0.0,
        most_beyond=1e6,
        shortest=ANY,
    )
    frames = []
    for step in range(10):
        atoms.positions *= 0.96 if step == 0 else 0.99
        frames.append(atoms.positions.copy())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms.get_forces()
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"extrapolation-000{k}.xsf" for k in (1, 2, 3)]
    assert atoms.calc.guard.dumped == [str(file) for file in files]
    for k, file in enumerate(files):
        structure = read_xsf(file)
        np.testing.assert_array_equal(structure.positions, frames[2 * k])
        assert structure.energy is None and structure.forces is None and structure.symbols == tuple(atoms.symbols)
        assert "σ outside the training data" in file.read_text()
    # A second run adds nothing to a full folder, and with more room continues the numbers
    for most, n in ((3, 3), (4, 4)):
        atoms.calc = Calculator(
            tmp_path / "nn",
            on_extrapolation="dump",
            threads=1,
            dump_folder=folder,
            most_dumps=most,
            apart=0.0,
            most_beyond=1e6,
            shortest=ANY,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms.get_forces()
        assert len(list(folder.iterdir())) == n


def quietly(atoms: Atoms) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms.get_forces()


def test_dumped_structures_differ(tmp_path: Path, atoms: Atoms):
    """What an earlier run has left there counts, too; a file of other species resembles nothing."""
    trained_on(tmp_path / "nn", atoms)
    folder = tmp_path / "next"
    folder.mkdir()
    write_xsf(folder / "extrapolation-0001.xsf", Structure(("Ar",), np.zeros((1, 3))))
    options = {"on_extrapolation": "dump", "threads": 1, "dump_folder": folder, "dump_interval": 1}
    options |= {"most_beyond": 1e6, "shortest": ANY}
    start = atoms.positions.copy()
    for apart, n in ((1e-3, 4), (0.0, 5)):  # the third resembles the second, and all are there in the second run
        atoms.calc = Calculator(tmp_path / "nn", apart=apart, **options)
        for factor in (0.94, 0.9, 0.9 + 1e-8, 0.85) if apart else (0.94,):
            atoms.positions = start * factor
            quietly(atoms)
        assert len(list(folder.iterdir())) == n
    atoms.calc = Calculator(tmp_path / "nn", apart=1e-3, **options)
    for factor in (0.94, 0.85):
        atoms.positions = start * factor
        quietly(atoms)
    assert atoms.calc.guard.dumped == []


def test_a_collapsed_structure_is_not_dumped_and_ends_the_run(tmp_path: Path, atoms: Atoms):
    trained_on(tmp_path / "nn", atoms)
    options = {"on_extrapolation": "dump", "threads": 1, "dump_folder": tmp_path / "next", "apart": 0.0}
    start = atoms.positions.copy()
    atoms.positions[1] += 0.97 * (atoms.positions[0] - atoms.positions[1])
    pair = "-".join(sorted((atoms.symbols[0], atoms.symbols[1])))
    close = atoms.get_distance(0, 1)
    for shortest, most_beyond, ends in (
        ({pair: 1.1 * close}, 1e9, f"{close:.3g} Å from an atom"),
        ({**ANY, pair: 0.9 * close}, 1e9, ""),
        ({}, 1e9, f"{close:.3g} Å from an atom"),  # by the covalent radii
        (ANY, 1.5, "σ outside the training data"),
    ):
        atoms.calc = Calculator(tmp_path / "nn", shortest=shortest, most_beyond=most_beyond, **options)
        if not ends:
            quietly(atoms)
            continue
        with pytest.raises(ExtrapolationError, match=ends) as caught:
            quietly(atoms)
        assert caught.value.collapsed and atoms.calc.guard.dumped == []
        assert pickle.loads(pickle.dumps(caught.value)).collapsed
    atoms.positions = start
    assert len(list((tmp_path / "next").iterdir())) == 1


def test_closest_pair_is_the_one_that_is_furthest_below_its_limit():
    """Images count, each pair of species has its own limit, and no limit looks at nothing."""
    positions = np.array([[0.0, 0, 0], [0.9, 0, 0], [0, 2.9, 0]])
    structure = Structure(("H", "O", "H"), positions, 4.0 * np.eye(3), (True,) * 3)
    found = find_collapse(structure, ExtrapolationPolicy(shortest={"O-H": 1.0, "H-H": 1.5}))
    assert found is not None and (found.component, found.other) == ("distance", "H") and found.symbol == "H"
    assert (found.amount, found.limit, found.n_atoms) == (pytest.approx(1.1), 1.5, 3)
    assert find_collapse(structure, ExtrapolationPolicy(shortest=ANY)) is None
    assert find_collapse(structure, ExtrapolationPolicy()) is None
    assert ExtrapolationPolicy().shortest_of("O", "H") == pytest.approx(0.6 * 0.97)


def test_members_that_remember_their_data_are_compared_by_default(tmp_path: Path, atoms: Atoms):
    write_committee(tmp_path, atoms, 3)
    for folder in tmp_path.iterdir():
        trained_on(folder, atoms, seed=int(folder.name))
    atoms.calc = Calculator.committee(tmp_path, on_extrapolation="ignore", threads=1)
    atoms.get_forces()
    std = atoms.calc.results["forces_std"]
    assert Calculator.committee(tmp_path).guard.policy.tolerance == TOLERANCE  # nothing is remembered
    write_data_limits(tmp_path, DataLimits(0.9 * std.max(), {"H-O": 0.5}))
    for source in (tmp_path, load_members(tmp_path)):
        atoms.calc = Calculator.committee(source, on_extrapolation="stop", threads=1)
        policy = atoms.calc.guard.policy
        assert policy.tolerance is None and policy.shortest == {"H-O": 0.75 * 0.5}
        with pytest.raises(ExtrapolationError, match=f"atom {std.argmax() + 1} .*members differ by"):
            atoms.get_forces()
    for options, tolerance, limit in (
        ({"tolerance": 0.7}, 0.7, None),
        ({"max_force_std": 0.2}, None, 0.2),
        ({"tolerance": 0.7, "max_force_std": 0.2}, 0.7, 0.2),
    ):
        policy = Calculator.committee(tmp_path, **options).guard.policy
        assert (policy.tolerance, policy.max_force_std) == (tolerance, limit)
    single = Calculator(tmp_path / "01").guard.policy
    assert (single.tolerance, single.max_force_std) == (TOLERANCE, None)


def test_limits_of_a_committee_survive_their_file(tmp_path: Path):
    for limits in (DataLimits(0.3, {"H-O": 0.9}), DataLimits(None, {"O-O": 2.5}), DataLimits(0.2)):
        write_data_limits(tmp_path, limits)
        assert read_data_limits(tmp_path) == limits
    write_data_limits(tmp_path, DataLimits())
    assert read_data_limits(tmp_path) is None
    for text in ("force deviation, eV/A: x", "force deviation, eV/A: -1", "else", "shortest distance H, A: 1"):
        (tmp_path / "data.limits").write_text(f"shortest distance H-O, A: 1\n{text}\n")
        with pytest.raises(FormatError, match="line 2"):
            read_data_limits(tmp_path)
    known = DataLimits(0.3, {"H-O": 0.9, "O-O": 2.5})
    assert DataLimits.common([known, DataLimits(0.4, {"H-O": 0.8})]) == DataLimits(0.4, {"H-O": 0.8})
    assert DataLimits.common([known, None]) == DataLimits.common([]) == DataLimits()


def test_results_have_how_far_each_atom_is_outside(tmp_path: Path, atoms: Atoms):
    atoms.calc = Calculator(trained_on(tmp_path, atoms), threads=1)
    atoms.get_forces()
    assert atoms.calc.results["excess"].shape == (len(atoms),) and atoms.calc.results["excess"].max() <= 1e-9
    atoms.positions *= 0.9
    quietly(atoms)
    worst = atoms.calc.guard.worst["descriptor"]
    assert atoms.calc.results["excess"][worst.atom] == atoms.calc.results["excess"].max() == worst.amount
    assert "excess" not in list(atoms.calc.results)  # ASE does not know it


def test_committee_that_disagrees_about_forces_is_noticed(tmp_path: Path, atoms: Atoms):
    write_committee(tmp_path, atoms, 3)
    for folder in tmp_path.iterdir():
        trained_on(folder, atoms, seed=int(folder.name))
    reference = atoms.copy()
    reference.calc = Calculator.committee(tmp_path, on_extrapolation="ignore", threads=1)
    reference.get_forces()
    std = reference.calc.results["forces_std"]
    atoms.calc = Calculator.committee(tmp_path, max_force_std=0.9 * std.max(), threads=1)
    with pytest.warns(ExtrapolationWarning, match=f"atom {std.argmax() + 1} .*members differ by .* eV/Å in its force"):
        atoms.get_potential_energy()
    assert atoms.calc.guard.worst["committee"].amount == pytest.approx(std.max())
    atoms.calc = Calculator.committee(tmp_path, max_force_std=1.1 * std.max(), on_extrapolation="stop", threads=1)
    atoms.get_forces()


def test_range_of_a_committee_is_what_all_members_know(tmp_path: Path, atoms: Atoms):
    trained_on(tmp_path / "01", atoms)
    folder = trained_on(tmp_path / "02", atoms)
    high = read_potential(folder / "H.nn").setup.statistics.maximum[1] - deviation(folder, "H")[1]
    trained_on(tmp_path / "02", atoms, H={1: (-1e3, high)})
    potential = read_potential(folder / "H.nn")  # of the same data, but another member
    network = replace(potential.network, weights=2.0 * potential.network.weights)
    write_potential(folder / "H.nn", replace(potential, network=network))
    atoms.calc = Calculator.committee(tmp_path, on_extrapolation="stop", threads=1)
    with pytest.raises(ExtrapolationError, match="radial order 1 is 1 σ"):
        atoms.get_forces()


def test_species_without_statistics_is_not_compared(tmp_path: Path, atoms: Atoms):
    folder = trained_on(tmp_path, atoms)
    potential = read_potential(folder / "O.nn")
    n = potential.setup.n_feature
    empty = replace(
        potential,
        setup=replace(potential.setup, statistics=DescriptorStatistics.empty(n)),
        network=Network.random((n, 1), (0,), np.random.default_rng(0)),
    )
    write_potential(folder / "O.nn", empty)
    atoms.calc = Calculator(folder, on_extrapolation="stop", threads=1)
    atoms.get_forces()


@pytest.mark.parametrize(
    "changes",
    [{"action": "x"}, {"tolerance": np.inf}, {"max_force_std": 0.0}, {"most_dumps": -1}, {"dump_interval": 0}],
)
def test_policy_refuses_what_makes_no_sense(changes: dict):
    with pytest.raises(InputError):
        ExtrapolationPolicy(**changes)
