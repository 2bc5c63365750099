"""Copying examples out: their files, unpacked, into a folder."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import tarfile
import tempfile
from importlib.resources import files
from pathlib import Path, PurePosixPath

from ..errors import InputError
from ..tools.atomic_write import OVERWRITE
from . import EXAMPLES, Example


def example_files(name: str) -> dict[str, bytes]:
    """Return path (relative, with `/`) and content of every file of the example `name`.

    Raises
    ------
    InputError
        if there is no such example.
    """
    example = _example(name)
    folder = files(f"{__package__}.{example.package}")
    content = {file: (folder / file).read_bytes() for file in example.input_files}
    for archive in example.archives:
        content |= unpack((folder / archive).read_bytes(), archive)
    return content


def copy_example(
    name: str, target: str | os.PathLike[str], *, overwrite: bool = False, keep: bool = False
) -> list[Path]:
    """Copy the example `name` into the folder `target` and return the files written, sorted.

    Parameters
    ----------
    name
        A key of `EXAMPLES`.
    target
        Folder; made if it is not there.
    overwrite
        Replace files of the example that are there already.  Other files are left alone.
    keep
        Leave files and folders of the example that are there already as they are, and copy the rest.

    Raises
    ------
    InputError
        if there is no such example, if `target` holds part of it and neither `overwrite` nor
        `keep` is set, or if `target` cannot be written.  Nothing is left half-done then.
    """
    content = example_files(name)
    target = Path(target)
    # Folders count as a whole: a strange structure in xsf/ would be taken into the training set.
    first_parts = sorted({PurePosixPath(path).parts[0] for path in content})
    if target.exists() and not target.is_dir():
        raise InputError("not a folder", file=target)
    present = {part for part in first_parts if os.path.lexists(target / part)}
    if keep and not overwrite:
        content = {path: text for path, text in content.items() if PurePosixPath(path).parts[0] not in present}
    elif not overwrite:
        for part in first_parts:
            if part in present:
                raise InputError("exists already", file=target / part, expected=f"another folder, or {OVERWRITE}")
    new_folders = [folder for folder in (target, *target.parents) if not folder.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
        _write_all(content, target)
    except BaseException as error:
        for folder in new_folders:
            try:
                folder.rmdir()
            except OSError:
                break
        if isinstance(error, OSError):
            raise InputError(f"cannot be written ({error.strerror})", file=target) from error
        raise
    return sorted(target / path for path in content)


def _example(name: str) -> Example:
    try:
        return EXAMPLES[name]
    except KeyError:
        raise InputError("no such example", value=name, expected=" or ".join(sorted(EXAMPLES))) from None


def unpack(archive: bytes, name: str) -> dict[str, bytes]:
    """Return path and content of the files in a .tar archive, compressed or not, which may hold plain files alone.

    Raises
    ------
    InputError
        if it is no such archive, or a member is something else or lies outside.
    """
    content: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                stream = tar.extractfile(member) if member.isreg() else None
                if path.is_absolute() or ".." in path.parts or (stream is None and not member.isdir()):
                    raise InputError(
                        "unsafe member of an archive", file=name, value=member.name, expected="a plain file"
                    )
                if stream is not None:
                    content[str(path)] = stream.read()
    except (tarfile.TarError, EOFError, lzma.LZMAError) as error:
        raise InputError(
            f"is no archive that can be unpacked ({error})", file=name, expected=".tar.xz or .tar.gz"
        ) from None
    return content


def _write_all(content: dict[str, bytes], target: Path) -> None:
    """Write everything beside its place first, then move it there: what fails, fails before."""
    staging = Path(tempfile.mkdtemp(prefix=".taylorfit-example-", dir=target))
    added: list[Path] = []
    try:
        for path, text in content.items():
            staged = staging / path
            staged.parent.mkdir(parents=True, exist_ok=True)
            staged.write_bytes(text)
        for path in content:
            final = target / path
            try:
                added += [folder for folder in reversed(final.parents) if folder != target and not folder.exists()]
                final.parent.mkdir(parents=True, exist_ok=True)
                if not final.exists():
                    added.append(final)
                os.replace(staging / path, final)
            except OSError as error:
                raise InputError(f"cannot be written ({error.strerror})", file=final) from error
    except BaseException:
        for place in reversed(added):
            if place.is_dir():
                place.rmdir()
            else:
                place.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
