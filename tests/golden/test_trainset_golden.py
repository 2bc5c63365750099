"""Training sets written by the real ænet: read, compared with its text dumps, written again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taylorfit.errors import FormatError, InputError
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.aenet.trainset_writer import TrainsetWriter, write_trainset
from taylorfit.model.trainset import TrainingSet

LOCAL = Path(__file__).parents[1] / "data" / "golden"
LOCAL_FILES = ("mono/mono.train", "cluster/tio2_nets/cluster.train", "cluster/four_species/mol.train")
SHARED_FILES = ("behler/behler.train", "lmnto/lmnto.train", "run/small.train", "tio2/B_own_nets/tio2.train")

local = pytest.mark.parametrize("name", LOCAL_FILES)
from_shared = pytest.mark.parametrize("name", SHARED_FILES)


def check_rewritten_is_identical(path: Path, tmp_path: Path) -> None:
    write_trainset(tmp_path / "again.train", read_trainset(path))
    assert (tmp_path / "again.train").read_bytes() == path.read_bytes()


def check_descriptors(path: Path) -> None:
    """Compare with descriptors.txt: structure atom species nsf values."""
    training_set = read_trainset(path)
    found = []
    for s, name in enumerate(training_set.names):
        for number, atom in enumerate(range(training_set.first_atom[s], training_set.first_atom[s + 1])):
            symbol = training_set.species[training_set.atom_species[atom]]
            values = training_set.descriptors[training_set.first_value[atom] : training_set.first_value[atom + 1]]
            found.append((Path(name).name, number + 1, symbol, values))
    lines = [line.split() for line in (path.parent / "descriptors.txt").read_text().splitlines()]
    lines = [words for words in lines if words and words[0] != "#"]
    assert len(lines) == len(found)
    for words, (_, number, symbol, values) in zip(lines, found):
        assert (int(words[1]), words[2], int(words[3])) == (number, symbol, len(values))
        assert np.array_equal(np.array(words[4:], dtype=float), values)


def check_collected_footer(path: Path, tmp_path: Path) -> None:
    """Stream structure by structure and compare the collected statistics with ænet's."""
    wanted = read_trainset(path)
    stream(wanted, tmp_path / "streamed.train")
    found = read_trainset(tmp_path / "streamed.train")
    assert found.energy_mean == pytest.approx(wanted.energy_mean, rel=1e-14)
    assert (found.energy_min, found.energy_max) == (wanted.energy_min, wanted.energy_max)
    for ours, theirs in zip(found.setups, wanted.setups):
        a, b = ours.statistics, theirs.statistics
        assert a.n_evaluated == b.n_evaluated
        assert np.array_equal(a.minimum, b.minimum) and np.array_equal(a.maximum, b.maximum)
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(a.mean_square, b.mean_square, rtol=1e-12, atol=1e-14)


def check_setups_agree(path: Path) -> None:
    for stored in read_trainset(path).setups:
        setup = read_setup(path.parent / f"{stored.species}.fingerprint.stp")
        assert setup.environment == stored.environment
        assert (setup.basis, setup.description) == (stored.basis, stored.description)
        assert (setup.r_min, setup.r_cut) == (stored.r_min, stored.r_cut)
        assert np.array_equal(setup.function, stored.function)
        assert np.array_equal(setup.parameters, stored.parameters)
        assert np.array_equal(setup.neighbours, stored.neighbours)


def stream(training_set: TrainingSet, path: Path, **options: object) -> None:
    t = training_set
    with TrainsetWriter(path, t.species, t.atomic_energies, t.setups, **options) as writer:
        for s in range(t.n_structures):
            atoms = slice(t.first_atom[s], t.first_atom[s + 1])
            values = slice(t.first_value[atoms.start], t.first_value[atoms.stop])
            writer.add(
                t.names[s],
                int(t.n_species_in[s]),
                t.energy[s],
                t.atom_species[atoms],
                t.positions[atoms],
                t.forces[atoms],
                t.descriptors[values],
            )


@local
def test_rewritten_training_set_is_identical(name: str, tmp_path: Path) -> None:
    check_rewritten_is_identical(LOCAL / name, tmp_path)


@from_shared
def test_rewritten_shared_training_set_is_identical(name: str, shared: Path, tmp_path: Path) -> None:
    check_rewritten_is_identical(shared / "golden" / name, tmp_path)


@local
def test_descriptors_equal_the_text_dump(name: str) -> None:
    check_descriptors(LOCAL / name)


@from_shared
def test_shared_descriptors_equal_the_text_dump(name: str, shared: Path) -> None:
    path = shared / "golden" / name
    if not (path.parent / "descriptors.txt").exists():
        pytest.skip(f"{name} has no text dump")
    check_descriptors(path)


@local
def test_collected_footer_equals_that_of_aenet(name: str, tmp_path: Path) -> None:
    check_collected_footer(LOCAL / name, tmp_path)


@from_shared
def test_collected_footer_equals_that_of_aenet_shared(name: str, shared: Path, tmp_path: Path) -> None:
    check_collected_footer(shared / "golden" / name, tmp_path)


@local
def test_setup_files_equal_stored_setups(name: str) -> None:
    check_setups_agree(LOCAL / name)


@from_shared
def test_shared_setup_files_equal_stored_setups(name: str, shared: Path) -> None:
    check_setups_agree(shared / "golden" / name)


