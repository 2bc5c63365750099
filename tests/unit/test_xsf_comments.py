"""Stress and weights in the comments of XSF files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taylorfit as tfit
from taylorfit.errors import FormatError
from taylorfit.formats.structures.xsf import format_xsf, parse_xsf
from taylorfit.model.structure import Structure

STRESSED = """# total energy = -1.0 eV
# stress = 0.01 -0.02 0.03 4e-3 5d-3 -6.0E-3{unit}

CRYSTAL
PRIMVEC
4 0 0
0 4 0
0 0 4
PRIMCOORD
1 1
H 0 0 0
"""
WATER = Structure(
    ("O", "H", "H"),
    np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]),
    energy=-1.5,
    forces=np.array([[0.1, 0, 0], [-0.1, 0, 0], [0, 0, 0]]),
)


@pytest.mark.parametrize("unit", ["", " eV/A^3", " eV/Å^3", " (eV/ang**3)"])
def test_stress_stands_in_a_comment(unit):
    stress = parse_xsf(STRESSED.format(unit=unit).encode(), "a.xsf").stress
    np.testing.assert_array_equal(stress, [[0.01, -0.006, 0.005], [-0.006, -0.02, 0.004], [0.005, 0.004, 0.03]])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("# stress = 1 2 3 4 5", "line 2: stress is not six numbers"),
        ("#stress=0.1 GPa", "line 2: stress is not six numbers"),
        ("# stress = 1 2 3 4 5 nan", "line 2: stress is not six numbers"),
        ("# stress = 1 2 3 4 5 6 GPa", "line 2: stress is not in eV/Å³: found 'GPa'"),
    ],
)
def test_a_stress_that_cannot_be_used_is_refused(line, message):
    text = STRESSED.replace("# stress = 0.01 -0.02 0.03 4e-3 5d-3 -6.0E-3{unit}", line)
    with pytest.raises(FormatError, match=f"a.xsf, {message}"):
        parse_xsf(text.encode(), "a.xsf")


def test_other_comments_about_stress_are_passed_over():
    text = STRESSED.replace("# stress = 0.01 -0.02 0.03 4e-3 5d-3 -6.0E-3{unit}", "# no stress; Stress = 0")
    assert parse_xsf(text.encode(), "a.xsf").stress is None


def test_weights_are_read_and_written_back():
    structure = Structure(
        ("H", "O"), np.eye(2, 3), energy=-1.0, forces=np.ones((2, 3)), weight=2.5, force_weights=np.array([0.0, 3.25])
    )
    text = format_xsf(structure)
    assert "# weight = 2.5" in text and "# force weights in column 8" in text
    again = parse_xsf(text.encode(), "a.xsf")
    assert again.weight == 2.5
    np.testing.assert_array_equal(again.force_weights, [0.0, 3.25])
    np.testing.assert_array_equal(again.forces, structure.forces)
    plain = parse_xsf(b"# total energy = 1 eV\nATOMS\nH 0 0 0 1 1 1 9.0\n", "a.xsf")
    assert plain.weight == 1.0 and plain.force_weights is None


@pytest.mark.parametrize(
    "text, line, message",
    (
        ("# weight = much\nATOMS\nH 0 0 0\n", 1, "weight is not a number"),
        ("# weight = -1\nATOMS\nH 0 0 0\n", 1, "weight is not a number"),
        (
            "# force weights in column 8\nATOMS\nH 0 0 0 1 1 1 1\nH 0 0 1 1 1 1\n",
            4,
            "no weight of the force in column 8",
        ),
        ("# force weights in column 8\nATOMS\nH 0 0 0 1 1 1 -2\n", 3, "no weight of the force in column 8"),
    ),
)
def test_unusable_weights_are_one_line(text, line, message):
    with pytest.raises(FormatError, match=message) as error:
        parse_xsf(text.encode(), "a.xsf")
    assert error.value.line == line


@pytest.mark.parametrize("name", ["a.xsf", "a.extxyz"])
def test_marks_of_quality_survive_conversions(tmp_path: Path, name: str):
    marked = replace(WATER, converged=False, predicted_by='the "total energy" of\na committee')
    tfit.write(tmp_path / name, [marked])
    (found,) = tfit.read(tmp_path / name)
    assert not found.converged and re.fullmatch("the_+total_energy_+of_a_committee", found.predicted_by)
    assert found.energy == marked.energy
    (found,) = tfit.read(tmp_path / name, energy_key="energy")
    assert not found.predicted_by
    # Without labels there is nothing to say about them
    tfit.write(tmp_path / name, [replace(marked, energy=None, forces=None)], overwrite=True)
    assert tfit.read(tmp_path / name)[0].predicted_by == ""
    atoms = marked.to_ase()
    assert tfit.Structure.from_ase(atoms).predicted_by == marked.predicted_by


def test_a_comment_is_not_read_as_a_weight():
    structure = Structure(("H",), np.zeros((1, 3)))
    again = parse_xsf(format_xsf(structure, ["weight = 3", "force weights in column 8"]).encode(), "a.xsf")
    assert again.weight == 1.0 and again.force_weights is None
