"""Training sets that stay in their file: the same numbers, in little memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taylorfit.errors import FormatError
from taylorfit.formats.aenet.trainset_binary import read_trainset, read_trainset_in_parts
from taylorfit.formats.aenet.trainset_mapped import map_trainset
from taylorfit.formats.aenet.trainset_writer import write_trainset
from taylorfit.model.trainset import TrainingSet

N_FEATURES = (5, 3)


def toy_set(n_structures: int = 40, seed: int = 1) -> TrainingSet:
    """Structures of different sizes, names and orders of their atoms, with random numbers."""
    rng = np.random.default_rng(seed)
    n_atoms = rng.integers(1, 6, n_structures)
    species = rng.integers(0, 2, n_atoms.sum()).astype(np.int32)
    widths = np.array(N_FEATURES)[species]
    return TrainingSet(
        species=("H", "O"),
        atomic_energies=np.array([-1.0, -2.0]),
        normalised=False,
        scale=1.0,
        shift=0.0,
        names=[f"{'x' * int(rng.integers(1, 9))}{s}.xsf" for s in range(n_structures)],
        n_species_in=np.ones(n_structures, dtype=np.int32),
        energy=rng.normal(size=n_structures),
        first_atom=np.concatenate([[0], np.cumsum(n_atoms)]),
        atom_species=species,
        positions=rng.normal(size=(len(species), 3)),
        forces=rng.normal(size=(len(species), 3)),
        first_value=np.concatenate([[0], np.cumsum(widths)]),
        descriptors=rng.normal(size=widths.sum()),
        energy_mean=0.0,
        energy_min=-1.0,
        energy_max=1.0,
        setups=None,
    )


def test_a_mapped_set_has_the_numbers_of_one_in_memory(tmp_path: Path) -> None:
    write_trainset(tmp_path / "toy.train", toy_set())
    whole, mapped = read_trainset(tmp_path / "toy.train"), map_trainset(tmp_path / "toy.train")
    assert mapped.names == whole.names
    for name in ("energy", "first_atom", "atom_species", "n_species_in", "positions", "forces", "first_value"):
        np.testing.assert_array_equal(getattr(mapped, name), getattr(whole, name))
    np.testing.assert_array_equal(mapped.descriptors, whole.descriptors)
    for s in (0, 7, 39):
        np.testing.assert_array_equal(mapped.positions_of(s), whole.positions_of(s))
        np.testing.assert_array_equal(mapped.forces_of(s), whole.forces_of(s))
    for t in (0, 1):
        atoms = np.flatnonzero(whole.atom_species == t)[::-2]
        assert whole.descriptors_of(atoms).shape == (len(atoms), N_FEATURES[t])
        np.testing.assert_array_equal(mapped.descriptors_of(atoms), whole.descriptors_of(atoms))
    assert mapped.descriptors_of(np.zeros(0, dtype=int)).size == 0


def test_parts_are_the_whole(tmp_path: Path) -> None:
    write_trainset(tmp_path / "toy.train", toy_set())
    whole = read_trainset(tmp_path / "toy.train")
    parts = list(read_trainset_in_parts(tmp_path / "toy.train", 2000))
    assert len(parts) > 3
    assert [name for part in parts for name in part.names] == whole.names
    np.testing.assert_array_equal(np.concatenate([part.descriptors for part in parts]), whole.descriptors)
    np.testing.assert_array_equal(np.concatenate([part.forces for part in parts]), whole.forces)
    assert [part.energy_max for part in parts[-2:]] == [pytest.approx(np.nan, nan_ok=True), whole.energy_max]


@pytest.mark.parametrize("what", ("descriptor", "energy"))
def test_a_number_that_is_not_finite_is_found_when_it_is_read(tmp_path: Path, what: str) -> None:
    training_set = toy_set()
    file = tmp_path / "toy.train"
    write_trainset(file, training_set)
    atom = int(training_set.first_atom[7])
    number = training_set.energy[7] if what == "energy" else training_set.descriptors[training_set.first_value[atom]]
    file.write_bytes(file.read_bytes().replace(number.tobytes(), np.float64(np.nan).tobytes()))
    with pytest.raises(FormatError, match=rf"a {what} of {training_set.names[7]} is not finite"):
        map_trainset(file).descriptors_of(np.array([atom]))


PEAK = """
import resource, sys
from pathlib import Path
from taylorfit.commands.info import describe_file
describe_file(sys.argv[1])
Path("/proc/self/clear_refs").write_text("5")
describe_file(sys.argv[2])
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc to know its memory")
def test_info_takes_no_more_memory_for_a_larger_file(tmp_path: Path) -> None:
    n, structures = 1_000_000, 200
    small = toy_set(10)
    large = replace(
        small,
        names=[str(s) for s in range(structures)],
        n_species_in=np.ones(structures, dtype=np.int32),
        energy=np.zeros(structures),
        first_atom=np.arange(structures + 1) * (n // structures),
        atom_species=np.zeros(n, dtype=np.int32),
        positions=np.zeros((n, 3)),
        forces=np.ones((n, 3)),
        first_value=np.arange(n + 1),
        descriptors=np.zeros(n),
    )
    sizes = []
    for name, training_set in (("small", small), ("large", large)):
        write_trainset(tmp_path / name, training_set)
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes[1] > 100e6
    run = [sys.executable, "-c", PEAK, str(tmp_path / "small")]
    peaks = [
        int(subprocess.run([*run, str(tmp_path / name)], capture_output=True, check=True).stdout)
        for name in ("small", "large")
    ]
    # A part of the file as it stands and as arrays
    assert peaks[1] - peaks[0] < 60e6
