"""Labels in files: of one source, under keys in any case."""

from __future__ import annotations

import numpy as np
import pytest

import taylorfit as tfit
from file_cases import DUMP, N2P2, case, frame, read_text
from taylorfit.errors import FormatError
from taylorfit.formats.recognise import FileKind, recognise
from taylorfit.formats.structures.files import read_structures
from taylorfit.formats.structures.labels import label_key

# --- 3. labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "columns", "energy"),
    [
        ("energy=-1 REF_energy=-400", "REF_forces:R:3", -400.0),
        ("energy=-1 dft_energy=-400", "dft_forces:R:3", -400.0),
        ("energy=-1 pbe0_total_energy=-400 kinetic_energy=3", "pbe0_force:R:3", -400.0),
        ("REF_energy=-400 REF_free_energy=-401", "REF_forces:R:3", -401.0),
        ("energy=-400 formation_energy=-1 energy_per_atom=-133 dispersion_energy=-0.1", "forces:R:3", -400.0),
        ("energy=-400 energy_weight=3 energy_sigma=0.1", "forces:R:3", -400.0),
        ("energy=-400 total_energy=-400.0", "forces:R:3", -400.0),
        ("MACE_energy=-400", "MACE_forces:R:3", -400.0),
    ],
)
def test_energy_and_forces_come_from_one_source(tmp_path, keys, columns, energy):
    (structure,), _ = read_text(tmp_path, frame(keys, columns))
    assert structure.energy == energy and structure.forces[0, 0] == 0.1


def test_stresses_come_from_the_same_source(tmp_path):
    keys = 'energy=-1 REF_energy=-400 stress="9 0 0 0 9 0 0 0 9" REF_stress="0.1 0 0 0 0.1 0 0 0 0.1"'
    (structure,), told = read_text(tmp_path, frame(keys, "REF_forces:R:3"))
    assert structure.stress[0, 0] == 0.1
    assert told == ["labels taken: REF_energy, REF_forces, REF_stress (not energy, stress)"]
    (structure,), told = read_text(tmp_path, frame('energy=-1 REF_stress="9 0 0 0 9 0 0 0 9"'))
    assert structure.stress is None and told == ["labels taken: energy, forces (not REF_stress)"]


def test_a_stress_and_a_virial_are_of_one_mind_or_chosen(tmp_path):
    both = 'energy=-1 virial="51.2 0 0 0 51.2 0 0 0 51.2" stress="{0} 0 0 0 {0} 0 0 0 {0}"'
    (structure,), _ = read_text(tmp_path, frame(both.format(-0.1)))
    assert structure.stress[0, 0] == -0.1
    for other in (0.1, -51.2, 0.0):
        with pytest.raises(FormatError, match="line 2: stresses that differ.*stress and virial.*stress_key="):
            read_text(tmp_path, frame(both.format(other)))
    (structure,), _ = read_text(tmp_path, frame(both.format(0.3)), stress_key="virial")
    assert structure.stress[0, 0] == pytest.approx(-0.1)


SEVERAL = frame("energy=-1 REF_energy=-400", "REF_forces:R:3:forces:R:3", " 9 9 9")


@pytest.mark.parametrize(
    "text",
    [
        SEVERAL,
        frame("pbe_energy=-1 scan_energy=-2", "x:R:3"),
        frame("pbe_energy=-1", "scan_forces:R:3"),
        frame("a_energy=-1 b_energy=-2", "b_forces:R:3:a_forces:R:3", " 9 9 9"),
        frame("REF_energy=-1", "REF_forces:R:3") + SEVERAL,
    ],
)
def test_several_sources_are_an_error_that_lists_them(tmp_path, text):
    with pytest.raises(FormatError, match="sources.*found '.*_(energy|forces).*energy_key="):
        read_text(tmp_path, text)


def test_keys_choose(tmp_path):
    for options, energy, force in (
        ({"energy_key": "REF_energy"}, -400.0, 0.1),
        ({"energy_key": "energy"}, -1.0, 9.0),
        ({"forces_key": "FORCES"}, -1.0, 9.0),
        ({"energy_key": "ref_energy", "forces_key": "forces"}, -400.0, 9.0),
    ):
        (structure,), told = read_text(tmp_path, SEVERAL, **options)
        assert (structure.energy, structure.forces[1, 2]) == (energy, 0.0 if force == 0.1 else force), options
        assert told[0].startswith("labels taken: ")
    keys = {"energy_key": "E", "forces_key": "f", "stress_key": "sigma"}
    (structure,), _ = read_text(tmp_path, frame("E=-3 sigma='1 2 3 4 5 6'", "f:R:3"), **keys)
    assert structure.energy == -3.0 and structure.forces[0, 0] == 0.1
    np.testing.assert_array_equal(structure.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    with pytest.raises(FormatError, match="no energy under this key: found 'E'.*keys found: .*REF_energy"):
        read_text(tmp_path, SEVERAL, energy_key="E")
    tfit.read(tmp_path / "a.xyz", energy_key="REF_energy")


@pytest.mark.parametrize("key", ["potential_energy", "E", "Etot", "internal"])
def test_a_missing_energy_names_the_keys(tmp_path, key):
    (tmp_path / "a.xyz").write_text(frame(f"{key}=-400"))
    with pytest.raises(
        FormatError, match=rf"line 2: no energy.*energy, free_energy or total_energy.*keys found: {key}"
    ):
        list(read_structures(tmp_path / "a.xyz", require_energy=True))
    (tmp_path / "a.xyz").write_text(frame(columns="grad:R:3"))
    with pytest.raises(FormatError, match=r"no forces.*forces or force.*columns found: grad"):
        list(read_structures(tmp_path / "a.xyz", require_forces=True))


@pytest.mark.parametrize("text", ['"1 2 3 4 5 6"', "[1,2,3,4,5,6]", '"1, 2, 3, 4, 5, 6"'])
@pytest.mark.parametrize("key", ["stress", "Stress"])
def test_stresses_of_six_numbers_are_in_voigts_order(tmp_path, key, text):
    (structure,), _ = read_text(tmp_path, frame(f"energy=-1 {key}={text}"))
    np.testing.assert_array_equal(structure.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])


