"""The manual's page "From a notebook", as it stands there, on water clusters from three kinds of files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from matplotlib.figure import Figure

import taylorfit as tfit
from cli_support import contents
from taylorfit import Structure
from taylorfit.examples.copying import copy_example
from taylorfit.formats.structures.extxyz import write_extxyz
from taylorfit.formats.structures.xsf import write_xsf

PAGE = Path(__file__).parents[2] / "python/docs/pages/python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
BOX = 14.0  # Å

VASPRUN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <kpoints><varray name="kpointlist"/><varray name="weights"/></kpoints>
 <atominfo>
  <array name="atoms"><set>
{atoms}
  </set></array>
 </atominfo>
 <structure name="initialpos">
{structure}
 </structure>
 <calculation>
  <scstep><energy><i name="e_fr_energy">{energy}</i><i name="e_0_energy">{energy}</i></energy></scstep>
  <structure>
{structure}
  </structure>
  <varray name="forces">
{forces}
  </varray>
  <energy><i name="e_fr_energy">{energy}</i><i name="e_wo_entrp">{energy}</i><i name="e_0_energy">{energy}</i></energy>
 </calculation>
</modeling>
"""


def rows(array: np.ndarray) -> str:
    return "\n".join("<v> " + " ".join(f"{x:.12f}" for x in row) + " </v>" for row in array)


def write_vasprun(path: Path, structure: Structure) -> None:
    """A structure in a box, as VASP writes it."""
    crystal = f'<crystal><varray name="basis">{rows(BOX * np.eye(3))}</varray></crystal>'
    path.write_text(
        VASPRUN.format(
            atoms="\n".join(f"<rc><c>{symbol}</c><c>1</c></rc>" for symbol in structure.symbols),
            structure=f'{crystal}<varray name="positions">{rows(structure.positions / BOX)}</varray>',
            forces=rows(structure.forces),
            energy=repr(structure.energy),
        )
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 of the example's water clusters in the files that the page names."""
    folder = tmp_path_factory.mktemp("flow")
    copy_example("water-cluster", folder / "example")
    structures = tfit.read(folder / "example/xsf/*.xsf")[::7][:60]
    for name in ("bulk", "run1"):
        (folder / name).mkdir()
    for number, structure in enumerate(structures[:50]):
        write_xsf(folder / f"bulk/{number:02d}.xsf", structure)
    write_vasprun(folder / "run1/vasprun.xml", structures[50])
    write_extxyz(folder / "more.extxyz", structures[51:])
    return folder


@pytest.mark.filterwarnings("ignore::taylorfit.DataWarning")
def test_the_page_runs_as_it_stands(data: Path, monkeypatch, capsys):
    monkeypatch.chdir(data)
    atoms = Atoms("OH2", [[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]])
    before = contents(data)
    names: dict[str, object] = {"atoms": atoms}
    exec(BLOCKS[0].replace("tfit.plotting.curves(fit)", "figure = tfit.plotting.curves(fit)"), names)

    assert {name for name in contents(data) if name not in before} == {"fit", "fit/H.nn", "fit/O.nn"}
    printed = capsys.readouterr()
    assert printed.out.startswith("energies against forces") and printed.err == ""
    fit, held_out = names["fit"], names["held_out"]
    assert len(names["frames"]) == 60 and len(held_out) == 6
    assert fit.status == "finished" and len(fit.history) == 701 and isinstance(names["figure"], Figure)
    # It has learnt something: the mean force component is 0.9 eV/Å
    assert fit.errors.force_rmse < 0.3 and fit.history.test_force_rmse[fit.best_epoch] < 0.3
    # Files, calculator and predictions are of one potential
    saved = tfit.predict("fit", held_out)
    assert saved.errors.to_dict() == pytest.approx(fit.errors.to_dict())
    assert atoms.get_potential_energy() == tfit.Potential.load("fit").evaluate([Structure.from_ase(atoms)])[0].energy


@pytest.mark.filterwarnings("ignore::taylorfit.DataWarning")
def test_the_rest_of_the_page_runs(data: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(data)
    train = tfit.read("bulk/*.xsf")[:20]
    names: dict[str, object] = {"tfit": tfit, "train": train, "setup": tfit.propose(train)}
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS[1:]:
        exec(block.replace("epochs=700", "epochs=3"), names)
    assert names["fit"].mode == "taylor" and len(names["data"].names) == 23 * 20
    assert capsys.readouterr().out.startswith("H  Chebyshev, ")
    loaded = tfit.Setup.load("run")
    assert loaded.networks["H"] == ((20, "tanh"), (20, "tanh")) and loaded.atomic_energies["H"] == -13.6
