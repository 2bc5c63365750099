"""`taylorfit md`: what md.in says of its structure files, tables on the screen, and tables that cannot be written."""

from __future__ import annotations

from pathlib import Path

import ase.io
import pytest

from cli_support import run, succeed
from md_cases import change, make_md, table
from taylorfit.commands import md
from taylorfit.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two potentials, a committee, a start, and md.in."""
    return make_md(tmp_path)


def test_what_files_leave_open_is_said_in_md_in(folder: Path) -> None:
    keys = (
        'Properties=species:S:1:pos:R:3:a_forces:R:3:b_forces:R:3 Lattice="9 0 0 0 9 0 0 0 9" a_energy=-1 b_energy=-2'
    )
    (folder / "two.xyz").write_text(f"2\n{keys}\nO 0 0 0 0 0 0 1 1 1\nH 1 0 0 0 0 0 1 1 1\n")
    change(folder, "STRUCTURE two.xyz", without="STRUCTURE")
    assert "several sources" in run(folder, "md", "md.in").complaint
    change(folder, "STRUCTURE two.xyz", "ENERGY_KEY b_energy", "FORCES_KEY b_forces", without="STRUCTURE")
    succeed(folder, "md", "md.in")
    atom = "atom 0.0 0.0 0.0 {} 0.0 0.0 0.0 0.0 0.0\natom 1.8 0.0 0.0 {} 0.0 0.0 0.0 0.0 0.0\n".format("O", "H")
    (folder / "input.data").write_text(f"begin\n{atom}energy -1.0\ncharge 0.0\nend\n")
    change(folder, "STRUCTURE input.data", "TRAJECTORY run.extxyz", without="STRUCTURE")
    assert "units" in run(folder, "md", "md.in", "--force").complaint
    change(folder, "STRUCTURE input.data", "TRAJECTORY run.extxyz", "UNITS Hartree Bohr", without="STRUCTURE")
    succeed(folder, "md", "md.in", "--force")
    distance = ase.io.read(folder / "run-one-1.extxyz", 0).get_distance(0, 1)
    assert distance == pytest.approx(1.8 * 0.529177, rel=1e-5)


@pytest.mark.parametrize("name", ["md.steps.csv", "md.starts.csv"])
def test_a_table_that_cannot_be_written_leaves_the_rest(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    assert run(folder, "md", "md.in", "--force").code == 2
    (folder / name).rmdir()
    path = folder / name

    def fill(*_: object) -> None:
        raise InputError("cannot be written: No space left on device", file=path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(md, "write_steps" if "steps" in name else "write_walks", fill)
        found = run(folder, "md", "md.in")
    assert found.code == 2 and "std(E_tot)" in found.out
    assert found.complaint.endswith("No space left on device; --resume writes them, from md.checkpoint.npz")
    succeed(folder, "md", "md.in", "--resume")
    assert len(table(path)) == (10 if "steps" in name else 2)


def test_the_table_on_the_screen_has_the_deviations_of_a_committee(folder: Path) -> None:
    change(folder, "POTENTIALS", "all committee", "")
    out = succeed(folder, "md", "md.in").out
    rows = table(folder / "md.steps.csv")
    assert "std E, meV/atom   max std F, eV/Å" in out
    shown = next(line for line in out.splitlines() if line.strip().startswith("20 ")).split()
    n_atoms = int(rows[-1]["n_atoms"])
    assert float(shown[-2]) == pytest.approx(1e3 * float(rows[-1]["E_pot_std_eV"]) / n_atoms, abs=1e-4)
    assert float(shown[-1]) == pytest.approx(float(rows[-1]["F_std_max_eV_per_A"]), abs=1e-4)
    change(folder, "POTENTIALS", "one one", "")
    assert "std F" not in succeed(folder, "md", "md.in", "--force").out
