"""Which kind of file is this?  Told by its content; the name matters only where content cannot tell."""

from __future__ import annotations

import re
import struct
from enum import Enum
from os import PathLike, fsdecode

from ..errors import FormatError
from ..tools.compressed import first_bytes, is_compressed
from ..tools.os_errors import explained
from ..tools.plain_text import without_mark
from .structures.files import XSF_KEYWORD, kind_from_head

_HEAD_BYTES = 1 << 16
_SETUP_WORDS = {"DESCR", "ATOM", "ENV", "RMIN", "BASIS", "FUNCTIONS", "SYMMFUNC"}
_INPUT_WORDS = {
    "SETUPS": "generate",
    "DERIVATIVES": "generate",
    "FORCESPERCENT": "generate",
    "TRAININGSET": "train",
    "TESTPERCENT": "train",
    "ITERATIONS": "train",
    "RELAX": "predict",
    "PRINT_ATOMIC_ENERGIES": "predict",
    "POTENTIALS": "md",
    "ENSEMBLE": "md",
    "TIMESTEP": "md",
}
_INPUT_KEYWORDS = """
    BEST CHECKPOINT COMMITTEE COPYWEIGHT DEBUG DERIVATIVES ENERGY_KEY ENSEMBLE EQUILIBRATION EXTRAPOLATION FILES FORCES
    FORCESPERCENT FORCES_KEY ITERATIONS LOSS MAXENERGY METHOD NETWORKS NOENERGIES OUTPUT PATIENCE POTENTIALS PRECISION
    PRINT_ATOMIC_ENERGIES RDF RELAX REPEAT SAMPLE SAMPLING SAVE_ENERGIES SEED SETUPS SKIN SPLIT STARTS STEPS STORE
    STRESS_KEY STRUCTURE TAYLORSET TEMPERATURE TESTPERCENT THERMOSTAT THREADS TIMESTEP TIMING TRAININGSET TRAJECTORY
    TYPES UNITS VALIDATION VALIDATIONEVERY VELOCITIES VERBOSITY
    """
FIRST_WORDS = frozenset(_INPUT_KEYWORDS.split())
"""Keywords of input files, with one of which they begin (a test compares them with the settings)."""
_WORD = re.compile(r"^[ \t]*([A-Za-z_]+)\b", re.MULTILINE)


class FileKind(Enum):
    """The kinds of file that taylorfit tells apart; the values are their names for people."""

    TRAINSET = "training set"
    TRAINSET_TEXT = "training set as text"
    POTENTIAL = "potential"
    POTENTIAL_TEXT = "potential as text"
    DERIVATIVES = "descriptor derivatives"
    RNGSTATE = "state of gfortran's random numbers (train.rngstate)"
    RESTART = "optimiser state of ænet (train.restart)"
    CHECKPOINT = "checkpoint of a training"
    SETUP = "descriptor setup"
    GENERATE_INPUT = "input file of generate"
    TRAIN_INPUT = "input file of train"
    PREDICT_INPUT = "input file of predict"
    MD_INPUT = "input file of md"
    MD_CHECKPOINT = "checkpoint of molecular dynamics"
    ENERGIES = "energies of a training"
    GEOMETRY = "companion of a training set"
    PREDICTIONS = "predictions for reference structures"
    XSF = "structure (XSF)"
    STRUCTURES = "structures"
    """Anything else: ASE may know it."""


