"""What is chosen for a training: by the data, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taylorfit import Adam, Bfgs, Setup, Structure, propose
from taylorfit.data.choose_training import BETA, DataSize, choose_training
from taylorfit.settings.train import TrainInput

LMNTO = DataSize(n_structures=562, n_atoms=31_472, n_forces=94_416, n_compositions=1)
CLUSTERS = DataSize(n_structures=424, n_atoms=7_632, n_forces=22_896, n_compositions=1)
NONE = DataSize(0, 0, 0, 0)


def test_more_forces_take_larger_networks() -> None:
    nodes = [
        choose_training(replace(LMNTO, n_forces=n), [48] * 5, "exact").hidden for n in (1_000, 30_000, 94_416, 10**7)
    ]
    assert nodes == [((n, "tanh"),) * 2 for n in (10, 20, 40, 40)]
    # The same number of weights for all species together
    assert choose_training(LMNTO, [48] * 20, "exact").hidden[0][0] == 20


@pytest.mark.parametrize("mode", ["exact", "directional"])
def test_many_forces_of_one_composition_take_mini_batches(mode: str) -> None:
    found = choose_training(LMNTO, [48] * 5, mode)
    assert found.method == Adam(mu=0.006, batchsize=2, samplesize=562, anneal=300) and found.epochs == 300
    assert found.beta == BETA[Adam]
    assert "94416 force components of one composition" in found.reasons[-2] and "300 epochs, about" in found.reasons[-2]
    for other in (replace(LMNTO, n_compositions=2), CLUSTERS):
        found = choose_training(other, [48] * 5, mode)
        assert isinstance(found.method, Bfgs) and found.method.whiten > 0.0 and found.beta == BETA[Bfgs]


def test_more_atoms_take_fewer_epochs() -> None:
    few, many, most = (
        choose_training(replace(CLUSTERS, n_atoms=n), [48, 48], "exact") for n in (1_000, 100_000, 10_000_000)
    )
    assert (few.epochs, many.epochs, most.epochs) == (1000, 526, 200)
    assert "about 2 s on one core" in few.reasons[-2] and "about 63 min" in most.reasons[-2]


def test_an_epoch_in_directional_mode_costs_less() -> None:
    data = replace(CLUSTERS, n_atoms=100_000)
    exact, directional = (choose_training(data, [48, 48], mode).epochs for mode in ("exact", "directional"))
    assert (exact, directional) == (526, 877)


@pytest.mark.parametrize("size", [NONE, LMNTO, replace(LMNTO, n_forces=0)])
def test_energies_alone_take_the_smallest_networks_and_the_plain_method(size: DataSize) -> None:
    found = choose_training(size, [48] * 5, "energy")
    assert found.hidden[0][0] == 10 and found.method == Bfgs() and found.beta not in BETA.values()
    assert (
        found.precision == "double"
        and "energies per weight" in found.reasons[0]
        and not any("beta" in reason for reason in found.reasons)
    )


@pytest.mark.parametrize("mode", ["taylor", "centred"])
def test_copies_take_the_plain_method(mode: str) -> None:
    found = choose_training(LMNTO, [48] * 5, mode)
    assert found.method == Bfgs() and found.precision == "single" and "precision single" in found.reasons[-1]


def test_few_frames_are_no_trouble() -> None:
    found = choose_training(DataSize(1, 2, 6, 1), [10], "exact")
    assert found.hidden[0][0] == 10 and found.epochs == 1000


def chain(n: int, forces: bool = True, weights: np.ndarray | None = None) -> Structure:
    """Atoms in a row."""
    positions = np.arange(n)[:, None] * np.array([[0.0, 0.0, 0.75]])
    force = np.zeros((n, 3)) if forces else None
    return Structure(("H",) * n, positions, energy=-1.0 * n, forces=force, force_weights=weights)


def test_the_proposal_counts_what_is_trained_on() -> None:
    setup = propose([chain(3), chain(4), chain(5, forces=False), chain(4, weights=np.array([0.0, 1.0, 0.0, 0.0]))])
    n_weights = (setup.descriptors[0].n_feature + 1) * 10 + 11 * 10 + 11
    (found,) = (reason for reason in setup.reasons if "force components per weight" in reason)
    assert f"{(9 + 12 + 3) / n_weights:.2g} force components per weight" in found


def test_a_setup_keeps_its_method_through_files(tmp_path: Path) -> None:
    adam = Adam(mu=0.01, batchsize=3, anneal=50)
    setup = propose([chain(3), chain(4)]).replace(method=adam, epochs=50, files=["a.xsf"])
    setup.save(tmp_path)
    for found in (TrainInput.read(tmp_path / "train.in"), Setup.load(tmp_path)):
        assert found.method == adam and found.precision == "single" == setup.precision
    assert setup.replace(epochs=7).method == replace(adam, anneal=7)
    assert setup.replace(epochs=7, method=adam).method == adam
    assert setup.replace(mode="centred").method == Bfgs() and setup.replace(mode="directional").method == adam
