"""Output files that are either complete or not there at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taylorfit.errors import InputError
from taylorfit.tools.atomic_write import Together, atomic_write, check_writable, remove_left


def test_existing_output_is_refused_before_the_work_starts(tmp_path):
    path = tmp_path / "old"
    check_writable(path, overwrite=False)
    path.write_text("old")
    check_writable(path)
    with pytest.raises(InputError, match="output exists, expected another name, or overwrite=True"):
        check_writable(path, overwrite=False)


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt, SystemExit])
def test_interrupted_writing_leaves_the_old_file_and_nothing_else(tmp_path, exception):
    path = tmp_path / "old"
    path.write_text("old")
    with pytest.raises(exception), atomic_write(path) as file:  # noqa: PT012 - the write must have begun
        file.write("new")
        raise exception
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places_are_input_errors(tmp_path):
    for path in (tmp_path / "none" / "file", tmp_path, tmp_path / "a\0b", tmp_path / ("n" * 300)):
        with pytest.raises(InputError), atomic_write(path) as file:
            file.write("x")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_an_input_error():
    with pytest.raises(InputError, match="/dev/full: cannot be written: No space left"):
        with atomic_write("/dev/full") as file:
            file.write("x" * 100_000)


def test_errors_of_other_files_are_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out"):
        (tmp_path / "other").read_text()
    assert not list(tmp_path.iterdir())


def test_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(InputError, match="output exists"), atomic_write(path, "wb", overwrite=False) as file:  # noqa: PT012
        file.write(b"late")
        path.write_text("early")
    assert path.read_text() == "early"
    assert list(tmp_path.iterdir()) == [path]


def test_links_are_followed_and_permissions_kept(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert os.stat(target).st_mode & 0o777 == 0o640


def test_files_get_their_names_together_or_not_at_all(tmp_path: Path) -> None:
    first, second, stale = (tmp_path / name for name in ("first", "second", "stale"))
    for path in (first, stale):
        path.write_text("old")

    def write(fails: bool) -> None:
        with Together() as together:
            for path in (first, second):
                with atomic_write(path, together=together) as stream:
                    stream.write("new")
            together.remove(stale)
            remove_left(tmp_path)  # as another run in this folder does
            assert first.read_text() == "old" and not second.exists() and stale.exists()
            if fails:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(fails=True)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"first": "old", "stale": "old"}
    write(fails=False)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"first": "new", "second": "new"}