def recognise(path: str | PathLike[str]) -> FileKind:
    """Return the kind of a file from its first bytes.

    Raises
    ------
    FormatError
        if it is empty, or written by a big-endian machine.
    InputError
        if it cannot be read.
    """
    name = fsdecode(path)
    with explained("cannot be read", name), open(name, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(_HEAD_BYTES)
    if is_compressed(head):
        # Of what we read, structures may be
        return FileKind.XSF if XSF_KEYWORD.search(first_bytes(name, _HEAD_BYTES)) else FileKind.STRUCTURES
    if not head.strip():
        raise FormatError("empty file", file=name, expected="a file with content")
    if head[:4] == b"PK\x03\x04":
        return _archive_kind(head)
    if head[:4] == b"\0\0\0\4" and head[8:12] == b"\0\0\0\4":
        raise FormatError("binary file of a big-endian machine", file=name, expected="little-endian records")
    kind = _binary_kind(head, size)
    if kind is None and b"\0" not in head:
        kind = _text_kind(head)
    return kind or FileKind.STRUCTURES


def _archive_kind(head: bytes) -> FileKind:
    """Tell archives of NumPy apart by the names of their arrays."""
    from .companion import MARK as GEOMETRY_MARK
    from .predictions import MARK

    if b"identity.npy" in head:
        return FileKind.MD_CHECKPOINT if b"n_walks.npy" in head else FileKind.CHECKPOINT
    marks = {MARK: FileKind.PREDICTIONS, GEOMETRY_MARK: FileKind.GEOMETRY}
    return next((kind for mark, kind in marks.items() if mark.encode() + b".npy" in head), FileKind.STRUCTURES)


def _binary_kind(head: bytes, size: int) -> FileKind | None:
    """Tell files of Fortran records apart by the lengths of the first ones."""
    lengths: list[int] = []
    values: list[int] = []
    position = 0
    while len(lengths) < 6 and position + 4 <= len(head):
        (length,) = struct.unpack_from("<i", head, position)
        if not 0 <= length <= size - position - 8:
            break
        lengths.append(length)
        values.append(struct.unpack_from("<i", head, position + 4)[0] if length == 4 else -1)
        end = position + 4 + length
        if end + 4 <= len(head) and head[end : end + 4] != head[position : position + 4]:
            break
        position = end + 4
    if lengths[:1] == [50] and head[4:54].strip().isalpha():
        return FileKind.RESTART
    if lengths == [4, 4 * values[0] if values else 0]:
        return FileKind.RNGSTATE
    if len(lengths) < 4 or lengths[:2] != [4, 4]:
        # A file cut in its head is still a training set rather than a structure
        return FileKind.TRAINSET if lengths[:2] == [4, 4] else None
    if lengths[2:4] == [4, 4] and lengths[4:5] in ([4 * values[0]], []):
        return FileKind.POTENTIAL
    if lengths[2] == values[1] and lengths[3] == 8 and lengths[5:6] in ([4], []):
        return FileKind.DERIVATIVES
    return FileKind.TRAINSET


def _text_kind(head: bytes) -> FileKind | None:
    head = without_mark(head)
    if XSF_KEYWORD.search(head):
        return FileKind.XSF
    from .aenet.energies_file import HEADER_WORDS

    text = head.decode("latin-1")
    if text.split(None, 3)[:3] == list(HEADER_WORDS[:3]):
        return FileKind.ENERGIES
    lines = [line.strip() for line in text.split("\n", 6)[:6]] + [""] * 6
    if kind_from_head(head) is not None:
        return FileKind.STRUCTURES
    words = {word.upper() for word in _WORD.findall(text)}
    if all(line.isdigit() for line in lines[:4]):
        return FileKind.POTENTIAL_TEXT
    if lines[1].upper() in ("T", "F", ".TRUE.", ".FALSE.", "TRUE", "FALSE"):
        return FileKind.TRAINSET_TEXT
    # An xyz file has a line of comment in second place
    if lines[0].isdigit() and lines[1].isdigit() and lines[4].upper() in ("T", "F", "TRUE", "FALSE"):
        return FileKind.TRAINSET_TEXT
    # Logs of other programs have such words somewhere; an input file or a setup begins with a keyword
    content = (line.split() for line in text.removeprefix("\xef\xbb\xbf").splitlines())
    first = next((line[0].upper() for line in content if line and line[0][0] not in "!#%"), "")
    if first not in FIRST_WORDS:
        return FileKind.SETUP if first in _SETUP_WORDS and len(words & _SETUP_WORDS) >= 2 else None
    inputs = {_INPUT_WORDS[word] for word in words & set(_INPUT_WORDS)}
    if len(inputs) == 1:
        return FileKind[f"{inputs.pop().upper()}_INPUT"]
    if len(words & _SETUP_WORDS) >= 2:
        return FileKind.SETUP
    if {"TYPES", "NETWORKS"} <= words:
        return FileKind.PREDICT_INPUT
    if {"STRUCTURE", "NETWORKS"} <= words:
        return FileKind.MD_INPUT
    return None