def test_the_energy_is_the_one_the_forces_derive_from(tmp_path):
    _, told = read_text(tmp_path, frame("energy=-1 free_energy=-1.5"))
    assert told == ["energy taken: free_energy, from which the forces derive, not energy"]
    _, told = read_text(tmp_path, frame("energy=-1 free_energy=-1.0"))
    assert told == []


def test_names_of_labels():
    assert label_key("REF_ENERGY_eV", is_column=False).source == "ref"
    assert label_key("energy", is_column=True) is None and label_key("forces", is_column=False) is None
    for name in (
        "energy_per_atom",
        "kinetic_energy",
        "force_weights",
        "energy_unit",
        "local_energy",
        "cohesive-energy",
    ):
        assert label_key(name, is_column=False) is None and label_key(name, is_column=True) is None, name


# --- 4. keys in other case, byte-order marks ---------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Lattice", "lattice"),
        ("Lattice", "LATTICE"),
        ("Lattice", "cell"),
        ("Properties", "properties"),
        ("Properties", "PROPERTIES"),
        ("species:S:1:pos", "Species:S:1:Pos"),
        ("species:S:1:pos", "element:S:1:positions"),
        ('"8 0 0 0 8 0 0 0 8"', '"[[8, 0, 0], [0, 8, 0], [0, 0, 8]]"'),
        ('"8 0 0 0 8 0 0 0 8"', "[8,0,0,0,8,0,0,0,8]"),
        ("energy", "pbc=[T, T, T] energy"),
        ("3\nProp", "\ufeff3\nProp"),
        ("\n", "\r\n"),
    ],
)
def test_keys_in_other_case_count(tmp_path, old, new):
    (structure,), _ = read_text(tmp_path, frame().replace(old, new))
    assert structure.pbc == (True, True, True) and structure.energy == -1.5 and structure.forces[0, 2] == 0.3
    np.testing.assert_array_equal(structure.cell, 8.0 * np.eye(3))


@pytest.mark.parametrize("text", ['PBC="F F F"', "pBc=F", "Pbc='0 0 0'", "periodic=[F,F,F]"])
def test_periodicity_in_other_case_counts(tmp_path, text):
    (structure,), _ = read_text(tmp_path, frame(f"energy=-1.5 {text}"))
    assert structure.pbc == (False, False, False)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('Lattice="8 0 0 0 8 0 0 0 8"', 'cell="8 8 8"', "line 2: no cell: found"),
        ("energy", 'cell="9 0 0 0 9 0 0 0 9" energy', "two keys for the cell"),
        ("energy", "pbc=maybe energy", "no periodicity"),
        ("species:S:1:", "", "no column with the species"),
        ("pos:R:3", "xyz:R:3", "no column with the positions"),
        ("forces:R:3", "forces:R", "columns cannot be understood"),
        ("Lattice", "lattice_vectors", "line 2: the cell under an unknown key: found 'lattice_vectors="),
        ("Lattice", "Cell_Matrix", "the cell under an unknown key"),
        ("Properties", "Property", "line 2: the columns under an unknown key: found 'Property="),
        ("Properties", "columns", "the columns under an unknown key"),
        ("energy", 'boundary="p p f" energy', "the periodicity under an unknown key"),
        ("energy", "PBCs=[T,T,F] energy", "the periodicity under an unknown key"),
    ],
)
def test_keys_that_cannot_be_read_are_refused(tmp_path, old, new, message):
    with pytest.raises(FormatError, match=message):
        read_text(tmp_path, frame().replace(old, new))


@pytest.mark.parametrize("text", ['supercell="1 0 0 0 1 0 0 0 1"', "periodic_table=1-18", "cell_volume=512", "a:b=c:d"])
def test_other_keys_are_left_alone(tmp_path, text):
    (structure,), _ = read_text(tmp_path, frame(f"energy=-1.5 {text}"))
    assert structure.pbc == (True, True, True) and structure.forces[0, 2] == 0.3


def test_byte_order_marks_are_no_error_anywhere(tmp_path):
    mark = "\ufeff"
    assert len(read_text(tmp_path, mark + frame())[0]) == 1
    assert len(read_text(tmp_path, frame().encode("utf-16"))[0]) == 1
    assert len(read_text(tmp_path, mark + N2P2, "input.data", units="eV Angstrom")[0]) == 8
    assert len(read_text(tmp_path, mark + DUMP, "md.dump")[0]) == 2
    assert len(read_text(tmp_path, mark + (case("06") / "vasprun.xml").read_text(), "vasprun.xml")[0]) == 2
    poscar = "O2\n1.0\n8 0 0\n0 8 0\n0 0 8\nO\n2\nCartesian\n0 0 0\n0 0 1.2\n"
    assert len(read_text(tmp_path, mark + poscar, "POSCAR")[0]) == 1
    (tmp_path / "t.in").write_text(mark + "TRAININGSET a.train\nITERATIONS 3\n", encoding="utf-8")
    assert recognise(tmp_path / "t.in") is FileKind.TRAIN_INPUT
