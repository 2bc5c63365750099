"""`mpirun taylorfit`: the same bits for any number of ranks and threads, faults of launchers, ends and resumptions."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cli_support import make_toy, run_process, succeed, taylor, train_in
from taylorfit import Predictions
from taylorfit.errors import InputError
from taylorfit.tools.ranks import ALONE, launched_ranks

MPIRUN = shutil.which("mpirun", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
pytestmark = pytest.mark.skipif(
    find_spec("mpi4py") is None or MPIRUN is None, reason='MPI is not installed: pip install "taylorfit[mpi]"'
)
SPLIT = {"testpercent": 25, "iterations": 4, "verbosity": "high"}
COPIES = SPLIT | {"taylorset": "copies.train"}
RUNS = {
    "exact": SPLIT | {"forces": "mode=exact beta=0.01 percent=80", "save_energies": True, "validation": "xsf/0*.xsf"},
    "directional": SPLIT | {"forces": "mode=directional beta=0.01 directions=3"},
    "taylor": COPIES | {"forces": "mode=taylor"},
    "centred": COPIES | {"forces": "mode=centred beta=0.01"},
    "energy": SPLIT,
    "adam": COPIES | {"forces": "mode=taylor"},
    "weighted": COPIES | {"forces": "mode=taylor", "sampling": "weighted"},
    "adam exact": SPLIT | {"forces": "mode=exact beta=0.01"},
    "whitened": SPLIT | {"forces": "mode=exact beta=0.01"},
}
METHODS = {
    "adam": "adam batchsize=50 decay=0.2",
    "weighted": "adam batchsize=30",
    "adam exact": "adam batchsize=20 anneal=4 decay=0.1",
    "whitened": "bfgs whiten=0.1",
}


def start_ranks(folder: Path, n: int, *argv: str) -> subprocess.Popen[str]:
    """Start a command on n ranks."""
    assert MPIRUN is not None
    return subprocess.Popen(
        [MPIRUN, "-np", str(n), sys.executable, "-m", "taylorfit", *argv],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_ranks(folder: Path, n: int, *argv: str) -> tuple[int, str, str]:
    """Run it; return exit code, standard output and error."""
    process = start_ranks(folder, n, *argv)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        _kill(process)
    return process.returncode, out, err


def _kill(process: subprocess.Popen[str]) -> None:
    """Leave nothing behind, whatever went wrong."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training sets with enough atoms for several blocks of each pack."""
    folder = tmp_path_factory.mktemp("mpi")
    make_toy(folder, 90, 12, extra=taylor(delta=0.03, fraction=3, outfile="copies.train"))
    succeed(folder, "generate", "generate.in")
    return folder


def prepared(data: Path, folder: Path, name: str) -> Path:
    """A folder with the data and train.in."""
    folder.mkdir(exist_ok=True)
    for file in ("toy.train", "toy.train.geometry", "copies.train", "copies.train.parents", "xsf"):
        (folder / file).symlink_to(data / file)
    (folder / "train.in").write_text(train_in(**RUNS[name]).replace("bfgs", METHODS.get(name, "bfgs")))
    return folder


def results(folder: Path) -> dict[str, str]:
    """Checksums of all potentials and energies."""
    files = [*folder.glob("*.nn*"), *folder.glob("energies.*")]
    assert files
    return {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("exact", [(2, 2), (3, 1), (4, 1)]),
        ("directional", [(2, 1)]),
        ("taylor", [(2, 2)]),
        ("centred", [(3, 1)]),
        ("energy", [(2, 1)]),
        ("adam", [(2, 2), (4, 1)]),
        ("weighted", [(3, 1)]),
        ("adam exact", [(2, 1), (3, 2)]),
        ("whitened", [(3, 1)]),
    ],
)
def test_any_number_of_ranks_and_threads_gives_the_same_bits(
    data: Path, tmp_path: Path, name: str, runs: list[tuple[int, int]]
) -> None:
    alone = prepared(data, tmp_path / "alone", name)
    succeed(alone, "train", "train.in")
    for n, threads in runs:
        folder = prepared(data, tmp_path / f"{n}-{threads}", name)
        code, out, err = run_ranks(folder, n, "train", "train.in", "--threads", str(threads))
        assert (code, err) == (0, "")
        assert f"{n} ranks, each {threads} thread" in out and out.count("best epoch ") == 1
        assert results(folder) == results(alone)


@pytest.mark.parametrize("ends", ["SIGTERM", "STOP", "killed"])
def test_an_end_leaves_a_checkpoint_that_another_number_of_ranks_goes_on_from(
    data: Path, tmp_path: Path, ends: str
) -> None:
    whole, broken = (prepared(data, tmp_path / name, "exact") for name in ("whole", "broken"))
    text = (broken / "train.in").read_text()
    # So many epochs that it is certainly ended before its end
    (broken / "train.in").write_text(text.replace("ITERATIONS 4", "ITERATIONS 100000\nCHECKPOINT 1"))
    if ends == "STOP":
        (broken / "STOP").touch()
    process = start_ranks(broken, 2, "train", "train.in")
    try:
        if ends != "STOP":
            _wait_for(broken / "train.checkpoint.npz")
            _end(process, ends, broken)
        out, _ = process.communicate(timeout=60)
    finally:
        _kill(process)
    assert (process.returncode == 0) == (ends == "STOP")
    assert ("interrupted after epoch" in out) == (ends == "SIGTERM")
    assert not (broken / "STOP").exists()
    with np.load(broken / "train.checkpoint.npz") as checkpoint:
        last = int(checkpoint["counters"][0]) + 1
    for folder in (whole, broken):
        (folder / "train.in").write_text(text.replace("ITERATIONS 4", f"ITERATIONS {last}"))
    succeed(whole, "train", "train.in")
    code, out, err = run_ranks(broken, 3, "train", "train.in", "--resume")
    assert (code, err) == (0, "") and "resumed from" in out
    assert results(broken) == results(whole)


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} has not come")


