"""The C API: a program in C, linked without Python, against the calculator."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from calculator_cases import SPECIES, as_structure, random_atoms, write_committee, write_member
from engine_reference import chebyshev_tables
from taylorfit import Calculator, engine
from taylorfit.engine import NeighbourList, c_folders
from taylorfit.errors import FormatError, InputError
from taylorfit.formats.aenet.potential_file import read_potential

SOURCE = Path(__file__).parents[1] / "c_api" / "evaluate.c"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled example."""
    header, libraries = c_folders()
    target = tmp_path_factory.mktemp("c") / "evaluate"
    subprocess.run(
        [
            "cc",
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-O1",
            SOURCE,
            f"-I{header}",
            f"-L{libraries}",
            "-ltaylorfit",
            f"-Wl,-rpath,{libraries}",
            "-lpthread",
            "-lm",
            "-o",
            target,
        ],
        check=True,
    )
    return target


def test_the_library_and_its_builds_are_without_python(program: Path) -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm")
    found = [path for path in c_folders()[1].glob("libtaylorfit*") if path.is_file()]
    assert len(found) >= 2
    for path in found:
        wanted = subprocess.run([nm, "-D", "--undefined-only", path], capture_output=True, text=True, check=True).stdout
        assert not re.search(r"\b_?Py", wanted)


def evaluate(program: Path, members: list[list[Path]], structure: str = "0 0 0") -> dict[str, np.ndarray | str]:
    """What the program prints."""
    files = [str(file) for member in members for file in member]
    found = subprocess.run(
        [program, str(len(members)), str(len(members[0])), *files],
        input=structure,
        text=True,
        capture_output=True,
        check=False,
    )
    assert found.returncode in (0, 1), found
    lines = dict(line.partition(" ")[::2] for line in found.stdout.splitlines())
    words = {"build", "version", "error", "stopped"}
    return {name: text if name in words else np.array(text.split(), dtype=float) for name, text in lines.items()}


def with_ghosts(atoms: Atoms, reach: float, types: tuple[str, ...]) -> tuple[str, np.ndarray]:
    """The program's input, and for each centre and ghost the atom it is an image of."""
    neighbours = NeighbourList.of(as_structure(atoms), reach)
    wrapped = atoms.positions + neighbours.offset
    _, ghost_atom, shift, _ = neighbours.arrays()
    ghosts = np.flatnonzero(np.abs(shift).max(axis=1) > 0)
    source = np.concatenate([np.arange(len(atoms)), ghost_atom[ghosts]])
    positions = np.concatenate([wrapped, wrapped[source[len(atoms) :]] + shift[ghosts]])
    symbols = atoms.get_chemical_symbols()
    lines = [f"{len(atoms)} {len(source)} {len(types)}", " ".join(types)]
    lines += [f"{types.index(symbols[i]) + 1} {x!r} {y!r} {z!r}" for i, (x, y, z) in zip(source, positions.tolist())]
    return "\n".join(lines), source


def folded(values: np.ndarray, source: np.ndarray, n_atoms: int) -> np.ndarray:
    """Values (n, …) of atoms and ghosts, those of ghosts added to the atoms they are images of."""
    total = np.zeros((n_atoms, *values.shape[1:]))
    np.add.at(total, source, values)
    return total


