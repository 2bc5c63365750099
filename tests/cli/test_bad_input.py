"""What a user can get wrong: exit code 2, one line that says where and what, and nothing half-written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from bad_inputs import CASES, CRYSTAL, GENERATE, PREDICT, TRAIN, Case, edit
from cli_support import GOLDEN, contents, run, run_process
from taylorfit.formats.aenet import trainset_writer

TRAIN_IN = """TRAININGSET cluster.train
TESTPERCENT 25
ITERATIONS 3

NETWORKS
Ti  Ti.nn  1 4:tanh
O   O.nn   1 4:tanh
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Ti-O clusters with all input files, a training set and potentials; generate.in writes new.train."""
    source = GOLDEN / "cluster" / "tio2_nets"
    folder = tmp_path / "project"
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    shutil.copyfile(GOLDEN / "mono" / CRYSTAL, folder / CRYSTAL)
    shutil.copyfile(GOLDEN / "mono" / "Si.fingerprint.stp", folder / "Si.fingerprint.stp")
    edit(folder / "generate.in", "OUTPUT  cluster.train", "OUTPUT  new.train")
    (folder / "crystal.in").write_text(
        f"OUTPUT new.train\nTYPES\n1\nSi -100\nSETUPS\nSi Si.fingerprint.stp\nFILES\n1\n{CRYSTAL}\n"
    )
    (folder / "train.in").write_text(TRAIN_IN)
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_gives_one_line_that_names_it_and_changes_no_file(case: Case, project: Path) -> None:
    case.damage(project)
    before = contents(project)
    complaint = run(project, *case.command).complaint
    for part in case.named:
        assert part in complaint, complaint
    assert contents(project) == before


IN_A_PROCESS = ("no energy", "truncated training set", "output exists", "unknown command", "unknown species")


@pytest.mark.parametrize("case", [case for case in CASES if case.name in IN_A_PROCESS], ids=lambda case: case.name)
def test_a_process_of_its_own_complains_alike(case: Case, project: Path) -> None:
    case.damage(project)
    before = contents(project)
    result = run_process(project, *case.command)
    assert result.complaint == run(project, *case.command).complaint
    assert contents(project) == before


def test_the_undamaged_project_runs(project: Path) -> None:
    for command in (GENERATE, ("generate", "crystal.in", "--force"), (*TRAIN, "--fresh"), PREDICT):
        result = run(project, *command)
        assert (result.code, result.err) == (0, ""), result.err


def test_force_replaces_existing_output(project: Path) -> None:
    (project / "new.train").write_bytes(b"precious")
    assert run(project, *GENERATE).code == 2
    assert (project / "new.train").read_bytes() == b"precious"
    assert run(project, *GENERATE, "--force").code == 0
    assert len((project / "new.train").read_bytes()) == len((project / "cluster.train").read_bytes())


def test_traceback_on_request_shows_where_an_error_arose(project: Path) -> None:
    result = run(project, "generate", "none.in", "--traceback")
    assert result.code == 2
    assert "Traceback" in result.err and result.err.splitlines()[-1].startswith("taylorfit: none.in")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write into read-only folders")
@pytest.mark.parametrize("command", (GENERATE, TRAIN), ids=lambda command: command[0])
def test_a_read_only_folder_is_named_before_the_work_starts(command: tuple[str, ...], project: Path) -> None:
    (project / "locked").mkdir(mode=0o555)
    edit(project / "generate.in", "new.train", "locked/new.train")
    edit(project / "train.in", "Ti.nn", "locked/Ti.nn")
    assert "locked" in run(project, *command).complaint


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_a_folder_that_takes_no_files_is_named(project: Path) -> None:
    edit(project / "generate.in", "new.train", "/proc/sys/new.train")
    assert "/proc/sys/new.train" in run(project, *GENERATE).complaint


def test_a_full_disk_while_writing_leaves_the_old_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = trainset_writer.TrainsetWriter._store
    calls = []

    def disk_full(self: object, *arguments: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(self, *arguments)

    (project / "new.train").write_bytes(b"precious")
    before = contents(project)
    monkeypatch.setattr(trainset_writer.TrainsetWriter, "_store", disk_full)
    complaint = run(project, *GENERATE, "--force").complaint
    assert "new.train" in complaint and "No space left" in complaint
    assert contents(project) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_the_report_is_named(project: Path) -> None:
    complaint = run(project, *PREDICT, "--report", "/dev/full").complaint
    assert "/dev/full" in complaint and "No space left" in complaint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_standard_output_is_one_line_too(project: Path) -> None:
    with open("/dev/full", "w") as full:
        complaint = run_process(project, *PREDICT, stdout=full).complaint
    assert "No space left" in complaint


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libscipy_openblas.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        OSError(12, "Cannot allocate memory"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_want_of_memory_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("taylorfit.commands.info.run", fail)
    assert "memory" in run(project, "info", "generate.in").complaint


def test_a_failing_epoch_leaves_the_old_potentials(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from taylorfit.training import losses

    def fail(*arguments: object, **options: object) -> None:
        raise MemoryError

    before = contents(project)
    monkeypatch.setattr(losses.Loss, "contribution", fail)
    assert "not enough memory" in run(project, *TRAIN, "--fresh").complaint
    assert contents(project) == before
