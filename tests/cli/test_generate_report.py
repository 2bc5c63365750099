"""What `generate` reports, and its data check, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cli_support import Result, make_toy, report, run, succeed, taylor
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.model.structure import Structure


def test_the_report_has_the_keys_the_help_documents(tmp_path: Path) -> None:
    structures = make_toy(tmp_path, 5, extra=taylor(delta=0.02, fraction=2))
    found = report(tmp_path, "generate", "generate.in")
    assert {
        "structures",
        "copies",
        "skipped",
        "dropped",
        "atoms",
        "seconds",
        "output",
        "taylor_output",
        "energy_mean",
        "energy_min",
        "energy_max",
        "check",
        "command",
        "version",
    } <= set(found)
    per_atom = [(s.energy + 50.0) / 5 for s in structures]
    assert found["energy_mean"] == pytest.approx(np.mean(per_atom), rel=1e-12)
    assert (found["energy_min"], found["energy_max"]) == pytest.approx((min(per_atom), max(per_atom)), rel=1e-12)
    assert found["check"]["n_structures"] == 5 and found["seconds"] > 0
    help_text = run(tmp_path, "generate", "--help").out
    for key in found:
        assert key in help_text or key in ("command", "version") or key.startswith("energy_m"), key


def checked(folder: Path, *options: str) -> Result:
    return succeed(folder, "generate", "generate.in", "--force", "--report", "r.json", *options)


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    """24 clusters: 03 repeats 02, 05 has no forces, 07 a force a hundredfold, 09 near-zero forces."""
    structures = make_toy(tmp_path, 24, extra=taylor(delta=0.02, fraction=1))
    altered = {
        3: structures[2],
        5: Structure(structures[5].symbols, structures[5].positions, energy=structures[5].energy),
        7: Structure(
            structures[7].symbols,
            structures[7].positions,
            energy=structures[7].energy,
            forces=100 * structures[7].forces,
        ),
        9: Structure(
            structures[9].symbols,
            structures[9].positions,
            energy=structures[9].energy,
            forces=1e-3 * structures[9].forces,
        ),
    }
    for s, structure in altered.items():
        write_xsf(tmp_path / f"xsf/{s:02d}.xsf", structure)
    return tmp_path


def test_the_data_check_names_what_is_odd_and_drops_nothing(flawed: Path) -> None:
    result = checked(flawed)
    kinds = {
        finding["kind"]: finding["names"]
        for finding in json.loads((flawed / "r.json").read_text())["check"]["findings"]
    }
    assert kinds["duplicate"] == ["xsf/03.xsf"]
    assert kinds["missing-forces"] == ["xsf/05.xsf"]
    assert kinds["force-outlier"] == ["xsf/07.xsf"]
    assert kinds["near-zero-forces"] == ["xsf/09.xsf"]
    for name in ("xsf/03.xsf", "xsf/05.xsf", "xsf/07.xsf", "xsf/09.xsf"):
        assert name in result.out
    found = json.loads((flawed / "r.json").read_text())
    assert (found["structures"], found["dropped"]) == (24, 0)
    assert found["skipped_by_reason"] == {"without forces": 1, "near-zero forces": 1}
    assert found["skipped"] == 2
    assert found["copies"] == 22


def test_structures_are_dropped_on_request_only_for_the_kinds_named(flawed: Path) -> None:
    checked(flawed, "--drop", "duplicate,force-outlier")
    found = json.loads((flawed / "r.json").read_text())
    assert (found["structures"], found["dropped"]) == (22, 2)
    names = read_trainset(flawed / "toy.train").names
    assert "xsf/02.xsf" in names and not {"xsf/03.xsf", "xsf/07.xsf"} & set(names)


def test_structures_without_energy_can_be_dropped(flawed: Path) -> None:
    path = flawed / "xsf/04.xsf"
    path.write_text("\n".join(path.read_text().splitlines()[1:]) + "\n")
    assert "xsf/04.xsf: no energy" in run(flawed, "generate", "generate.in").complaint
    checked(flawed, "--drop", "missing-energy")
    assert json.loads((flawed / "r.json").read_text())["dropped"] == 1


def test_timing_writes_a_table_with_units(tmp_path: Path) -> None:
    make_toy(tmp_path, 3, extra="TIMING")
    succeed(tmp_path, "generate", "generate.in")
    header, values = (tmp_path / "generate.time").read_text().splitlines()
    assert "(s)" in header and int(values.split()[1]) == 15