@pytest.mark.parametrize("pbc", [(True, True, True), (False, True, False), (False, False, False)])
@pytest.mark.parametrize("n_members", [1, 3])
def test_c_program_agrees_with_the_calculator(
    program: Path, tmp_path: Path, pbc: tuple[bool, bool, bool], n_members: int
) -> None:
    atoms = random_atoms(pbc=pbc)
    folder = write_committee(tmp_path, atoms, n_members)
    atoms.positions += np.random.default_rng(1).uniform(-0.3, 0.3, atoms.positions.shape)
    folders = sorted(folder.iterdir())
    # Each member's files in another order
    members = [
        [folders[m] / f"{symbol}.nn" for symbol in (SPECIES if m % 2 else SPECIES[::-1])] for m in range(n_members)
    ]
    options = {"on_extrapolation": "ignore", "threads": 1}
    calculator = Calculator.committee(folder, **options) if n_members > 1 else Calculator(folders[0], **options)
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    expected = calculator.results
    structure, source = with_ghosts(atoms, calculator.cutoff + 0.4, ("O", "H"))
    n, n_all = len(atoms), len(source)
    found = evaluate(program, members, structure)

    assert found["cutoff"] == calculator.cutoff and found["members"] == n_members
    assert found["energy"] == pytest.approx(expected["energy"], rel=1e-13)
    assert found["twice"] == pytest.approx(2 * expected["energy"], rel=1e-13)
    np.testing.assert_allclose(found["atom_energy"][:n], expected["energies"], rtol=1e-12)
    assert not found["atom_energy"][n:].any()
    forces = folded(found["force"].reshape(-1, 3), source, n)
    np.testing.assert_allclose(forces, expected["forces"], atol=1e-11)
    virial = found["virial"]
    if all(pbc):
        # ASE's Voigt order is xx yy zz yz xz xy, and stress = -virial/volume
        np.testing.assert_allclose(-virial[[0, 1, 2, 5, 4, 3]] / atoms.get_volume(), expected["stress"], atol=1e-13)
    centroid = found["centroid_virial"].reshape(n_all, 9)
    symmetric = np.concatenate([centroid[:, :3], 0.5 * (centroid[:, 3:6] + centroid[:, 6:])], axis=1)
    np.testing.assert_allclose(found["atom_virial"].reshape(n_all, 6), symmetric, atol=1e-13)
    np.testing.assert_allclose(symmetric.sum(axis=0), virial, atol=1e-11)

    energies = found["member_energy"]
    assert energies.mean() == pytest.approx(expected["energy"], rel=1e-13)
    per_member = np.array([folded(f, source, n) for f in found["member_force"].reshape(n_members, n_all, 3)])
    np.testing.assert_allclose(per_member.mean(axis=0), forces, atol=1e-11)
    assert found["energy_std"] == pytest.approx(energies.std(), abs=1e-12)
    if n_members > 1:
        assert energies.std() > 1e-6
        np.testing.assert_allclose(np.linalg.norm(per_member.std(axis=0), axis=1), expected["forces_std"], atol=1e-11)
        np.testing.assert_allclose(found["atom_energy_std"], expected["energies_std"], atol=1e-12)
    assert found["threads_agree"] == 1 and found["stopped"] == "8 stopped 1"

    tables = calculator._groups[0]
    listed = engine.evaluate_listed(
        atoms.positions,
        tables.descriptors.check(as_structure(atoms)),
        NeighbourList.of(as_structure(atoms), calculator.cutoff),
        tables,
        extrapolation=True,
        threads=1,
    )
    np.testing.assert_allclose(found["excess"], listed.excess, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found["component"], listed.component)


def test_centroid_virial_is_that_of_the_heat_current(program: Path, tmp_path: Path) -> None:
    """Σ_j W_j v_j is d/dt of Σ_i r_i E_i, kinetic energies included, without the convective part."""
    atoms = random_atoms(n_atoms=7, pbc=(False, False, False))
    files = [[write_member(tmp_path, atoms) / f"{symbol}.nn" for symbol in SPECIES]]
    velocity = np.random.default_rng(2).normal(size=(7, 3))

    def at(time: float) -> dict[str, np.ndarray | str]:
        moved = atoms.copy()
        moved.positions += time * velocity
        return evaluate(program, files, with_ghosts(moved, 5.0, SPECIES)[0])

    step = 1e-5
    rate = (at(step)["atom_energy"] - at(-step)["atom_energy"]) / (2 * step)
    now = at(0.0)
    w = now["centroid_virial"].reshape(7, 9)
    tensor = w[:, [[0, 3, 4], [6, 1, 5], [7, 8, 2]]]
    # Σ_i r_i (dE_i/dt + F_i·v_i), with dE_i/dt = Σ_j ∂E_i/∂r_ij·(v_j − v_i), is Σ_j W_j v_j
    forces = now["force"].reshape(7, 3)
    current = np.einsum("jab,jb->a", tensor, velocity)
    power = np.einsum("jb,jb->j", forces, velocity)
    np.testing.assert_allclose(current, atoms.positions.T @ (rate + power), atol=1e-6)


