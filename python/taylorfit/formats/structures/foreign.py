"""Files of other programs: which format is it, who can read it, and how is it converted?  Told by content."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from ...errors import FormatError, InputError
from ...tools.compressed import DAMAGED, first_bytes, opened
from .convergence import scf_converged
from .frames import Frame

_HEAD_BYTES = 1 << 16
_MACHINE_LEARNED = re.compile(rb'ML FREE ENERGIE|name="ML_(?:FF_)?LMLFF"[^>]*>\s*T')
GENERAL_ADVICE = "an undamaged file of a kind that ASE reads, or XSF"


@dataclass(frozen=True)
class ForeignFormat:
    """A format that neither taylorfit nor ASE reads."""

    name: str
    pattern: re.Pattern[bytes]
    """Found in the first 64 kB of such files."""
    way: str
    """How to get a file that can be read."""
    dpdata: str | None = None
    """Name of the format in dpdata, where that reads it."""


def _format(name: str, pattern: str, way: str, dpdata: str | None = None) -> ForeignFormat:
    return ForeignFormat(name, re.compile(pattern.encode(), re.MULTILINE), way, dpdata)


_EXTXYZ = "extended XYZ with energies in eV and forces in eV/Å"
FORMATS = (
    _format("MTP cfg (MLIP)", r"^\s*BEGIN_CFG\b", f"'mlp convert' or a converter to {_EXTXYZ}"),
    _format(
        "CP2K output",
        r"DBCSR\||CP2K\| version string|PROGRAM STARTED AT",
        f"dpdata installed (pip install dpdata), or {_EXTXYZ}",
        "cp2k/output",
    ),
    _format(
        "SIESTA output",
        r"WELCOME TO SIESTA|^\s*Siesta Version|^siesta: System type|redata: ",
        f"dpdata installed (pip install dpdata), or {_EXTXYZ}",
        "siesta/output",
    ),
    _format(
        "ABACUS log",
        r"Atomic-orbital Based Ab-initio|WELCOME TO ABACUS|ABACUS v?\d",
        f"dpdata installed (pip install dpdata), with the log in OUT.*/ beside INPUT as ABACUS wrote it, or {_EXTXYZ}",
        "abacus",
    ),
    _format("Psi4 output", r"Psi4: An Open-Source", f"dpdata installed (pip install dpdata), or {_EXTXYZ}", "psi4/out"),
    _format("Q-Chem output", r"Welcome to Q-Chem", f"cclib or a converter to {_EXTXYZ}"),
    _format("DFTB+ output", r"DFTB\+ (?:release|version|\d)|Total Mermin free energy", f"a converter to {_EXTXYZ}"),
    _format("xtb output", r"x T B\b|xtb version", f"a converter to {_EXTXYZ}"),
    _format("LAMMPS log", r"^LAMMPS \(\d", "the dump, with a column element, and energies from elsewhere"),
    _format("HDF5", r"\A\x89HDF\r\n", f"a converter to {_EXTXYZ}"),
)


def identify(path: str) -> ForeignFormat | None:
    """Return the format of a file if it is one that only others read; arrays of NumPy among them."""
    try:
        head = first_bytes(path, _HEAD_BYTES)
    except InputError:
        return None
    if head.startswith(b"\x93NUMPY"):
        return _format("a NumPy array", "", f"of a folder set.* of DeePMD its coord.npy, or {_EXTXYZ}")
    if head.startswith(b"PK\x03\x04"):
        return _format("an archive of other arrays than rMD17's", "", _EXTXYZ)
    return next((known for known in FORMATS if known.pattern.search(head)), None)


def advice(path: str) -> str:
    """Say what would have been accepted in place of a file that ASE cannot read."""
    folder, name = os.path.split(path)
    beside = os.path.join(folder, name.replace("OUTCAR", "vasprun.xml"))
    if "OUTCAR" in name and os.path.isfile(beside):
        return f"an undamaged OUTCAR; or try {beside} beside it"
    with suppress(*DAMAGED), opened(path) as stream:
        if any(map(_MACHINE_LEARNED.search, stream)):
            return "ML_AB of this run: here are steps of VASP's machine-learned force field as well"
    known = identify(path)
    if known is not None:
        return f"{known.way}: this is {known.name}"
    return GENERAL_ADVICE


def read_foreign_frames(path: str, known: ForeignFormat) -> Iterator[Frame]:
    """Yield the frames of a file that dpdata reads.

    Raises
    ------
    FormatError
        naming the format and a way to convert it, if dpdata does not know it, is not installed, or fails.
    """
    message = f"{known.name}: neither taylorfit nor ASE reads it"
    if known.dpdata is None:
        raise FormatError(message, file=path, expected=known.way)
    try:
        import dpdata
    except ImportError:
        raise InputError(message, file=path, expected=known.way) from None
    file, kind = _file_and_format(path, known.dpdata)
    if kind.startswith("abacus") and not _is_log_of(path, os.path.join(file, "INPUT")):
        raise FormatError(message, file=path, expected=known.way)
    try:
        system = dpdata.LabeledSystem(file, fmt=kind)
        names, types = system["atom_names"], system["atom_types"]
        symbols = tuple(str(names[t]) for t in types)
        periodic = (not system.nopbc,) * 3
        frames = [
            Frame(symbols, positions, cell, periodic, {"energy": energy}, {"forces": forces})
            for positions, cell, energy, forces in zip(
                system["coords"], system["cells"], system["energies"], system["forces"]
            )
        ]
        for frame, virial in zip(frames, system["virials"] if system.has_virial() else ()):
            frame.info["virial"] = virial
    # dpdata's readers fail with whatever their parsing stumbles upon.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise FormatError(f"{known.name}: dpdata cannot read it ({reason})", file=path, expected=_EXTXYZ) from error
    if not frames:
        raise FormatError(f"{known.name}: dpdata finds no converged frame", file=path, expected=_EXTXYZ)
    converged = scf_converged(path, known.dpdata)
    if len(frames) == 1 < len(converged) and not kind.startswith("abacus"):
        # dpdata joins the first positions with the last energy
        raise FormatError(
            f"{known.name}: {len(converged)} energies, of which dpdata takes one",
            file=path,
            expected=f"one structure in each file, or {_EXTXYZ}",
        )
    for frame, good in zip(frames, converged if len(converged) == len(frames) else [True] * len(frames)):
        frame.converged = good
        yield frame


def _is_log_of(path: str, file_input: str) -> bool:
    """Whether this is the log of ABACUS that dpdata reads where this INPUT lies."""
    try:
        with open(file_input, encoding="latin-1") as stream:
            suffix = re.search(r"^\s*suffix\s+(\S+)", stream.read(), re.MULTILINE)
    except OSError:
        return False
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.basename(folder) == f"OUT.{suffix[1] if suffix else 'ABACUS'}" and name.startswith("running_")


def _file_and_format(path: str, name: str) -> tuple[str, str]:
    """What dpdata is asked for: of ABACUS the folder above that of its log, by the kind of run."""
    if name != "abacus":
        return path, name
    kind = re.search(r"running_(?:cell-)?(scf|md|relax)\.log", os.path.basename(path))
    return os.path.dirname(os.path.dirname(os.path.abspath(path))), f"abacus/{kind[1] if kind else 'scf'}"
