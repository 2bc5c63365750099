"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taylorfit.errors import InputError
from taylorfit.tools.whole_folder import begin_folder, finish_folder, partial_folder, remove_partial


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["new", "old", "link", "deep/new"])
def test_a_folder_is_replaced_as_a_whole_and_keeps_what_else_is_in_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/kept").write_text("kept")
    (tmp_path / "link").symlink_to("old")
    before = names(tmp_path)
    folder = tmp_path / name
    partial = begin_folder(folder)
    (partial / "01").mkdir()
    (partial / "01/Ar.nn").write_text("new")
    assert partial == partial_folder(folder) != folder
    assert [found for found in names(tmp_path) if ".partial" not in found] == before
    finish_folder(folder)
    assert names(folder) == (["01/Ar.nn"] if "new" in name else ["01/Ar.nn", "kept"]) and not partial.exists()
    assert (tmp_path / "link").is_symlink() and not list(tmp_path.glob(".*"))


def test_what_a_killed_run_has_left_is_gone_on_with_or_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "committee"
    for _ in range(2):
        (begin_folder(folder) / "half").touch()
    assert not (begin_folder(folder) / "half").exists()
    (begin_folder(folder) / "half").touch()
    assert (begin_folder(folder, go_on=True) / "half").exists()
    remove_partial(folder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("go_on", [False, True])
def test_a_kill_between_the_two_renamings_loses_nothing(tmp_path: Path, go_on: bool) -> None:
    folder = tmp_path / "committee"
    folder.mkdir()
    (folder / "old").touch()
    (begin_folder(folder) / "new").touch()
    folder.rename(tmp_path / ".committee.replaced")
    partial = begin_folder(folder, go_on=go_on)
    assert names(folder) == ["old"] and names(partial) == (["new", "old"] if go_on else ["old"])
    finish_folder(folder)
    assert names(tmp_path) == (["committee/new", "committee/old"] if go_on else ["committee/old"])


def test_the_folder_we_are_in_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    for folder in (".", "..", str(tmp_path)):
        assert begin_folder(folder) == Path(folder)
        finish_folder(folder)
        remove_partial(folder)
    assert Path.cwd() == tmp_path / "below" and os.listdir(tmp_path) == ["below"]


def test_a_file_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: cannot be used as folder: Not a directory"):
        begin_folder(tmp_path / "file")
