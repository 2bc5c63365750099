"""`train` and `train_committee` from Python: as through files, quiet, stopped, resumed; what goes wrong."""

from __future__ import annotations

import doctest
import json
import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli_support import generate_in, make_toy, morse_cluster, report, succeed, taylor, train_in
from taylorfit.data.setup import Setup
from taylorfit.engine import lbfgs, library, losses, potentials
from taylorfit.errors import DataWarning, InputError
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.structures.files import read_files
from taylorfit.model.structure import Structure
from taylorfit.model.trainset import TrainingSet
from taylorfit.potential.calculator import Calculator
from taylorfit.potential.potential import Potential
from taylorfit.settings.displacements import TaylorOptions
from taylorfit.settings.forces import Centred, Directional, Energy, Exact, ForceMode, Taylor
from taylorfit.settings.methods import Adam, Bfgs, Ekf, Lm, Method, OnlineSd
from taylorfit.training import run as running
from taylorfit.training import train as verbs
from taylorfit.training.fit import Fit
from taylorfit.training.loop import Epoch
from taylorfit.training.train import train, train_committee

HIDDEN = ((6, "tanh"), (6, "tanh"))
# With PATIENCE the best epoch is kept, however few the test structures are
OPTIONS = {"epochs": 8, "test_fraction": 0.25, "threads": 1, "patience": 1000}
KEYWORDS = {"iterations": 8, "testpercent": 25, "patience": 1000}
TIMES = ("seconds", "seconds_per_epoch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen Morse clusters, unseen ones, and toy.train with Taylor copies; written and generated."""
    made = tmp_path_factory.mktemp("toy")
    make_toy(made, 16, extra=taylor(delta=0.03, fraction=4))
    succeed(made, "generate", "generate.in")
    return made


@pytest.fixture(scope="module")
def structures(folder: Path) -> list[Structure]:
    """The clusters as they stand in the files, by the names that these have in the folder."""
    found = read_files([(str(path), None) for path in sorted((folder / "xsf").iterdir())])
    return [replace(s, name=str(Path(s.name).relative_to(folder))) for s in found]


@pytest.fixture(scope="module")
def setup(folder: Path) -> Setup:
    """What generate.in says."""
    return Setup((read_setup(folder / "Ar.stp"),), {"Ar": -10.0}, {"Ar": HIDDEN}, TaylorOptions(delta=0.03, fraction=4))


@pytest.fixture(scope="module")
def unseen() -> list[Structure]:
    """Five more clusters."""
    rng = np.random.default_rng(7)
    return [morse_cluster(rng, name=f"unseen {k}") for k in range(5)]


def weights(potential: Potential) -> bytes:
    """The weights of all species."""
    return b"".join(part.network.weights.tobytes() for part in potential.parts)


def same(one: Fit, other: Fit) -> bool:
    """Do two trainings agree to the last bit?"""
    parts = [(weights(fit.potential), weights(fit.last), timeless(fit)) for fit in (one, other)]
    return parts[0] == parts[1]


def timeless(fit: Fit) -> str:
    """The report without times."""
    return json.dumps({key: value for key, value in fit.to_dict().items() if key not in TIMES})


# --- the same as through files -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("forces", "line"),
    (
        (Energy(), "mode=energy"),
        (Taylor(), "mode=taylor"),
        (Centred(beta=1e-2), "mode=centred beta=1e-2"),
        (Directional(beta=1e-2, directions=5), "mode=directional beta=1e-2 directions=5"),
        (Exact(beta=1e-2, schedule=((4, 1e-3),), percent=80), "mode=exact beta=1e-2,1e-3@4 percent=80"),
    ),
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_structures_in_memory_are_trained_on_as_files_are_to_the_last_bit(
    forces: ForceMode, line: str, folder: Path, structures: list[Structure], setup: Setup, tmp_path: Path
) -> None:
    for name in ("toy.train", "toy.train.geometry"):
        (tmp_path / name).symlink_to(folder / name)
    # Copies stand in the training set with some modes only: its statistics are over all that it holds
    if forces.mode not in ("taylor", "centred"):
        (tmp_path / "Ar.stp").symlink_to(folder / "Ar.stp")
        (tmp_path / "xsf").symlink_to(folder / "xsf")
        (tmp_path / "plain.in").write_text(generate_in(("Ar",), [s.name for s in structures], "plain.train"))
        succeed(tmp_path, "generate", "plain.in")
    trainingset = "toy.train" if forces.mode in ("taylor", "centred") else "plain.train"
    (tmp_path / "train.in").write_text(train_in(**KEYWORDS, trainingset=trainingset, forces=line, seed=3))
    through_files = report(tmp_path, "train", "train.in")
    fit = train(structures, setup, forces=forces, seed=3, **OPTIONS)
    assert fit.mode == through_files["mode"] == forces.mode
    for potential, file in ((fit.potential, "Ar.nn"), (fit.last, "Ar.nn.last")):
        assert weights(potential) == weights(Potential.load(tmp_path / file))
    found = json.loads(timeless(fit))
    for key in set(found) - {"settings", "potentials", "memory_mb"}:
        assert found[key] == through_files[key], key
    again = train(tmp_path / trainingset, forces=forces, seed=3, networks=HIDDEN, **OPTIONS)
    assert weights(again.potential) == weights(fit.potential)


@pytest.mark.parametrize(
    "method", (Bfgs(m=5), Adam(mu=0.01, batchsize=4), Ekf(), Lm(batchsize=8), OnlineSd(gamma=0.03)), ids=repr
)
def test_every_method_lowers_the_error(method: Method, structures: list[Structure], setup: Setup) -> None:
    fit = train(structures, setup, method=method, **OPTIONS)
    assert fit.settings.method == method
    assert fit.history.train_rmse[-1] < 0.9 * fit.history.train_rmse[0]


@pytest.mark.parametrize(
    ("method", "forces"),
    [
        (Bfgs(), Energy()),
        (Bfgs(), Exact(beta=0.01)),
        (Adam(mu=0.01), Exact(beta=0.01)),
        (Ekf(), Energy()),
        (Adam(mu=0.01), Energy()),
        (OnlineSd(gamma=0.001), Energy()),
        (Lm(), Energy()),
    ],
)
def test_an_epoch_takes_at_most_three_calls_of_the_engine(
    method: Method, forces: ForceMode, structures: list[Structure], setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes Python's global lock at its end, which others may hold."""
    calls: list[str] = []
    for module in (losses, lbfgs, potentials):

        def counted(function: Callable[..., object], *arguments: object, names: Sequence[str] = ()) -> object:
            calls.append(function.__name__)
            return library.call(function, *arguments, names=names)

        monkeypatch.setattr(module, "call", counted)
    at_epoch: list[int] = []
    train(
        structures, setup, method=method, forces=forces, progress=lambda epoch: at_epoch.append(len(calls)), **OPTIONS
    )
    steps = np.diff(at_epoch)
    assert len(steps) == OPTIONS["epochs"] and 2 <= steps.max() <= 3, calls


def test_training_sets_files_and_ase_are_the_same_data(
    folder: Path, structures: list[Structure], setup: Setup, tmp_path: Path
) -> None:
    pytest.importorskip("ase")
    found = TrainingSet.load(folder / "toy.train")
    one, other = (train(data, networks=HIDDEN, forces=Exact(), **OPTIONS) for data in (found, folder / "toy.train"))
    assert weights(one.last) == weights(other.last)
    frames = [structure.to_ase() for structure in structures]
    assert same(train(structures, setup, forces=Exact(), **OPTIONS), train(frames, setup, forces=Exact(), **OPTIONS))


def test_the_examples_of_the_documentation_run() -> None:
    assert doctest.testmod(verbs).attempted > 5 and doctest.testmod(verbs).failed == 0


def test_without_a_setup_one_is_proposed_and_noted(structures: list[Structure]) -> None:
    fit = train(structures, forces=Exact(), **OPTIONS)
    assert any("propos" in note for note in fit.notes) and any("radial cutoff" in note for note in fit.notes)
    assert fit.potential.parts[0].network.layer_sizes[1:] == (15, 15, 1)


# --- the result --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fit(structures: list[Structure], setup: Setup, unseen: list[Structure]) -> Fit:
    """An exact training with validation structures."""
    return train(structures, setup, forces=Exact(beta=1e-2), validation=unseen, validationevery=4, **OPTIONS)


def test_history_is_arrays_of_all_epochs(fit: Fit) -> None:
    assert fit.history.epoch.tolist() == list(range(9)) and fit.status == "finished"
    assert fit.history.test_force_rmse.shape == (9,) and np.isfinite(fit.history.train_force_rmse).all()
    assert np.isnan(fit.history.copies_rmse).all()
    assert [epoch for epoch, _ in fit.history.validation] == [4, 8]
    value = fit.history.test_rmse**2 + 1e-2 * fit.history.test_force_rmse**2
    assert fit.best_epoch == np.argmin(value) and fit.best_value == value[fit.best_epoch]
    assert fit.best.test_rmse == fit.history.test_rmse[fit.best_epoch]


def test_errors_are_those_of_the_potential(fit: Fit, unseen: list[Structure]) -> None:
    found = fit.potential.evaluate(unseen, threads=1)
    error = np.concatenate([e.forces - s.forces for e, s in zip(found, unseen)])
    assert fit.errors.force_rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)
    assert fit.errors.n_structures == fit.counts.n_validation == 5


def test_a_result_is_pickled_with_all_it_holds(fit: Fit) -> None:
    assert same(pickle.loads(pickle.dumps(fit)), fit)


def test_without_test_structures_there_are_no_test_errors(structures: list[Structure], setup: Setup) -> None:
    fit = train(structures, setup, epochs=3, test_fraction=0, threads=1)
    assert np.isnan(fit.history.test_rmse).all() and np.isnan(fit.history.test_mae).all()
    assert fit.to_dict()["epochs"][0]["test_mae"] is None
    assert fit.best_epoch == np.argmin(fit.history.train_rmse)


def test_a_training_goes_on_from_a_potential(fit: Fit, structures: list[Structure], setup: Setup) -> None:
    again = train(structures, setup, forces=Exact(beta=1e-2), initial=fit.potential, **OPTIONS)
    assert again.history.test_rmse[0] == pytest.approx(fit.best.test_rmse, rel=1e-12)


def test_what_is_doubtful_warns_and_is_noted(fit: Fit, structures: list[Structure], setup: Setup) -> None:
    other = setup.replace(
        descriptors=[replace(setup.descriptors[0], parameters=1.01 * setup.descriptors[0].parameters)]
    )
    with pytest.warns(DataWarning, match="not that of the training set"):
        found = train(structures, other, initial=fit.potential, **OPTIONS)
    assert any("not that of the training set" in note for note in found.notes)
    with pytest.warns(DataWarning, match="far too large to learn anything"):
        train(structures, setup, method=OnlineSd(), **OPTIONS)


# --- quiet -------------------------------------------------------------------------------------


def test_nothing_is_printed_written_looked_for_or_caught(
    structures: list[Structure],
    setup: Setup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    expected = train(structures, setup, forces=Exact(), **OPTIONS)
    monkeypatch.chdir(tmp_path)
    names = ("STOP", "train.rngstate", "train.restart", "Ar.nn")
    for name in names:
        (tmp_path / name).write_text("not for Python")
    before = signal.getsignal(signal.SIGINT)
    handlers = []
    found = train(
        structures,
        setup,
        forces=Exact(),
        progress=lambda epoch: handlers.append(signal.getsignal(signal.SIGINT)),
        **OPTIONS,
    )
    assert same(found, expected)
    assert set(handlers) == {before} and len(handlers) == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert capfd.readouterr() == ("", "")


# --- stopped and resumed -----------------------------------------------------------------------


def test_progress_sees_every_epoch_and_stops(structures: list[Structure], setup: Setup) -> None:
    seen = []
    fit = train(structures, setup, progress=lambda epoch: seen.append(epoch) or epoch.epoch == 3, **OPTIONS)
    assert [epoch.epoch for epoch in seen] == fit.history.epoch.tolist() == [0, 1, 2, 3]
    assert [epoch.train_rmse for epoch in seen] == fit.history.train_rmse.tolist()
    assert fit.status == "stopped" and not fit.interrupted


def interrupting(at: int) -> object:
    """Send this process a Ctrl-C after an epoch; it arrives somewhere in the next one."""

    def progress(epoch: object) -> None:
        if epoch.epoch == at:
            os.kill(os.getpid(), signal.SIGINT)

    return progress


@pytest.mark.parametrize("method", (Bfgs(), Lm(batchsize=8)), ids=repr)
def test_an_interrupt_returns_what_there_is_and_it_can_be_resumed(
    method: Method, structures: list[Structure], setup: Setup, tmp_path: Path
) -> None:
    options = {**OPTIONS, "method": method, "checkpoint": tmp_path / "fit.npz"}
    stopped = train(structures, setup, progress=interrupting(4), **options)
    assert stopped.interrupted and stopped.history.epoch[-1] >= 4
    assert stopped.best_epoch == np.nanargmin(stopped.history.test_rmse)
    resumed = train(structures, setup, resume=True, **options)
    whole = train(structures, setup, method=method, **OPTIONS)
    assert same(resumed, whole) and [path.name for path in tmp_path.iterdir()] == ["fit.npz"]


def test_a_second_interrupt_is_one_and_so_is_the_first_before_any_epoch(
    structures: list[Structure], setup: Setup, unseen: list[Structure], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    options = {**OPTIONS, "validation": unseen, "validationevery": 0}
    with monkeypatch.context() as patch:
        patch.setattr(running, "validate", interrupted)
        first = train(structures, setup, **options)
        assert first.interrupted and first.errors is None and len(first.history) == 9
        with pytest.raises(KeyboardInterrupt):
            train(structures, setup, progress=interrupting(2), **options)
    with monkeypatch.context() as patch:
        patch.setattr(running.Training, "_means", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(structures, setup, **options)


# --- committees --------------------------------------------------------------------------------


def test_a_committee_is_trainings_from_other_weights(structures: list[Structure], setup: Setup, tmp_path: Path) -> None:
    options = {**OPTIONS, "forces": Exact(), "threads": 2}
    committee = train_committee(structures, setup, members=3, checkpoint=tmp_path, **options)
    assert list(committee.members) == [1, 2, 3] and not committee.failed and not committee.interrupted
    single = train(structures, setup, **{**options, "threads": 1})
    assert timeless(committee.members[1]) == timeless(single)
    found = {weights(fit.potential) for fit in committee.members.values()}
    assert len(found) == 3 and weights(single.potential) in found
    values = [fit.best.test_force_rmse for fit in committee.members.values()]
    assert committee.summary.median.test_force_rmse == np.median(values)
    assert committee.best is committee.members[committee.summary.best_member]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"0{k}.checkpoint.npz" for k in (1, 2, 3)]
    longer = {**options, "epochs": 12}
    resumed = train_committee(structures, setup, members=3, checkpoint=tmp_path, resume=True, **longer)
    assert timeless(resumed.members[2]) == timeless(train_committee(structures, setup, members=2, **longer).members[2])
    assert {fit.threads for fit in pickle.loads(pickle.dumps(resumed)).members.values()} <= {1, 2}


def test_a_committee_is_a_calculator_from_memory_and_from_files(
    structures: list[Structure], setup: Setup, tmp_path: Path
) -> None:
    committee = train_committee(structures, setup, members=2, **OPTIONS)
    files = committee.save(tmp_path)
    assert [file.parent.name for file in files] == [n for n in ("01", "02") for _ in setup.species]
    atoms, found = structures[0].to_ase(), []
    for members in (committee.potentials, tmp_path):
        atoms.calc = Calculator.committee(members, on_extrapolation="ignore", threads=1)
        found.append((atoms.get_potential_energy(), atoms.calc.results["energy_std"]))
    assert found[0] == found[1] and found[0][1] > 0.0


def test_members_are_watched_stopped_and_interrupted(structures: list[Structure], setup: Setup) -> None:
    seen: dict[int, list[int]] = {1: [], 2: []}

    def progress(number: int, epoch: Epoch) -> bool:
        seen[number].append(epoch.epoch)
        return number == 2 and epoch.epoch == 3

    options = {**OPTIONS, "members": 2, "threads": 2}
    committee = train_committee(structures, setup, progress=progress, **options)
    assert seen == {1: list(range(9)), 2: [0, 1, 2, 3]}
    assert [fit.status for fit in committee.members.values()] == ["finished", "stopped"]
    before = signal.getsignal(signal.SIGINT)
    endless = {**options, "epochs": 10**9, "method": Adam(mu=1e-4)}
    both = threading.Barrier(2, action=lambda: os.kill(os.getpid(), signal.SIGINT))
    stopped = train_committee(
        structures, setup, progress=lambda number, epoch: epoch.epoch == 5 and both.wait(60) < 0, **endless
    )
    assert stopped.interrupted and [fit.status for fit in stopped.members.values()] == ["interrupted"] * 2
    assert all(len(fit.history) >= 5 for fit in stopped.members.values())
    assert signal.getsignal(signal.SIGINT) is before


# --- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "complaint"),
    (
        ({"data": []}, "no structures to train on"),
        ({"data": 5}, "not a structure"),
        ({"data": "missing.train"}, "missing.train"),
        ({"resume": True}, "nothing to resume from"),
        ({"networks": {"Kr": HIDDEN}}, "network"),
        ({"networks": [(6, "tan")]}, "tan"),
        ({"test_fraction": 1.5}, "not a percentage"),
        ({"epochs": -1}, "ITERATIONS negative"),
        ({"forces": Exact(), "method": Lm()}, "does not work with METHOD lm"),
        ({"forces": Centred(), "method": Adam()}, "works with METHOD bfgs only"),
        ({"forces": Taylor(), "setup": "without displacements"}, "needs Taylor copies"),
    ),
    ids=lambda value: "" if isinstance(value, str) else str(value)[:40],
)
def test_what_cannot_be_done_is_one_clear_line(
    change: dict[str, object], complaint: str, structures: list[Structure], setup: Setup
) -> None:
    arguments: dict[str, object] = {"data": structures, "setup": setup, **OPTIONS, **change}
    if isinstance(arguments["setup"], str):
        arguments["setup"] = setup.replace(displacements=False)
    if isinstance(arguments["data"], str):
        arguments["setup"] = None
    with pytest.raises(InputError, match=complaint) as error:
        train(**arguments)
    assert "\n" not in str(error.value)


def test_a_training_set_has_a_setup_of_its_own_and_needs_its_geometry(folder: Path, setup: Setup) -> None:
    found = TrainingSet.load(folder / "toy.train")
    with pytest.raises(InputError, match="setup beside a training set"):
        train(found, setup, **OPTIONS)
    bare = replace(found, geometry=None, names=[f"elsewhere/{name}" for name in found.names])
    with pytest.raises(InputError, match="needs the cells"):
        train(bare, forces=Exact(), **OPTIONS)
    assert any("cells" in note for note in train(bare, **OPTIONS).notes)


def test_python_calls_hold_locks_like_commands(
    structures: list[Structure], setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from taylorfit.generation.generate import generate
    from taylorfit.tools.locks import alone

    monkeypatch.chdir(tmp_path)
    made = generate(structures, replace(setup, displacements=None))
    fit = train(made, networks=HIDDEN, **OPTIONS)
    calls: dict[str, Callable[[], object]] = {
        "fit": lambda: fit.potential.save("fit"),
        "toy.train": lambda: made.save("toy.train"),
        "c.npz": lambda: train(made, networks=HIDDEN, checkpoint="c.npz", **OPTIONS),
        "all": lambda: train_committee(made, members=2, networks=HIDDEN, checkpoint="all", **OPTIONS),
        "two": lambda: train_committee(made, members=2, networks=HIDDEN, **OPTIONS).save("two"),
    }
    for name, call in calls.items():
        with alone(name), pytest.raises(InputError, match=f"{name}: another run is writing"):
            call()
        call()
    assert sorted(os.listdir()) == sorted([*calls, "toy.train.geometry"]) and sorted(os.listdir("two")) == [
        "01",
        "02",
        "data.limits",
    ]