def test_copies_written_as_a_batch_equal_copies_written_singly(tmp_path: Path) -> None:
    t = read_trainset(LOCAL / "cluster/tio2_nets/cluster.train")
    rng = np.random.default_rng(7)
    # Interleaved species with descriptors of different length: several runs per structure.
    atom_species = np.array([0, 1, 1, 0, 1], dtype=np.int32)
    n, n_value = 113, sum(t.setups[s].n_feature for s in atom_species)
    names = [f"parent.xsf#copy {i}" for i in range(n)]  # of three different lengths
    energies, values = rng.normal(size=n), rng.normal(size=(n, n_value))
    positions, forces = rng.normal(size=(2, n, 5, 3))
    with TrainsetWriter(tmp_path / "many.train", t.species, t.atomic_energies, t.setups) as writer:
        writer.add_many(names, 2, energies, atom_species, positions, forces, values)
    with TrainsetWriter(tmp_path / "one.train", t.species, t.atomic_energies, t.setups) as writer:
        for i in range(n):
            writer.add(names[i], 2, energies[i], atom_species, positions[i], forces[i], values[i])
    many, one = read_trainset(tmp_path / "many.train"), read_trainset(tmp_path / "one.train")
    assert many.names == one.names == names
    for field in ("energy", "positions", "forces", "descriptors", "atom_species", "first_value"):
        assert np.array_equal(getattr(many, field), getattr(one, field))
    assert np.array_equal(many.positions.reshape(n, 5, 3), positions)
    assert np.array_equal(many.descriptors.reshape(n, n_value), values)
    for a, b in zip(many.setups, one.setups):
        np.testing.assert_allclose(a.statistics.mean, b.statistics.mean, rtol=1e-12, atol=1e-15)
    first_atom = values[:, : t.setups[0].n_feature]
    fourth_atom = values[:, 2 * t.setups[1].n_feature + t.setups[0].n_feature :][:, : t.setups[0].n_feature]
    of_titanium = np.concatenate([first_atom, fourth_atom])
    np.testing.assert_allclose(many.setups[0].statistics.mean, of_titanium.mean(axis=0), atol=1e-13)
    np.testing.assert_allclose(many.setups[0].statistics.mean_square, (of_titanium**2).mean(axis=0), rtol=1e-13)


def test_scaled_training_set_keeps_its_statistics(tmp_path: Path) -> None:
    t = read_trainset(LOCAL / "mono/mono.train")
    stream(t, tmp_path / "x.train.scaled", normalised=True, scale=2.5, shift=-0.75)
    scaled = read_trainset(tmp_path / "x.train.scaled")
    assert (scaled.normalised, scaled.scale, scaled.shift) == (True, 2.5, -0.75)
    assert np.array_equal(scaled.setups[0].statistics.mean, t.setups[0].statistics.mean)


def test_training_set_without_setups_round_trips(tmp_path: Path) -> None:
    t = read_trainset(LOCAL / "mono/mono.train")
    object.__setattr__(t, "setups", None)
    write_trainset(tmp_path / "bare.train", t)
    again = read_trainset(tmp_path / "bare.train")
    assert again.setups is None
    assert np.array_equal(again.descriptors, t.descriptors)


def test_failed_run_leaves_no_file(tmp_path: Path) -> None:
    t = read_trainset(LOCAL / "mono/mono.train")
    with pytest.raises(RuntimeError), TrainsetWriter(tmp_path / "x.train", t.species, t.atomic_energies, t.setups):
        raise RuntimeError("interrupted")
    with pytest.raises(InputError, match="0 structures"):
        with TrainsetWriter(tmp_path / "x.train", t.species, t.atomic_energies, t.setups):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change, message",
    [
        ({"energy": float("nan")}, "energies are not finite"),
        ({"forces": np.zeros((3, 3))}, "forces have shape"),
        ({"descriptors": np.zeros(31)}, "descriptors have shape"),
        ({"atom_species": np.array([0, 1])}, "unknown species"),
    ],
)
def test_writer_refuses_what_does_not_fit(change: dict, message: str, tmp_path: Path) -> None:
    t = read_trainset(LOCAL / "mono/mono.train")
    arguments = {
        "name": "dimer",
        "n_species_in": 1,
        "energy": -1.0,
        "atom_species": np.array([0, 0]),
        "positions": np.zeros((2, 3)),
        "forces": np.zeros((2, 3)),
        "descriptors": np.zeros(32),
    }
    with pytest.raises(InputError, match=message):
        with TrainsetWriter(tmp_path / "x.train", t.species, t.atomic_energies, t.setups) as writer:
            writer.add(**{**arguments, **change})
    assert list(tmp_path.iterdir()) == []


def test_too_large_count_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    data = bytearray((LOCAL / "mono/mono.train").read_bytes())
    data[16:20] = (2**31 - 1).to_bytes(4, "little")
    (tmp_path / "x.train").write_bytes(data)
    with pytest.raises(FormatError, match="too short for its number of structures"):
        read_trainset(tmp_path / "x.train")


def test_broken_atom_is_named(tmp_path: Path) -> None:
    data = (LOCAL / "mono/mono.train").read_bytes()
    t = read_trainset(LOCAL / "mono/mono.train")
    third = t.positions[2].tobytes()
    at = data.index(third)
    broken = data[: at - 4] + (25).to_bytes(4, "little") + data[at:]
    (tmp_path / "x.train").write_bytes(broken)
    with pytest.raises(FormatError, match="position of atom 3 of .*mono01.xsf") as error:
        read_trainset(tmp_path / "x.train")
    assert f"byte {at - 4}" in str(error.value)


def test_non_finite_descriptor_is_named(tmp_path: Path) -> None:
    data = (LOCAL / "mono/mono.train").read_bytes()
    t = read_trainset(LOCAL / "mono/mono.train")
    value = t.descriptors[t.first_value[t.first_atom[3]] + 2]
    data = data.replace(value.tobytes(), np.array(np.nan).tobytes())
    (tmp_path / "x.train").write_bytes(data)
    with pytest.raises(FormatError, match="descriptor of .*mono04.xsf is not finite"):
        read_trainset(tmp_path / "x.train")