def test_atoms_of_no_species_are_not_seen(program: Path, tmp_path: Path) -> None:
    atoms = random_atoms(n_atoms=9, pbc=(False, False, False))
    files = [[write_member(tmp_path, atoms) / f"{symbol}.nn" for symbol in SPECIES]]
    alone = evaluate(program, files, with_ghosts(atoms, 5.0, SPECIES)[0])
    lines = with_ghosts(atoms, 5.0, SPECIES)[0].splitlines()
    _, species, *rest = lines
    more = [f"{len(rest) + 1} {len(rest) + 1} 3", f"{species} -", *rest, "3 0.1 0.2 0.3"]
    together = evaluate(program, files, "\n".join(more))
    assert together["energy"] == alone["energy"]
    np.testing.assert_array_equal(together["force"][:-3], alone["force"])
    assert not together["force"][-3:].any() and together["atom_energy"][-1] == 0.0


def test_atoms_that_coincide_or_are_of_another_species_are_errors(program: Path, tmp_path: Path) -> None:
    atoms = random_atoms(n_atoms=4, pbc=(False, False, False))
    files = [[write_member(tmp_path, atoms) / f"{symbol}.nn" for symbol in SPECIES]]
    assert evaluate(program, files, "2 2 1\nH\n1 0 0 0\n1 0 0 0")["error"].startswith("3 atoms 2 and 1")
    assert evaluate(program, files, "1 1 1\nHe\n1 0 0 0")["error"] == "2 the species of a type is out of range"
    assert evaluate(program, files, "1 1 1\nH\n2 0 0 0")["error"] == "2 the type of an atom is out of range"
    assert evaluate(program, files, "1 1 1\nH\n1 nan 0 0")["error"] == "2 a position is not finite"


def test_a_committee_of_different_descriptors_or_species_is_an_error(program: Path, tmp_path: Path) -> None:
    atoms = random_atoms()
    one = write_member(tmp_path / "1", atoms)
    two = write_member(tmp_path / "2", atoms, tables=chebyshev_tables(SPECIES, (4.0, 5), (3.0, 3)))
    found = evaluate(program, [[one / "H.nn", one / "O.nn"], [two / "H.nn", two / "O.nn"]])
    assert "different descriptors" in found["error"] and str(two / "H.nn") in found["error"]
    found = evaluate(program, [[one / "H.nn"], [one / "O.nn"]])
    assert found["error"] == f"6 {one / 'O.nn'}: a potential for O, for which the first member has none"
    assert "a second potential for H" in evaluate(program, [[one / "H.nn", one / "H.nn"]])["error"]
    # ENV lists name a species without potential: its atoms are no business of this potential
    assert evaluate(program, [[one / "H.nn"]], "1 1 1\nH\n1 0 0 0")["members"] == 1


# --- both readers on one table of broken files --------------------------------------------------


def record_starts(data: bytes) -> list[int]:
    """Where the records of a file begin."""
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        at += 8 + struct.unpack_from("<i", data, at)[0]
    return starts


