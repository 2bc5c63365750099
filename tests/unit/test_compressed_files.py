"""Compressed files say what they say uncompressed; files of codes by their own samples, those of ASE's tests."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import ase.test
import numpy as np
import pytest

from file_cases import DUMP, N2P2, case, frame, read_text
from taylorfit.errors import FormatError, InputError
from taylorfit.formats.recognise import FileKind, recognise

VASPRUN = (case("06") / "vasprun.xml").read_text()
TYPES = (case("09") / "md.dump").read_text()
XSF = "# total energy = -1.5 eV\n\nATOMS\nH 0 0 0 0 0 0\n"
SAMPLES = Path(ase.test.__file__).parent / "testdata"
PACK: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("ending", PACK)
def test_nothing_that_a_file_says_is_lost_by_packing(tmp_path: Path, ending: str) -> None:
    def packed(text: str) -> bytes:
        return PACK[ending](text.encode())

    structures, _ = read_text(tmp_path, packed(VASPRUN), f"vasprun.xml.{ending}")
    assert [s.converged for s in structures] == [False, True]
    with pytest.raises(InputError, match="no fixed units"):
        read_text(tmp_path, packed(N2P2), f"input.data.{ending}")
    assert len(read_text(tmp_path, packed(N2P2), f"input.data.{ending}", units="eV Angstrom")[0]) == 8
    with pytest.raises(FormatError, match="line 9: atoms have types but no elements"):
        read_text(tmp_path, packed(TYPES), f"md.dump.{ending}")
    (first, _), told = read_text(tmp_path, packed(DUMP), f"md.dump.{ending}")
    assert first.energy is None and "hold no energies" in told[0]
    assert read_text(tmp_path, packed(XSF), f"a.xsf.{ending}")[0][0].energy == -1.5
    assert recognise(tmp_path / f"a.xsf.{ending}") is FileKind.XSF
    (water,), _ = read_text(tmp_path, packed(frame("energy=-1 energy_unit=eV")), f"a.xyz.{ending}")
    assert water.energy == -1.0


def test_packing_is_told_by_content(tmp_path: Path) -> None:
    (water,), _ = read_text(tmp_path, frame(), "not-packed.xyz.gz")
    (same,), _ = read_text(tmp_path, gzip.compress(frame().encode()), "run7")
    assert np.array_equal(water.forces, same.forces)
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path, gzip.compress(VASPRUN.encode())[:200], "vasprun.xml.gz")
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path, gzip.compress(frame().encode())[:60], "a.xyz.gz")


@pytest.mark.parametrize(("name", "n"), [("md.out", 5), ("relax.out", 8), ("singlepoint.out", 1), ("socket.out", 6)])
def test_outputs_of_fhi_aims_are_no_setups_and_no_espresso(tmp_path: Path, name: str, n: int) -> None:
    content = (SAMPLES / "aims" / name).read_bytes()
    structures, _ = read_text(tmp_path, content, name)
    assert len(structures) == n and all(s.converged and s.forces is not None for s in structures)
    assert recognise(tmp_path / name) is FileKind.STRUCTURES
    broken = content.replace(b"Self-consistency cycle converged.", b"SELF-CONSISTENCY CYCLE DID NOT CONVERGE", 1)
    assert [s.converged for s in read_text(tmp_path, broken, name)[0]] == [False] + [True] * (n - 1)


@pytest.mark.parametrize("name", ["run.out", "job.log", "gs_info", "energies.txt"])
def test_what_nobody_knows_is_not_named_by_its_ending(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="neither taylorfit nor ASE knows what this is"):
        read_text(tmp_path, "SCF cycle 1\nenergy -1.5\n", name)


def test_what_ase_warns_of_is_told_in_one_line_each(tmp_path: Path) -> None:
    structures, told = read_text(tmp_path, (SAMPLES / "castep" / "md.castep").read_bytes(), "md.castep")
    assert len(structures) == 3
    assert any("fixing cell parameters" in line for line in told) and not any("\n" in line for line in told)


def test_runs_of_vasps_force_field_are_refused_with_the_file_to_take(tmp_path: Path) -> None:
    first = VASPRUN.index("<scstep", VASPRUN.index("</calculation>"))
    on = '<i type="logical" name="ML_LMLFF"> T  </i>'
    vasprun = on + VASPRUN[:first] + VASPRUN[VASPRUN.rindex("</scstep>") + len("</scstep>") :]
    outcar = " vasp.6.4\n executed on x\n  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM\n"
    for name, text in (("OUTCAR", outcar), ("vasprun.xml", vasprun)):
        with pytest.raises(FormatError, match="expected ML_AB of this run"):
            read_text(tmp_path, text, name)
    structures, _ = read_text(tmp_path, VASPRUN.replace("<calculation>", f"{on}<calculation>", 1), "vasprun.xml")
    assert len(structures) == 2
