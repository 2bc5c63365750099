"""Where the data of a training are kept: what memory there is, arrays in files, the choice between them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taylorfit import Exact, RandomDisplacements, Store, Structure, generate, propose, train
from taylorfit.errors import InputError
from taylorfit.tools import disk_arrays
from taylorfit.tools.disk_arrays import DiskArrays, disk_folder
from taylorfit.tools.memory import Available, available_memory, resident_memory
from taylorfit.training import memory
from taylorfit.training.memory import MemoryNeeds, storage_for

NEEDS = MemoryNeeds(program=50_000_000, packed=3_000_000, forces=2_000_000, lists=100_000, work=400_000, temporary=0)


# --- how much there is -------------------------------------------------------------------------


def fake_proc(tmp_path: Path, cgroup: str, mounts: str) -> Path:
    """A /proc of a machine with 8 GB left."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\nSwapFree: 0 kB\n")
    (proc / "self/cgroup").write_text(cgroup)
    (proc / "self/mountinfo").write_text(mounts)
    return proc


def cgroup_files(folder: Path, **content: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    found = available_memory(fake_proc(tmp_path, "", ""))
    assert found is not None
    assert (found.n_bytes, found.limit) == (8_192_000_000, "that is what the machine has left")


@pytest.mark.parametrize("inner", (True, False))
def test_limit_of_a_cgroup_of_version_2(tmp_path: Path, inner: bool) -> None:
    top = tmp_path / "cgroup"
    proc = fake_proc(tmp_path, "0::/job/step\n", f"30 23 0:26 / {top} rw shared:4 - cgroup2 cgroup2 rw\n")
    limited = {"memory__max": "3000000\n", "memory__current": "2500000\n"}
    stat = "anon 1000000\ninactive_file 700000\nactive_file 300000\n"
    cgroup_files(top / "job/step" if inner else top / "job", **limited, memory__stat=stat)
    cgroup_files(
        top / "job" if inner else top / "job/step", memory__max="max\n", memory__current="9\n", memory__stat=stat
    )
    found = available_memory(proc)
    assert found is not None
    # Cached files can be thrown away
    assert found.n_bytes == 3_000_000 - (2_500_000 - 1_000_000)
    assert found.limit.endswith(f"{'job/step' if inner else 'job'}/memory.max leaves")


def test_limit_of_a_cgroup_of_version_1(tmp_path: Path) -> None:
    top = tmp_path / "memory"
    proc = fake_proc(
        tmp_path,
        "5:cpu,cpuacct:/docker/12ab\n4:memory:/docker/12ab\n0::/docker/12ab\n",
        # As in a container: its own cgroup is mounted at the top
        f"29 23 0:24 /docker/12ab {tmp_path}/cpu ro - cgroup cgroup rw,cpu,cpuacct\n"
        f"30 23 0:26 /docker/12ab {top} ro - cgroup cgroup rw,memory\n",
    )
    stat = "cache 5\ntotal_inactive_file 250000\ntotal_active_file 50000\n"
    cgroup_files(top, memory__limit_in_bytes="1000000", memory__usage_in_bytes="900000", memory__stat=stat)
    found = available_memory(proc)
    assert found is not None
    assert found.n_bytes == 400_000
    cgroup_files(top, memory__limit_in_bytes="9223372036854771712")
    without = available_memory(proc)
    assert without is not None and without.n_bytes == 8_192_000_000


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to know its memory")
def test_limit_on_addresses() -> None:
    script = (
        "import resource; from taylorfit.tools.memory import available_memory, _statm\n"
        "resource.setrlimit(resource.RLIMIT_AS, (_statm(0) + 50_000_000, resource.RLIM_INFINITY))\n"
        "found = available_memory(); print(found.n_bytes, found.is_address_space)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert 40_000_000 < int(said[0]) <= 50_000_000
    assert said[1] == "True"
    assert resident_memory() > 10_000_000


# --- arrays in a file --------------------------------------------------------------------------


def test_arrays_in_a_file_without_a_name(tmp_path: Path) -> None:
    arrays = DiskArrays(tmp_path, 3 * 4096)
    first, second = arrays.zeros(100, np.float64), arrays.zeros(700, np.float32)
    assert not first.any() and not second.any()
    first[...] = 1.0
    second[...] = 2.0
    assert first.sum() == 100.0 and second.sum() == 1400.0
    assert all(array.__array_interface__["data"][0] % 64 == 0 for array in (first, second))
    assert not list(tmp_path.iterdir())
    assert arrays.zeros(0, np.int32).shape == (0,)


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with pytest.raises(InputError, match=r"cannot hold the data of the training: .*, expected \d+ MB of free disk"):
        DiskArrays(tmp_path, 2 * free + (1 << 40))
    with pytest.raises(InputError, match=r"no disk for the data of the training: .* has \d+ MB"):
        disk_folder(1 << 60)
    with pytest.raises(InputError, match="missing: cannot hold the data of the training: No such file or directory"):
        DiskArrays(tmp_path / "missing", 10)


def test_only_local_disks_are_taken_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, local = tmp_path / "home", tmp_path / "scratch"
    for folder in (shared, local):
        folder.mkdir()
    proc = fake_proc(
        tmp_path,
        "",
        f"1 0 8:1 / / rw - tmpfs tmpfs rw\n2 1 0:50 / {shared} rw shared:1 - nfs4 server:/home rw\n"
        f"3 1 8:2 / {local} rw - ext4 /dev/sda2 rw\n",
    )
    monkeypatch.setattr(disk_arrays.tempfile, "gettempdir", lambda: str(shared))
    monkeypatch.chdir(local)
    assert disk_folder(1000, proc) == str(local)
    monkeypatch.chdir(shared)
    with pytest.raises(InputError, match=r"home is no local disk \(nfs4\); /var/tmp is no local disk \(tmpfs\)"):
        disk_folder(1000, proc)


CGROUP = Path("/sys/fs/cgroup/memory")
FILL_AND_READ = """
import sys
import numpy as np
from taylorfit.tools.disk_arrays import DiskArrays
n = 20_000_000
array = DiskArrays(sys.argv[1], 8 * n).zeros(n, np.float64)
for start in range(0, n, 1_000_000):
    array[start : start + 1_000_000] = np.arange(start, start + 1_000_000)
print(sum(float(array[start : start + 1_000_000].sum()) for turn in range(2) for start in range(0, n, 1_000_000)))
"""


@pytest.mark.skipif(
    not (CGROUP / "memory.limit_in_bytes").exists() or not os.access(CGROUP, os.W_OK) or os.geteuid() != 0,
    reason="needs root and cgroups of version 1 to limit the memory",
)
def test_arrays_of_twice_the_memory_of_the_cgroup(tmp_path: Path) -> None:
    group = CGROUP / f"taylorfit-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("cgroups cannot be made here")
    try:
        (group / "memory.limit_in_bytes").write_text("80000000")
        run = subprocess.run(
            [sys.executable, "-c", FILL_AND_READ, str(tmp_path)],
            capture_output=True,
            text=True,
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert float(run.stdout) == 20_000_000.0 * 19_999_999.0
        assert int((group / "memory.max_usage_in_bytes").read_text()) <= 80_003_072
    finally:
        group.rmdir()


# --- the choice --------------------------------------------------------------------------------


def limited(monkeypatch: pytest.MonkeyPatch, n_bytes: int, is_address_space: bool = False) -> None:
    found = Available(n_bytes, "that is what the test leaves", is_address_space)
    monkeypatch.setattr(memory, "available_memory", lambda: found)


def test_what_fits_is_in_memory_and_what_does_not_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    auto = Store("auto", folder=str(tmp_path))
    limited(monkeypatch, 7_000_000)
    assert storage_for(auto, NEEDS).folder is None
    assert storage_for(Store("disk", folder=str(tmp_path)), NEEDS).note is None
    shared = storage_for(auto, NEEDS, share=2)
    assert shared.folder == str(tmp_path)
    limited(monkeypatch, 5_000_000)
    found = storage_for(auto, NEEDS)
    assert found.folder == str(tmp_path)
    assert found.needs.peak == 50_500_000 and NEEDS.peak == 55_500_000
    assert found.note == (
        f"note: packed data and force maps, 5 MB, are kept in a file in {tmp_path} (STORE auto): the training needs "
        "6 MB more of memory, and 5 MB are left (that is what the test leaves)"
    )
    assert found.zeros(100_000, np.float64).base is not None


def test_too_little_memory_is_refused_with_the_figure_and_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 5_000_000)
    with pytest.raises(InputError) as error:
        storage_for(Store("memory"), NEEDS, file="train.in")
    assert str(error.value) == (
        "train.in: not enough memory: the training needs 6 MB more, and 5 MB are left (that is what the test leaves), "
        "expected STORE auto or disk, which keeps 5 MB in a file"
    )
    limited(monkeypatch, 400_000)
    with pytest.raises(
        InputError, match=r"needs 0 MB more with its data in a file, and 0 MB are left .* fewer structures"
    ):
        storage_for(Store("auto"), NEEDS)
    # A file that is mapped takes addresses, too
    limited(monkeypatch, 5_000_000, is_address_space=True)
    with pytest.raises(InputError, match="fewer structures"):
        storage_for(Store("auto"), NEEDS)


def dimers(n: int = 12) -> list[Structure]:
    found = []
    for r in np.linspace(0.65, 0.85, n):
        forces = 8.0 * (r - 0.74) * np.array([[0, 0, 1], [0, 0, -1]])
        energy = 4.0 * (r - 0.74) ** 2 - 6.7
        found.append(Structure(("H", "H"), [[0, 0, 0], [0, 0, r]], energy=energy, forces=forces))
    return found


def test_results_do_not_depend_on_the_store(tmp_path: Path) -> None:
    common = {"forces": Exact(beta=1e-2), "networks": [(5, "tanh")], "epochs": 5}
    in_memory = train(dimers(), **common)
    on_disk = train(dimers(), **common, store=Store("disk", folder=str(tmp_path)))
    np.testing.assert_array_equal(on_disk.history.train_rmse, in_memory.history.train_rmse)
    for one, other in zip(in_memory.last.parts, on_disk.last.parts):
        np.testing.assert_array_equal(one.network.weights, other.network.weights)
    assert replace(in_memory.settings, store=on_disk.settings.store) == on_disk.settings
    assert repr(in_memory.settings) == repr(on_disk.settings)


def test_training_is_refused_or_goes_on_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("STORE" in note for note in train(dimers(), networks=[(5, "tanh")], epochs=1).notes)
    needs = memory.needs_of

    def larger(*arguments: Any) -> MemoryNeeds:
        return replace(needs(*arguments), packed=1 << 24)

    monkeypatch.setattr("taylorfit.training.prepare.needs_of", larger)
    limited(monkeypatch, 1 << 23)
    assert any("(STORE auto)" in note for note in train(dimers(), networks=[(5, "tanh")], epochs=1).notes)
    with pytest.raises(InputError, match="not enough memory"):
        train(dimers(), networks=[(5, "tanh")], epochs=1, store="memory")
    with pytest.raises(InputError, match="place"):
        train(dimers(), epochs=1, store="tape")


# --- what is told against what is taken --------------------------------------------------------

PEAK = """
import sys
from pathlib import Path
import numpy as np
from taylorfit import Adam, Bfgs, Directional, Ekf, Energy, Exact, Lm, Taylor, train
from taylorfit.training import prepare

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

told = []
storage_for = prepare.storage_for
def noted(store, needs, **others):
    told.append(needs)
    return storage_for(store, needs, **others)
prepare.storage_for = noted
forces, method = eval(sys.argv[2]), eval(sys.argv[3])
width = int(sys.argv[4])
# So many steps that the method remembers all it can
epochs = 22 if width > 100 else 2
train(sys.argv[1], forces=forces, epochs=epochs, networks=[(width, "tanh")] * 2, method=method, precision=sys.argv[5])
print(told[0].peak, told[0].program, peak())
"""


@pytest.fixture(scope="module")
def crystals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training set whose force map is larger than the program, and copies in it."""
    folder = tmp_path_factory.mktemp("crystals")
    rng = np.random.default_rng(2)
    grid = 2.5 * np.stack(np.meshgrid(*3 * [np.arange(4)], indexing="ij"), axis=-1).reshape(-1, 3)
    structures = []
    for k in range(60):
        positions = grid + rng.normal(scale=0.05, size=grid.shape)
        forces = rng.normal(size=grid.shape)
        structures.append(
            Structure(
                ("Ar",) * 64,
                positions,
                cell=10.0 * np.eye(3),
                pbc=(True,) * 3,
                energy=float(rng.normal()),
                forces=forces - forces.mean(axis=0),
                name=f"{k:03d}.xsf",
            )
        )
    setup = propose(structures).replace(displacements=RandomDisplacements(delta=0.01, n_copies=40))
    for name, displacements in (("bare", None), ("copies", setup.displacements)):
        generate(structures, setup, displacements=displacements).save(folder / f"{name}.train")
    return folder


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to know its memory")
@pytest.mark.parametrize(
    ("mode", "method", "width", "precision"),
    (
        ("Exact(beta=1e-2)", "Bfgs()", 10, "double"),
        ("Directional(beta=1e-2)", "Bfgs()", 10, "double"),
        ("Taylor()", "Bfgs()", 10, "double"),
        ("Taylor()", "Bfgs()", 10, "single"),
        ("Energy()", "Lm()", 250, "double"),
        ("Energy()", "Bfgs()", 250, "double"),
        ("Energy()", "Bfgs()", 250, "single"),
        ("Energy()", "Ekf(wgroup=500)", 60, "double"),
        ("Energy()", "Adam()", 250, "double"),
    ),
)
def test_told_memory_is_that_of_the_peak(crystals: Path, mode: str, method: str, width: int, precision: str) -> None:
    file = crystals / ("copies.train" if mode == "Taylor()" else "bare.train")
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(file), mode, method, str(width), precision],
        capture_output=True,
        text=True,
        check=True,
    )
    told, program, peak = map(int, run.stdout.split())
    assert told - program > 10e6
    assert 0.8 * peak < told < 1.2 * peak, (told, program, peak)
    # Without the program
    assert 0.7 * (peak - program) < told - program < 1.4 * (peak - program), (told, program, peak)
