"""The structures of a study: unpacked from folders and archives, some held out, placed where its steps look."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from taylorfit.errors import InputError
from taylorfit.examples.copying import unpack
from taylorfit.formats.structures.files import natural_key

TRAINING, VALIDATION = "xsf", "validation"
"""Folders of the structures to train on and to check against."""
HELD_OUT = 5, 2
"""Of every five structures the third is held out."""


def structures_at(path: Path, archive: str = "train.tar.xz") -> dict[str, bytes]:
    """Return name (relative, with `/`) and content of the XSF files in an archive or a folder, in natural order.

    Parameters
    ----------
    path
        an archive, a folder that holds `archive`, or a folder with XSF files, perhaps in folders of their own

    Raises
    ------
    InputError
        if there are none.
    """
    if path.is_dir() and (path / archive).is_file():
        path = path / archive
    try:
        if path.is_dir():
            found = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*.xsf")}
        else:
            found = unpack(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, expected="the data of the study") from None
    names = sorted((name for name in found if name.endswith(".xsf")), key=natural_key)
    if not names:
        raise InputError("no XSF files", file=path, expected=f"{archive}, another archive, or a folder of XSF files")
    return {name: found[name] for name in names}


def only_below(structures: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    """The structures in folders of a name; all if there is no such folder."""
    below = {name: text for name, text in structures.items() if folder in PurePosixPath(name).parts[:-1]}
    return below or dict(structures)


def held_out(structures: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Split into structures to train on and every fifth to check against (see `HELD_OUT`).

    Raises
    ------
    InputError
        if there are too few.
    """
    every, first = HELD_OUT
    chosen = {name: structures[name] for name in list(structures)[first::every]}
    if not chosen:
        raise InputError("too few structures for a study", value=len(structures), expected=f"at least {first + 1}")
    return {name: text for name, text in structures.items() if name not in chosen}, chosen


def place(structures: Mapping[str, bytes], folder: str) -> None:
    """Write structures into a folder of the working directory, all or none, unless it is there.

    Names lose their folders; where two would then be the same, these are kept with hyphens.

    Raises
    ------
    InputError
        if something cannot be written.
    """
    if Path(folder).is_dir():
        return
    short = {name: PurePosixPath(name).name for name in structures}
    if len(set(short.values())) < len(short):
        short = {name: "-".join(PurePosixPath(name).parts) for name in structures}
    staging = Path(f".{folder}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir()
        for name, text in structures.items():
            (staging / short[name]).write_bytes(text)
        staging.rename(folder)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file=folder) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def place_with_held_out(data: Path | None, public: str, below: str = "") -> None:
    """Place the structures of a study whose data the user brings, unless they are there.

    Parameters
    ----------
    data
        what --data names
    public
        where the data are public, for the complaint
    below
        only structures in folders of this name, if there are any

    Raises
    ------
    InputError
        if there are no data.
    """
    if Path(TRAINING).is_dir() and Path(VALIDATION).is_dir():
        return
    if data is None:
        raise InputError(
            "this study needs data", expected=f"--data PATH, a folder or archive of XSF files; public: {public}"
        )
    training, validation = held_out(only_below(structures_at(data), below) if below else structures_at(data))
    place(validation, VALIDATION)
    place(training, TRAINING)
