"""`label`: any calculator, command or cluster; what was computed stays, and what cannot be used says why."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from taylorfit.errors import FormatError, InputError
from taylorfit.learning.label import label
from taylorfit.learning.references import read_answer
from taylorfit.model.structure import Structure
from taylorfit.settings.label import Reference, parse_value

EMT_PATH = "ase.calculators.emt:EMT"


def frames(n: int = 3) -> list[Structure]:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.positions += 0.1 * rng.standard_normal(atoms.positions.shape)
        found.append(Structure.from_ase(atoms))
    return found


def test_labels_are_those_of_the_calculator_in_any_number_of_processes(tmp_path: Path) -> None:
    data = frames()
    own = label(data, EMT())
    for n in (1, 2):
        found = label(data, EMT_PATH, processes=n, output=tmp_path / f"{n}.extxyz")
        for one, two, given in zip(found.structures, own.structures, data):
            # A calculator that goes on from frame to frame remembers a neighbour list
            assert abs(one.energy - two.energy) < 1e-10 and np.allclose(one.forces, two.forces, rtol=1e-12)
            atoms = given.to_ase()
            atoms.calc = EMT()
            assert one.energy == atoms.get_potential_energy()
            assert np.allclose(one.stress, atoms.get_stress(voigt=False), rtol=1e-12, atol=1e-14)
    first = read(tmp_path / "1.extxyz")
    assert first.info["reference"] == EMT_PATH and "ase " in first.info["versions"]
    assert (tmp_path / "1.extxyz").read_bytes() == (tmp_path / "2.extxyz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.extxyz", "2.extxyz"]


def test_what_was_computed_is_not_computed_again_and_half_a_line_is_dropped(tmp_path: Path) -> None:
    data, output = frames(), tmp_path / "out.extxyz"
    waits = label(data, Reference(external=True), output=output)
    assert len(waits.waiting) == 3 and not output.exists()
    kept = Path(f"{output}.labels")
    answer = {"energy": -1.0, "forces": np.zeros((4, 3)).tolist(), "stress": None}
    lines = [{"reference": EMT_PATH}, {"structure": data[0].content_hash(), "answer": answer}]
    kept.write_text("\n".join(map(json.dumps, lines)) + '\n{"structure": "ab')
    found = label([*data, data[2]], EMT_PATH, processes=1, output=output)
    assert found.n_computed == 2 and len(found.structures) == 4
    assert found.structures[0].energy == -1.0
    kept.write_text(json.dumps(lines[0]) + "\n{}\n")
    with pytest.raises(FormatError, match="line 2: a damaged label"):
        label(data, EMT_PATH, output=output, overwrite=True)
    kept.write_text(json.dumps({"reference": "another"}) + "\n")
    with pytest.raises(InputError, match="another reference"):
        label(data, EMT_PATH, output=output, overwrite=True)


def test_labels_that_cannot_be_used_are_set_aside_and_tried_again_if_asked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moody.py").write_text(
        "from ase.calculators.emt import EMT\nimport os\n"
        "class Moody(EMT):\n"
        "    def calculate(self, atoms, properties, changes):\n"
        "        if len(atoms) == 3: os._exit(7)\n"
        "        if len(atoms) == 5: raise RuntimeError('no\\nluck')\n"
        "        super().calculate(atoms, properties, changes)\n"
        "        self.converged = len(atoms) != 2\n"
        "        if len(atoms) == 6: self.results['free_energy'] = float('nan')\n"
    )

    def chain(n: int, d: float = 2.5) -> Structure:
        return Structure(("Cu",) * n, [[d * k, 0, 0] for k in range(n)])

    data = [chain(1), chain(2), chain(3), chain(4), chain(4, 0.2), chain(5), chain(6)]
    found = label(data, "moody:Moody", processes=2, output="out.extxyz")
    assert [structure.n_atoms for structure in found.structures] == [1, 4]
    reasons = {one.place: one.reason for one in found.set_aside}
    assert reasons[1] == "unconverged" and "exit code 7" in reasons[2] and "RuntimeError: no luck" in reasons[5]
    assert reasons[4].startswith("unphysical: a force of") and "not finite" in reasons[6]
    again = label(data, "moody:Moody", processes=1, output="out.extxyz", overwrite=True)
    assert (again.n_computed, again.to_dict()["set_aside"]) == (0, found.to_dict()["set_aside"])
    assert label(data, "moody:Moody", processes=1, output="out.extxyz", overwrite=True, retry=True).n_computed == 3


def test_a_command_reads_and_writes_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.py").write_text(
        "import sys\nfrom ase.io import read, write\nfrom ase.calculators.emt import EMT\n"
        "atoms = read(sys.argv[1])\natoms.calc = EMT()\n"
        "if len(atoms) == 1: sys.exit('cannot do one atom')\n"
        "if len(atoms) == 2: atoms.positions[0] += 0.1\n"
        "atoms.get_forces()\nwrite(sys.argv[2], atoms, format='extxyz')\n"
    )
    bulks = frames(1)
    data = [*bulks, Structure(("Cu",), [[0, 0, 0]]), Structure(("Cu", "Cu"), [[0, 0, 0], [0, 0, 2.4]])]
    found = label(data, Reference(command=f"{sys.executable} run.py {{input}} {{output}}"), processes=2)
    assert np.allclose(found.structures[0].forces, label(bulks, EMT()).structures[0].forces, atol=1e-7)
    assert [one.place for one in found.set_aside] == [1, 2]
    assert "exit code 1: cannot do one atom" in found.set_aside[0].reason
    assert "other positions" in found.set_aside[1].reason
    with pytest.raises(InputError, match="cannot be run"):
        label(data, Reference(command="./nothing {input} {output}"))


def test_results_are_of_the_same_frame_wherever_its_atoms_were_moved_to(tmp_path: Path) -> None:
    slab = Structure(("Cu", "Cu"), [[0.1, 0.2, 3.0], [0.1, 0.2, 5.4]], np.diag([4.0, 4.0, 9.0]), (True, True, False))
    for moved, is_same in (((4.0, -4.0, 0.0), True), ((0.0, 0.0, 9.0), False)):
        atoms = slab.to_ase()
        atoms.positions[0] += moved
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((2, 3)))
        write(tmp_path / "output.extxyz", atoms)
        answer = read_answer(tmp_path / "output.extxyz", slab)
        assert ("energy" in answer) == is_same, answer


def test_frames_computed_elsewhere_are_taken_when_they_are_there(tmp_path: Path) -> None:
    data, output, reference = frames(), tmp_path / "out.extxyz", Reference(external=True)
    assert len(label(data, reference, output=output).waiting) == 3
    folders = sorted((tmp_path / "out.extxyz.frames").iterdir())
    assert {path.name for path in folders[0].iterdir()} == {"frame.extxyz", "POSCAR"}
    (folders[0] / "skip").write_text("did not fit")
    for folder in folders[1:]:
        atoms = read(folder / "POSCAR")
        atoms.calc = EMT()
        atoms.get_forces(), atoms.get_stress()
        write(folder / "output.extxyz", atoms)
    found = label(data, reference, output=output)
    assert len(found.structures) == 2 and found.set_aside[0].reason == "did not fit" and not found.waiting
    assert len(read(output, ":")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.at.all:EMT",), "cannot be imported"),
        (("ase.calculators.emt:Nothing",), "no such calculator"),
        (("ase.calculators.emt",), "not a calculator"),
        (("__import__('os').system('ls'):x",), "not a calculator"),
        (("ase.calculators.lj:LennardJones", {"restart": 1, "nothing": object}), "options"),
    ],
)
def test_references_that_cannot_be_used_are_refused(arguments, message: str) -> None:
    with pytest.raises((InputError, TypeError), match=message if len(arguments) == 1 else None):
        label(frames(1), arguments[0], options=arguments[1] if len(arguments) > 1 else None, processes=1)


def test_values_are_numbers_words_and_json() -> None:
    texts = ["1", "0.5", "true", "True", "None", "GFN1-xTB", '{"density": 2}', "1,2", "[1, 2]"]
    assert [parse_value(text) for text in texts] == [
        1, 0.5, True, True, None, "GFN1-xTB", {"density": 2}, "1,2", [1, 2],
    ]  # fmt: skip