def _end(process: subprocess.Popen[str], how: str, folder: Path) -> None:
    """Send SIGTERM to the launcher, or kill one rank."""
    if how == "SIGTERM":
        process.send_signal(signal.SIGTERM)
        return
    (worker,) = (pid for pid in _processes_in(folder) if b"PMI_RANK=1" in Path(f"/proc/{pid}/environ").read_bytes())
    os.kill(worker, signal.SIGKILL)


def _processes_in(folder: Path) -> Iterator[int]:
    """Processes whose working directory this is."""
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.readlink() == folder:
                yield int(path.parent.name)


def test_an_error_ends_all_ranks_and_is_said_once(data: Path, tmp_path: Path) -> None:
    folder = prepared(data, tmp_path / "wrong", "energy")
    (folder / "train.in").write_text("TRAININGSET toy.train\nTESTPERCENT many\n")
    code, _, err = run_ranks(folder, 2, "train", "train.in")
    assert code == 2 and err.count("taylorfit: train.in, line 2") == 1
    code, _, err = run_ranks(folder, 2, "info", "toy.train")
    assert code == 2 and "info has no work for several ranks" in err


@pytest.mark.parametrize("method", ["ekf", "lm", "online_sd"])
def test_methods_without_work_to_share_are_refused(data: Path, tmp_path: Path, method: str) -> None:
    folder = prepared(data, tmp_path / method, "energy")
    (folder / "train.in").write_text((folder / "train.in").read_text().replace("bfgs", method))
    code, _, err = run_ranks(folder, 2, "train", "train.in")
    (line,) = (line for line in err.splitlines() if not line.startswith("Abort("))  # MPI's own
    assert code == 2 and f"METHOD {method} goes from structure to structure" in line
    assert line.endswith("expected METHOD bfgs or adam, or COMMITTEE")


def test_copies_of_one_rank_are_refused(data: Path) -> None:
    """As of a launcher of another MPI: each process believes that it is alone."""
    for number, complaints in (("0", 1), ("1", 0)):
        environment = os.environ | {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": number}
        result = run_process(data, "info", "toy.train", env=environment)
        assert result.code == 2 and result.err.count("the launcher has started 2 processes") == complaints


def test_without_a_launcher_mpi_is_not_imported() -> None:
    program = (
        "import sys; from taylorfit.tools.ranks import launched_ranks; "
        "print(launched_ranks({}).size, launched_ranks({'PMI_SIZE': '1'}).size, 'mpi4py' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "False"]


def test_a_launcher_without_mpi4py_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(InputError, match="started as 4 ranks, but mpi4py cannot be used"):
        launched_ranks({"PMI_SIZE": "4"})
    assert launched_ranks({}) is ALONE


def test_generate_shares_files_and_batches_and_names_the_first_bad_file(tmp_path: Path) -> None:
    # 91 atoms with 63 copies each: several batches for each rank
    make_toy(tmp_path, 9, 91, extra=taylor(delta=0.03, fraction=63, outfile="copies.train"))
    made = {}
    for n, threads in ((1, 1), (2, 2), (3, 1)):
        argv = ("generate", "generate.in", "--force", "--threads", str(threads))
        code, out, err = run_ranks(tmp_path, n, *argv)
        assert (code, err) == (0, "") and "copies.train: 567 Taylor copies" in out
        made[n] = [(tmp_path / name).read_bytes() for name in ("toy.train", "copies.train")]
    assert made[1] == made[2] == made[3]
    for name in ("xsf/03.xsf", "xsf/07.xsf"):
        (tmp_path / name).write_text("nothing\n")
    complaints = [run_ranks(tmp_path, n, "generate", "generate.in", "--force") for n in (1, 2)]
    assert all(code == 2 for code, _, _ in complaints)
    assert complaints[0][2] == complaints[1][2].splitlines(keepends=True)[0] and "03.xsf" in complaints[0][2]


def test_commands_share_structures_members_and_trainings_out(data: Path, tmp_path: Path) -> None:
    folders = {n: prepared(data, tmp_path / str(n), "exact") for n in (1, 2)}
    scan = "GENERATE generate.in\nTRAIN train.in\n\nSCAN\nseeds 1 2 3\n"
    for n, folder in folders.items():
        (folder / "Ar.stp").symlink_to(data / "Ar.stp")
        text = (data / "generate.in").read_text().replace("toy.train", "own.train")
        (folder / "generate.in").write_text(text.replace("copies.train", "own.copies"))
        (folder / "committee.in").write_text(train_in(**SPLIT, committee=3))
        (folder / "scan.in").write_text(scan)
        for argv in (
            ("generate", "generate.in"),
            ("train", "committee.in"),
            ("scan", "scan.in"),
            ("predict", "--potential", "Ar.nn", *(f"xsf/0{k}.xsf" for k in range(7)), "--save-predictions", "all.npz"),
        ):
            code, _, err = run_ranks(folder, n, *argv)
            assert (code, err) == (0, ""), argv
    one, two = (
        {
            file.relative_to(folder): file.read_bytes()
            for pattern in ("own.*", "Ar.nn*", "committee/*/Ar.nn*", "scan/points/*/Ar.nn*")
            for file in sorted(folder.glob(pattern))
        }
        for folder in folders.values()
    )
    assert len(one) > 15 and one == two
    predictions = [Predictions.load(folder / "all.npz") for folder in folders.values()]
    assert np.array_equal(predictions[0].forces, predictions[1].forces)
    assert all((folder / "scan.csv").read_text().count("\n") == 4 for folder in folders.values())
