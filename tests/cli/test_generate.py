"""`generate` through the command line: ænet's training sets made again, and Taylor copies checked from outside."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from cli_support import GOLDEN, generate_in, make_toy, morse_cluster, report, run, start, succeed, taylor, write_setups
from taylorfit import engine
from taylorfit.formats.aenet.records import RecordReader
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.structures.xsf import read_xsf, write_xsf
from taylorfit.model.provenance import parse_copy_name
from taylorfit.model.structure import Structure
from taylorfit.model.trainset import TrainingSet

LOCAL = (("mono", "mono.train"), ("cluster/four_species", "mol.train"), ("cluster/tio2_nets", "cluster.train"))
SHARED = (("lmnto", "lmnto.train"), ("tio2/B_own_nets", "tio2.train"), ("run", "small.train"))


# --- ænet's own training sets ------------------------------------------------------------------


def regenerate(source: Path, folder: Path) -> None:
    """Run generate on a copy of a golden set, without its training set."""
    shutil.copytree(source / "xsf", folder / "xsf", copy_function=shutil.copyfile)
    for path in (*source.glob("*.stp"), source / "generate.in"):
        shutil.copyfile(path, folder / path.name)
    succeed(folder, "generate", "generate.in")


def records(path: Path) -> list[bytes]:
    """All records of a Fortran file, as they stand."""
    found = []
    with RecordReader(path) as reader:
        while reader.remaining:
            found.append(bytes(reader.read("record")))
    return found


def check_made_again(ours: Path, theirs: Path) -> None:
    """Same records one for one; bytes equal but for numbers, which may differ in their last digits."""
    own, reference = records(ours), records(theirs)
    assert [len(r) for r in own] == [len(r) for r in reference]
    b = read_trainset(theirs)
    start = 7  # records of the header
    assert own[:start] == reference[:start]
    for s, name in enumerate(b.names):
        head = own[start : start + 4], reference[start : start + 4]
        assert head[0] == head[1], name  # length of the name, name, numbers of atoms and species, energy
        n = b.n_atoms[s]
        for atom in range(n):
            at = start + 4 + 5 * atom
            assert (own[at], own[at + 3]) == (reference[at], reference[at + 3]), name  # species, number of values
            where = b.first_atom[s] + atom
            scale = np.abs(b.descriptors[b.first_value[where] : b.first_value[where + 1]]).max(initial=1e-300)
            for offset, tolerance in ((1, 1e-13), (2, 1e-13), (4, 1e-12 * scale)):
                values = np.frombuffer(own[at + offset]), np.frombuffer(reference[at + offset])
                assert np.abs(values[0] - values[1]).max() <= tolerance, (name, atom, offset)
        start += 4 + 5 * n
    assert own[start] == reference[start]  # number of atoms
    np.testing.assert_allclose(np.frombuffer(own[start + 1]), np.frombuffer(reference[start + 1]), rtol=1e-12)
    assert own[start + 2] == reference[start + 2]
    # Per species: number, then the setup block, whose last four records are numbers
    for setup in range(len(b.species)):
        block = slice(start + 3 + 18 * setup, start + 3 + 18 * setup + 14)
        assert own[block] == reference[block]
        statistics = b.setups[setup].statistics
        scale = max(1e-300, np.abs(statistics.maximum).max(), np.abs(statistics.minimum).max())
        for number, power in zip(range(block.stop, block.stop + 4), (1, 1, 1, 2)):
            values = np.frombuffer(own[number]), np.frombuffer(reference[number])
            assert np.abs(values[0] - values[1]).max() <= 1e-12 * scale**power
    assert len(own) == start + 3 + 18 * len(b.species)


@pytest.mark.parametrize("folder, file", LOCAL)
def test_golden_training_set_is_made_again(folder: str, file: str, tmp_path: Path) -> None:
    regenerate(GOLDEN / folder, tmp_path)
    check_made_again(tmp_path / file, GOLDEN / folder / file)


@pytest.mark.parametrize("folder, file", SHARED)
def test_golden_training_set_of_the_shared_data_is_made_again(
    folder: str, file: str, tmp_path: Path, shared: Path
) -> None:
    regenerate(shared / "golden" / folder, tmp_path)
    check_made_again(tmp_path / file, shared / "golden" / folder / file)


# --- what is read ------------------------------------------------------------------------------


def as_atoms(structure: Structure) -> ase.Atoms:
    atoms = ase.Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc)
    atoms.calc = SinglePointCalculator(atoms, energy=structure.energy, forces=structure.forces)
    return atoms


def test_frames_of_an_extended_xyz_file_equal_single_xsf_files(tmp_path: Path) -> None:
    structures = make_toy(tmp_path, 6)
    succeed(tmp_path, "generate", "generate.in")
    ase.io.write(tmp_path / "all.extxyz", [as_atoms(s) for s in structures], format="extxyz")
    (tmp_path / "frames.in").write_text(generate_in(("Ar",), ["all.extxyz"], "frames.train"))
    assert report(tmp_path, "generate", "frames.in")["structures"] == 6
    one, other = read_trainset(tmp_path / "toy.train"), read_trainset(tmp_path / "frames.train")
    assert other.names == [f"all.extxyz#{frame}" for frame in range(6)]
    # ASE writes eight decimals
    assert np.array_equal(one.atom_species, other.atom_species)
    np.testing.assert_allclose(one.descriptors, other.descriptors, atol=1e-6)
    np.testing.assert_allclose(one.energy, other.energy, atol=1e-7)
    (tmp_path / "some.in").write_text(generate_in(("Ar",), ["all.extxyz@1:6:2"], "some.train"))
    assert report(tmp_path, "generate", "some.in")["structures"] == 3
    assert read_trainset(tmp_path / "some.train").names == [f"all.extxyz#{frame}" for frame in (1, 3, 5)]


def test_a_pattern_stands_for_all_its_files(tmp_path: Path) -> None:
    make_toy(tmp_path, 12)
    succeed(tmp_path, "generate", "generate.in")
    (tmp_path / "generate.in").write_text(generate_in(("Ar",), ["xsf/*.xsf"], "pattern.train"))
    succeed(tmp_path, "generate", "generate.in")
    assert (tmp_path / "pattern.train").read_bytes() == (tmp_path / "toy.train").read_bytes()


# --- Taylor copies -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Copies:
    """Copies as a reader of the files finds them."""

    parents: TrainingSet
    names: list[str]
    displacements: list[np.ndarray]
    """(n_atom, 3) per copy, recovered from the positions, Å;
    not for isolated structures, stored in boxes of their own"""
    energies: np.ndarray
    descriptors: list[np.ndarray]


def read_copies(path: Path, copies_path: Path | None = None) -> Copies:
    parents = read_trainset(path)
    source = parents if copies_path is None else read_trainset(copies_path)
    index = {name: s for s, name in enumerate(parents.names)}
    names, displacements, energies, descriptors = [], [], [], []
    for s, name in enumerate(source.names):
        provenance = parse_copy_name(name)
        if provenance is None:
            assert copies_path is None, name
            continue
        parent = index[provenance.parent]
        a, b = source.first_atom[s], source.first_atom[s + 1]
        p, q = parents.first_atom[parent], parents.first_atom[parent + 1]
        assert np.array_equal(source.atom_species[a:b], parents.atom_species[p:q])
        names.append(name)
        displacements.append(source.positions[a:b] - parents.positions[p:q])
        energies.append(source.energy[s])
        descriptors.append(source.descriptors[source.first_value[a] : source.first_value[b]])
    return Copies(parents, names, displacements, np.array(energies), descriptors)


@pytest.fixture(scope="module")
def crystal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four periodic Si cells of golden/mono, whose copies keep their parent's frame, and a plain generate.in."""
    folder = tmp_path_factory.mktemp("crystal")
    shutil.copytree(GOLDEN / "mono", folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    (folder / "mono.train").unlink()
    return folder


def with_copies(folder: Path, to: Path, block: str, files: int = 4) -> Path:
    """Copy the project and give its generate.in a block DERIVATIVES."""
    shutil.copytree(folder, to, dirs_exist_ok=True, copy_function=shutil.copyfile)
    names = "\n".join(f"xsf/mono0{i + 1}.xsf" for i in range(files))
    (to / "generate.in").write_text(
        f"OUTPUT mono.train\nTYPES\n1\nSi -100.0\nSETUPS\nSi Si.fingerprint.stp\n{block}\nFILES\n{files}\n{names}\n"
    )
    return to


def check_copies(copies: Copies, folder: Path, delta: float) -> None:
    """Energies are E − Σ δ·F and descriptors those of the displaced structure."""
    tables = engine.DescriptorTables.from_setups(("Si",), [read_setup(folder / "Si.fingerprint.stp")])
    parents = {name: read_xsf(folder / name) for name in copies.parents.names if parse_copy_name(name) is None}
    for name, shift, energy, descriptors in zip(
        copies.names, copies.displacements, copies.energies, copies.descriptors
    ):
        parent = parents[parse_copy_name(name).parent]
        assert np.linalg.norm(shift, axis=1).max() <= delta * (1 + 1e-9)
        assert np.linalg.norm(shift, axis=1).max() > 0.1 * delta
        expected = parent.energy + 100.0 * parent.n_atoms - (shift * parent.forces).sum()
        assert energy == pytest.approx(expected, abs=1e-11)
        moved = Structure(parent.symbols, parent.positions + shift, parent.cell, parent.pbc)
        [(values, _)] = engine.describe([moved], tables)
        assert np.abs(values[0] - descriptors).max() <= 1e-11 * np.abs(descriptors).max()


@pytest.mark.parametrize("outfile", (None, "copies.train"))
def test_copies_follow_from_the_forces_and_have_their_own_descriptors(
    outfile: str | None, crystal: Path, tmp_path: Path
) -> None:
    options = {"delta": 0.02, "fraction": 3, "seed": 5} | ({"outfile": outfile} if outfile else {})
    folder = with_copies(crystal, tmp_path, taylor(**options))
    found = report(folder, "generate", "generate.in")
    assert (found["structures"], found["copies"], found["skipped"], found["atoms"]) == (4, 12, 0, 28 + 84)
    assert (found["output"], found["taylor_output"]) == ("mono.train", outfile)
    copies = read_copies(folder / "mono.train", folder / outfile if outfile else None)
    assert len(copies.names) == 12
    assert copies.names[:2] == ["xsf/mono01.xsf#taylor:random:0000:0.02", "xsf/mono01.xsf#taylor:random:0001:0.02"]
    assert copies.parents.n_structures == (4 if outfile else 16)
    check_copies(copies, folder, 0.02)
    for shift in copies.displacements:
        assert np.abs(shift.sum(axis=0)).max() < 1e-12  # the centre of mass stays


def test_copies_of_isolated_structures_have_the_energies_their_xsf_files_say(tmp_path: Path) -> None:
    make_toy(tmp_path, 5, extra=taylor(delta=0.05, fraction=4, outfile="copies.train"))
    succeed(tmp_path, "generate", "generate.in", "--write-xsf", "copies")
    files = sorted((tmp_path / "copies").iterdir())
    copies = read_trainset(tmp_path / "copies.train")
    assert len(files) == copies.n_structures == 20
    for s, path in enumerate(files):
        copy = read_xsf(path)
        parent = read_xsf(tmp_path / parse_copy_name(copies.names[s]).parent)
        work = ((copy.positions - parent.positions) * parent.forces).sum()
        assert copies.energy[s] == pytest.approx(parent.energy + 50.0 - work, abs=1e-11)


@pytest.mark.parametrize("options", ({"strategy": "cartesian"}, {"disp_all": 0}), ids=str)
def test_strategy_a_moves_one_atom_along_the_axes(options: dict[str, object], crystal: Path, tmp_path: Path) -> None:
    folder = with_copies(crystal, tmp_path, taylor(delta=0.03, fraction=12, **options))
    assert report(folder, "generate", "generate.in")["copies"] == 48
    copies = read_copies(folder / "mono.train")
    check_copies(copies, folder, 0.03)
    for name, shift in zip(copies.names, copies.displacements):
        [(atom, axis)] = np.argwhere(np.abs(shift) > 1e-9)
        sign = "+" if shift[atom, axis] > 0 else "-"
        assert parse_copy_name(name).site == f"{atom + 1}{sign}{'xyz'[axis]}"
        assert abs(shift[atom, axis]) == pytest.approx(0.03, rel=1e-9)
    assert sum(shift.sum() for shift in copies.displacements) == pytest.approx(0.0, abs=1e-9)


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_threads(crystal: Path, tmp_path: Path) -> None:
    made = {}
    for name, seed, threads in (("one", 3, 1), ("two", 3, 2), ("three", 3, 3), ("other", 4, 1)):
        folder = with_copies(crystal, tmp_path / name, taylor(delta=0.02, fraction=30, seed=seed, outfile="c.train"))
        succeed(folder, "generate", "generate.in", "--threads", str(threads))
        made[name] = ((folder / "mono.train").read_bytes(), (folder / "c.train").read_bytes())
    assert made["one"] == made["two"] == made["three"]
    assert made["other"][0] == made["one"][0] and made["other"][1] != made["one"][1]


def test_n_max_caps_the_number_of_copies(crystal: Path, tmp_path: Path) -> None:
    folder = with_copies(crystal, tmp_path, taylor(delta=0.02, fraction=10, N_max=7))
    assert report(folder, "generate", "generate.in")["copies"] == 7
    assert "N_max=7" in succeed(folder, "generate", "generate.in", "--force").out


def moved_atoms(folder: Path, block: str) -> tuple[list[tuple[str, ...]], dict[str, object]]:
    """Which atoms (number and species) move in the copies of the molecules of golden/cluster/four_species."""
    shutil.copytree(GOLDEN / "cluster" / "four_species", folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    text = (
        (folder / "generate.in").read_text().replace("SETUPS", f"{block}\n\nSETUPS").replace("mol.train", "new.train")
    )
    (folder / "generate.in").write_text(text)
    found = report(folder, "generate", "generate.in", "--write-xsf", "copies")
    moved = []
    for path in sorted((folder / "copies").iterdir()):
        copy = read_xsf(path)
        parent = read_xsf(folder / "xsf" / (path.name.partition("xsf_")[2].partition("-taylor")[0] + ".xsf"))
        changed = np.flatnonzero(np.abs(copy.positions - parent.positions).max(axis=1) > 1e-9)
        moved.append(tuple(f"{copy.symbols[i]}{i + 1}" for i in changed))
    return moved, found


def test_only_chosen_species_move(tmp_path: Path) -> None:
    moved, _ = moved_atoms(tmp_path, taylor(delta=0.01, fraction=2, species="N,O"))
    assert moved and all(atom[0] in "NO" for copy in moved for atom in copy)
    assert {atom[0] for copy in moved for atom in copy} == {"N", "O"}


def test_only_chosen_atoms_move(tmp_path: Path) -> None:
    moved, _ = moved_atoms(tmp_path, taylor(delta=0.01, fraction=2, atoms="1-2"))
    assert moved and all(int(atom[1:]) <= 2 for copy in moved for atom in copy)


def test_the_force_band_decides_what_moves(tmp_path: Path) -> None:
    structures = [read_xsf(path) for path in sorted((GOLDEN / "cluster" / "four_species" / "xsf").iterdir())]
    norms = [np.linalg.norm(s.forces, axis=1) for s in structures]
    forcemin = float(np.median(np.concatenate(norms)))
    forcemax = float(max(n.max() for n in norms)) - 1e-6  # one structure is beyond
    moved, found = moved_atoms(tmp_path, taylor(delta=0.01, fraction=2, forcemin=forcemin, forcemax=forcemax, skip=0))
    eligible = [s for s, n in zip(structures, norms) if (n >= forcemin).any() and not (n > forcemax).any()]
    assert found["copies"] == len(moved) == 2 * len(eligible) > 0
    assert found["skipped_by_reason"]["a force above forcemax"] == 1
    allowed = {
        tuple(f"{s.symbols[i]}{i + 1}" for i in np.flatnonzero(n >= forcemin)) for s, n in zip(structures, norms)
    }
    assert set(moved) <= allowed


def test_delta_of_a_species_replaces_the_common_one(tmp_path: Path) -> None:
    moved_atoms(tmp_path, taylor(delta=0.04, fraction=20, delta_H=0.004))
    largest: dict[str, float] = {}
    for path in sorted((tmp_path / "copies").iterdir()):
        copy = read_xsf(path)
        parent = read_xsf(tmp_path / "xsf" / (path.name.partition("xsf_")[2].partition("-taylor")[0] + ".xsf"))
        for symbol, length in zip(copy.symbols, np.linalg.norm(copy.positions - parent.positions, axis=1)):
            largest[symbol] = max(largest.get(symbol, 0.0), length)
    assert 0.0035 < largest["H"] <= 0.004 < 0.03 < largest["C"] <= 0.04


@pytest.mark.parametrize("golden, name", (("mono", "mono"), ("cluster/four_species", "mol")))
def test_copies_as_xsf_give_the_same_training_set(golden: str, name: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / golden, tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
    text = (tmp_path / "generate.in").read_text()
    block = taylor(delta=0.03, fraction=3, outfile="copies.train")
    (tmp_path / "generate.in").write_text(
        text.replace("SETUPS", f"{block}\n\nSETUPS").replace(f"{name}.train", "new.train")
    )
    succeed(tmp_path, "generate", "generate.in", "--write-xsf", "as-xsf")
    head, _, _ = text.partition("FILES")
    (tmp_path / "again.in").write_text(head.replace(f"{name}.train", "again.train") + "FILES\n1\nas-xsf/*.xsf\n")
    succeed(tmp_path, "generate", "again.in")
    copies, again = read_trainset(tmp_path / "copies.train"), read_trainset(tmp_path / "again.train")
    assert again.n_structures == copies.n_structures > 0
    assert np.array_equal(copies.atom_species, again.atom_species)
    np.testing.assert_allclose(again.energy, copies.energy, atol=1e-9)
    np.testing.assert_allclose(again.forces, copies.forces, atol=1e-12)
    scale = np.abs(copies.descriptors).max()
    assert np.abs(again.descriptors - copies.descriptors).max() <= 1e-12 * scale


def test_xsf_copies_of_files_with_like_names_do_not_overwrite_each_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    names = ("a/b.xsf", "a_b.xsf", "./a/b.xsf", "a b.xsf", "ü.xsf", "50%.xsf", "x#1.xsf", "x/" + "long" * 60 + ".xsf")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_xsf(tmp_path / name, morse_cluster(rng))
    write_setups(tmp_path, ("Ar",))
    (tmp_path / "generate.in").write_text(generate_in(("Ar",), names, extra=taylor(delta=0.02, fraction=2)))
    found = report(tmp_path, "generate", "generate.in", "--write-xsf", "copies")
    assert found["copies"] == len(list((tmp_path / "copies").iterdir())) == 2 * len(names)
    copies = read_trainset(tmp_path / "toy.train")
    parents = {name for name in copies.names if parse_copy_name(name) is None}
    assert {parse_copy_name(name).parent for name in copies.names if parse_copy_name(name)} == parents


def test_a_failure_leaves_no_folder_of_xsf_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from taylorfit.formats.structures import xsf_folder

    make_toy(tmp_path, 4, extra=taylor(delta=0.02, fraction=2))
    calls = []

    def failing(path: Path, *arguments: object, **options: object) -> None:
        calls.append(path)
        if len(calls) == 5:
            raise KeyboardInterrupt
        write_xsf(path, *arguments, **options)

    monkeypatch.setattr(xsf_folder, "write_xsf", failing)
    result = run(tmp_path, "generate", "generate.in", "--write-xsf", "copies")
    assert result.code == 130 and "interrupted" in result.err
    assert len(calls) == 5
    assert not (tmp_path / "copies").exists() and not (tmp_path / "toy.train").exists()


# --- outputs that get in each other's way --------------------------------------------------------


def test_one_file_cannot_be_two_outputs_however_it_is_spelt(crystal: Path, tmp_path: Path) -> None:
    folder = with_copies(crystal, tmp_path, taylor(delta=0.02, fraction=2, outfile="./mono.train"))
    for options in ((), ("--force",)):
        result = run(folder, "generate", "generate.in", *options)
        assert result.code == 2 and "two outputs in one file" in result.err
        assert not (folder / "mono.train").exists()


def test_copies_of_an_earlier_run_do_not_outlive_their_parents(crystal: Path, tmp_path: Path) -> None:
    folder = with_copies(crystal, tmp_path, taylor(delta=0.02, fraction=2, outfile="copies.train"))
    assert report(folder, "generate", "generate.in")["copies"] == 8
    text = (folder / "generate.in").read_text()
    (folder / "generate.in").write_text(text.replace("fraction=2", "fraction=2 forcemin=1000"))
    found = report(folder, "generate", "generate.in", "--force")
    assert (found["copies"], found["skipped"], found["taylor_output"]) == (0, 4, None)
    assert not (folder / "copies.train").exists()


def test_interrupt_in_the_copies_of_one_large_structure(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(9)] * 3, indexing="ij"), -1).reshape(-1, 3) * 2.0
    large = Structure(
        symbols=("Ar",) * len(grid),
        positions=grid + rng.uniform(-0.2, 0.2, grid.shape),
        cell=18.0 * np.eye(3),
        pbc=(True,) * 3,
        energy=-1.0,
        forces=rng.normal(size=grid.shape),
        name="large.xsf",
    )
    write_xsf(tmp_path / "large.xsf", large)
    write_setups(tmp_path, ("Ar",), radius=8.0, angular=8)
    (tmp_path / "generate.in").write_text(generate_in(("Ar",), ("large.xsf",), extra=taylor(delta=0.01, fraction=3000)))
    process = start(tmp_path, "generate", "generate.in", "--threads", "1")
    time.sleep(5.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert not (tmp_path / "toy.train").exists()
