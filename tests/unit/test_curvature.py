"""Mean force constants: from forces at a temperature, from near frames, from a potential; and Hessians from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cli_support import morse_cluster
from taylorfit.data.curvature import BOLTZMANN, Curvature, curvature_from_forces, curvature_from_pairs
from taylorfit.data.frame_pairs import find_frame_pairs
from taylorfit.errors import FormatError, InputError
from taylorfit.formats.hessian_file import find_hessian, hessian_stem, read_hessian
from taylorfit.generation.hessians import FiniteDifferenceHessians, StoredHessians, curvature_from_potential
from taylorfit.model.activations import ACTIVATIONS
from taylorfit.model.descriptor import DescriptorStatistics, chebyshev_setup
from taylorfit.model.network import Network, SpeciesPotential, TrainingSetInfo
from taylorfit.model.structure import Structure
from taylorfit.potential.potential import Potential

SITES = 3.0 * np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)], dtype=float)
SYMBOLS = ("Ti", "O") * 4
STIFFNESS = np.repeat(np.where(np.array(SYMBOLS) == "Ti", 20.0, 5.0), 3)


def crystal_hessian() -> np.ndarray:
    half = np.random.default_rng(5).normal(size=(24, 24))
    coupling = 0.05 * (half + half.T)
    np.fill_diagonal(coupling, 0.0)
    return np.diag(STIFFNESS) + coupling


def thermal(n: int, temperature: float, seed: int = 0) -> list[Structure]:
    """Frames of a harmonic crystal in equilibrium."""
    hessian = crystal_hessian()
    factor = np.linalg.cholesky(np.linalg.inv(hessian) * BOLTZMANN * temperature)
    frames = []
    for index, normal in enumerate(np.random.default_rng(seed).normal(size=(n, 24))):
        u = factor @ normal
        frames.append(
            Structure(
                SYMBOLS,
                SITES + u.reshape(8, 3),
                6.0 * np.eye(3),
                (True,) * 3,
                0.5 * u @ hessian @ u,
                -(hessian @ u).reshape(8, 3),
                name=f"f{index}",
            )
        )
    return frames


def test_forces_at_a_temperature_tell_the_force_constants():
    found = curvature_from_forces(thermal(400, 350.0), 350.0)
    for symbol, k in (("Ti", 20.0), ("O", 5.0)):
        assert found.constants[symbol] == pytest.approx(k, rel=0.05)
        assert abs(found.constants[symbol] - k) < 4.0 * found.errors[symbol] < 0.3 * k
    assert "350 K" in found.source and "eV/Å²" in found.text


def test_the_identity_holds_for_an_anharmonic_well_too():
    """U = a x⁴ with the exact distribution on a grid: ⟨U''⟩ = ⟨F²⟩/kT."""
    x = np.linspace(-1.0, 1.0, 4001)
    weight = np.exp(-3.0 * x**4 / (BOLTZMANN * 300.0))
    drawn = np.repeat(x, np.round(2e3 * weight / weight.max()).astype(int))
    n = len(drawn) // 3
    forces = (-12.0 * drawn**3)[: 3 * n].reshape(n, 3)
    found = curvature_from_forces([Structure(("X",) * n, np.zeros((n, 3)), forces=forces)], 300.0)
    assert found.constants["X"] == pytest.approx((36.0 * drawn**2).mean(), rel=2e-3)


@pytest.mark.parametrize("step", [0.001, 0.01])
def test_near_frames_tell_the_force_constants(step):
    rng, hessian = np.random.default_rng(2), crystal_hessian()
    frames = []
    for index, u in enumerate(np.cumsum(step * rng.normal(size=(40, 24)), axis=0)):
        image = 6.0 * rng.integers(-1, 2, size=(8, 3))
        frames.append(
            Structure(
                SYMBOLS,
                SITES + u.reshape(8, 3) + image,
                6.0 * np.eye(3),
                (True,) * 3,
                0.0,
                -(hessian @ u).reshape(8, 3),
                name=f"f{index}",
            )
        )
    found = curvature_from_pairs(frames, find_frame_pairs(frames))
    for symbol, k in (("Ti", 20.0), ("O", 5.0)):
        assert found.constants[symbol] == pytest.approx(k, rel=0.1)
    assert curvature_from_pairs(frames[:5], find_frame_pairs(frames[:5])) is None


def test_frames_far_apart_tell_nothing():
    frames = thermal(60, 3000.0)
    assert curvature_from_pairs(frames, find_frame_pairs(frames)) is None


@pytest.mark.parametrize("k", [0.0, -3.0, np.nan])
def test_force_constants_must_be_positive(k):
    with pytest.raises(InputError, match="mean force constant of O not positive"):
        Curvature({"Ti": 3.0, "O": k}, "as given")


# --- a first potential -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def potential() -> Potential:
    setup = chebyshev_setup("Ar", ("Ar",), radial_cutoff=5.0, radial_order=4, angular_cutoff=4.0, angular_order=2)
    n = setup.n_feature
    statistics = DescriptorStatistics(10, np.full(n, -9.0), np.full(n, 9.0), np.zeros(n), np.full(n, 4.0))
    setup = type(setup)(**{**setup.__dict__, "statistics": statistics})
    network = Network.random((n, 6, 1), (ACTIVATIONS.index("tanh"), 0), np.random.default_rng(1))
    info = TrainingSetInfo("x.train", True, 0.5, 0.0, ("Ar",), (-10.0,), 10, 2, -1.0, 1.0, 0.0)
    return Potential((SpeciesPotential(network, setup, info),))


@pytest.fixture(scope="module")
def clusters() -> list[Structure]:
    rng = np.random.default_rng(4)
    return [morse_cluster(rng, 4, name=f"c{k}") for k in range(3)]


def test_hessians_from_a_potential_are_second_derivatives_of_its_energy(potential, clusters):
    source = FiniteDifferenceHessians(potential, clusters, threads=1)
    hessian = source(1)
    assert np.array_equal(hessian, hessian.T) and source(1) is hessian and source(0) is not hessian
    step = 1e-3 * np.random.default_rng(0).normal(size=(4, 3))
    moved = [Structure(("Ar",) * 4, clusters[1].positions + sign * step) for sign in (-1.0, 0.0, 1.0)]
    minus, here, plus = (e.energy for e in potential.evaluate(moved, threads=1))
    assert step.ravel() @ hessian @ step.ravel() == pytest.approx(minus + plus - 2.0 * here, rel=1e-4)
    assert np.abs(hessian.reshape(12, 4, 3).sum(axis=1)).max() < 1e-6 * np.abs(hessian).max()  # translations


def test_the_trace_of_the_hessian_by_random_vectors(potential, clusters):
    many = clusters * 60
    source = FiniteDifferenceHessians(potential, clusters, threads=1)
    exact = np.mean([np.trace(source(index)) / 12 for index in range(3)])
    if exact < 0.0:
        pytest.fail("the random network must be stiff on the average for this test")
    found = curvature_from_potential(many, potential, threads=1)
    assert abs(found.constants["Ar"] - exact) < 4.0 * found.errors["Ar"]
    assert found.errors["Ar"] < 0.5 * exact
    assert curvature_from_potential(many, potential, threads=2).constants == found.constants


# --- Hessians from files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("xsf/a.xsf", "a"),
        ("a", "a"),
        ("runs/md.extxyz#12", "md_12"),
        ("a.b/c.d.xsf", "c.d"),
        ("vasp/OUTCAR#0", "OUTCAR_0"),
    ],
)
def test_file_names_of_hessians(name, stem):
    assert hessian_stem(name) == stem


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".txt", ".dat", ".hessian"])
def test_hessians_are_read_from_each_kind_of_file(suffix, tmp_path: Path):
    matrix = crystal_hessian()
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, hessian=matrix, other=np.zeros(3))
    elif suffix == ".npy":
        np.save(path, matrix)
    else:
        np.savetxt(path, matrix, fmt="%.17g", header="eV/Å²", encoding="utf-8")
    np.testing.assert_array_equal(read_hessian(path, 8), matrix)
    assert find_hessian(tmp_path, "xsf/a.xsf") == path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.eye(6), r"Hessian of shape \(6, 6\), expected \(9, 9\) for 3 atoms"),
        (np.full((9, 9), np.inf), "numbers that are not finite"),
        (np.triu(np.ones((9, 9))), "not symmetric"),
        (np.array(["a"] * 81).reshape(9, 9), "cannot be read as NumPy file"),
        (b"\x93NUMPY\x01", "cannot be read as NumPy file"),
        (b"PK\x03\x04", "cannot be read as NumPy file"),
        (b"1 2 3\n1 2 3 4\n", "line 2: row of 4 numbers, expected 3"),
        (b"# a\n1 2 x\n", "line 2: not a row of numbers"),
        (b"", "empty file"),
    ],
)
def test_damaged_hessians_are_refused(content, message, tmp_path: Path):
    path = tmp_path / "a.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(FormatError, match=f"a.npy.*{message}"):
        read_hessian(path, 3)


def test_an_archive_of_several_arrays_must_name_the_hessian(tmp_path: Path):
    np.savez(tmp_path / "a.npz", one=np.eye(3), two=np.eye(3))
    with pytest.raises(FormatError, match="several arrays"):
        read_hessian(tmp_path / "a.npz", 1)


def test_a_folder_of_hessians_must_be_complete_and_unambiguous(tmp_path: Path, clusters):
    with pytest.raises(InputError, match="no Hessian for a structure: found 'c0', expected a file c0.npy"):
        StoredHessians(tmp_path, clusters, range(3))
    for k in (0, 2):
        np.save(tmp_path / f"c{k}.npy", (1.0 + k) * np.eye(12))
    source = StoredHessians(tmp_path, clusters, [0, 2])  # nobody asks for number 1
    assert source(2)[0, 0] == 3.0 and source(0)[0, 0] == 1.0
    alike = [Structure(c.symbols, c.positions, name=f"{folder}/c0.xsf") for folder, c in zip("ab", clusters)]
    with pytest.raises(InputError, match="one Hessian for two structures"):
        StoredHessians(tmp_path, alike, range(2))
    one_for_all = StoredHessians(tmp_path / "c0.npy", alike, range(2))
    assert one_for_all(0)[0, 0] == one_for_all(1)[0, 0] == 1.0