def _broken(data: bytes) -> dict[str, bytes]:
    """Broken potential files by what is wrong with them."""
    starts = record_starts(data)

    def with_record(k: int, payload: bytes) -> bytes:
        end = starts[k + 1] if k + 1 < len(starts) else len(data)
        marker = struct.pack("<i", len(payload))
        return data[: starts[k]] + marker + payload + marker + data[end:]

    def with_integer(k: int, value: int, place: int = 0) -> bytes:
        at = starts[k] + 4 + 4 * place
        return data[:at] + struct.pack("<i", value) + data[at + 4 :]

    def with_real(k: int, value: float, place: int = 0) -> bytes:
        at = starts[k] + 4 + 8 * place
        return data[:at] + struct.pack("<d", value) + data[at + 8 :]

    broken = {f"cut at {at}": data[:at] for s in starts for at in (s, s + 2, s + 4, s + 6)} | {
        "longer": data + b"\0",
        "empty": b"",
        "text": b"3\n12 10\n",
        "big-endian": data[:4][::-1] + data[4:],
        "one layer": with_integer(0, 1),
        "negative layers": with_integer(0, -3),
        "huge layers": with_integer(0, 2**31 - 1),
        "largest": with_integer(1, 7777),
        "weights": with_integer(2, 5),
        "values": with_integer(3, 5),
        "layer of none": with_integer(4, 0, 1),
        "huge layer": with_integer(4, 2**31 - 1, 1),
        "two outputs": with_integer(4, 2, 3),
        "activation": with_integer(5, 9),
        "negative activation": with_integer(5, -1),
        "weight offset": with_integer(6, 1, 1),
        "value offset": with_integer(7, 1, 1),
        "weight": with_real(8, np.nan),
        "species": with_record(10, b"  "),
        "species with a control character": with_record(10, b"H\x01"),
        "no environment": with_integer(11, 0),
        "environment twice": with_record(12, b"H H "),
        "smallest distance": with_real(13, np.inf),
        "cutoff": with_real(14, 0.0),
        "negative cutoff": with_real(14, -1.0),
        "basis": with_record(15, b"moments".ljust(100)),
        "functions": with_integer(16, 3),
        "no functions": with_integer(16, 0),
        "parameters": with_integer(17, 5),
        "order": with_real(19, 2.5, 1),
        "negative order": with_real(19, -2.0, 1),
        "huge order": with_real(19, 1e300, 1),
        "negative radius": with_real(19, -1.0),
        "radius": with_real(19, np.nan),
        "atoms": with_integer(21, -1),
        "minimum": with_real(22, np.nan),
        "normalised": with_integer(27, 2),
        "scale": with_real(28, 0.0),
        "shift": with_real(29, np.inf),
        "trained species": with_integer(30, 0),
        "other species": with_record(31, b"C N "),
        "atomic energy": with_real(32, np.nan),
        "structures": with_integer(34, -1),
    }
    broken |= {f"length of record {k}": with_record(k, b"\0" * 3) for k in range(len(starts))}
    broken |= {
        f"byte count of record {k}": data[:s] + b"\xff\xff\xff\x7f" + data[s + 4 :] for k, s in enumerate(starts)
    }
    return broken


def test_both_readers_refuse_the_same_files_with_the_same_words(program: Path, tmp_path: Path) -> None:
    path = write_member(tmp_path, random_atoms()) / "H.nn"
    good = path.read_bytes()
    assert len(record_starts(good)) == 36
    for what, data in _broken(good).items():
        path.write_bytes(data)
        with pytest.raises(FormatError) as refused:
            read_potential(path)
        code, _, message = evaluate(program, [[path]])["error"].partition(" ")
        assert code == "6", what
        expected = str(refused.value)
        if what == "huge order":  # Python says how many functions the order makes
            expected = expected.partition(": setup")[0]
        # Real numbers are not shown with the same digits
        alike = expected if "." not in expected.partition(": found ")[2] else expected.partition(": found ")[0]
        assert " ".join(message.split()).startswith(alike), what


def test_what_cannot_be_opened_is_named(program: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "none.nn", tmp_path):
        with pytest.raises(InputError):
            read_potential(path)
        assert f"{path}: cannot be read" in evaluate(program, [[path]])["error"]


def test_unused_parameters_and_places_of_chebyshev_setups_may_hold_anything(program: Path, tmp_path: Path) -> None:
    atoms = random_atoms(n_atoms=5, pbc=(False, False, False))
    files = [[write_member(tmp_path, atoms) / f"{symbol}.nn" for symbol in SPECIES]]
    structure = with_ghosts(atoms, 5.0, SPECIES)[0]
    expected = evaluate(program, files, structure)["energy"]
    data = files[0][0].read_bytes()
    starts = record_starts(data)
    changed = bytearray(data)
    changed[starts[19] + 4 + 8 * 6 : starts[19] + 4 + 8 * 7] = struct.pack("<d", np.nan)
    changed[starts[20] + 4 : starts[20] + 8] = struct.pack("<i", 12345)
    files[0][0].write_bytes(bytes(changed))
    assert evaluate(program, files, structure)["energy"] == expected
