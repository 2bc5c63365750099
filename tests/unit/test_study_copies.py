"""Trainings beside other programs and with other copies: what they are made of, on few structures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import future_work
import torch_energies
from side_studies import HIDDEN
from taylorfit import Setup, Structure, Taylor, TaylorOptions, displace, generate, train
from taylorfit.examples.copying import example_files
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.structures.files import read_structures


@pytest.fixture
def water(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Structure], Setup]:
    """Some clusters of the example, in the working directory."""
    monkeypatch.chdir(tmp_path)
    content = example_files("water-cluster")
    names = [*sorted(name for name in content if name.startswith("xsf/"))[::80], "O.behler.fingerprint.stp"]
    for name in [*names, "H.behler.fingerprint.stp"]:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content[name])
    energies = {"O": -118.4, "H": -10.9}
    setups = tuple(read_setup(f"{symbol}.behler.fingerprint.stp") for symbol in energies)
    frames = [one for path in sorted(Path("xsf").iterdir()) for one in read_structures(path)]
    return frames, Setup(setups, energies, dict.fromkeys(energies, HIDDEN), None)


def test_every_proposal_is_trained_on_once(
    water: tuple[list[Structure], Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, setup = water
    some = ("random", "modes", "mean curvature, far")
    monkeypatch.setattr(future_work, "EPOCHS", 1)
    monkeypatch.setattr(future_work, "VARIANTS", {name: future_work.VARIANTS[name] for name in some})
    rows = list(future_work.measure(frames, frames[:2], setup, 1, {("random", "taylor")}))
    known = {(str(row["variant"]), str(row["mode"])) for row in rows}
    assert known == {(name, mode) for name in some for mode in future_work.MODES} and len(rows) == len(known)
    assert not list(future_work.measure(frames, frames[:2], setup, 1, known))


@pytest.mark.parametrize("name", future_work.VARIANTS)
def test_proposals_can_be_made(name: str) -> None:
    options = TaylorOptions(**future_work.VARIANTS[name] | {"fraction": 3.0})
    assert options.fraction == 3.0 and ("potential" in future_work.VARIANTS[name]) == (options.potential is not None)


class _Layer:
    """As much of PyTorch's Linear as is read of it."""

    class _Values:
        def __init__(self, values: np.ndarray) -> None:
            self.values = values

        def detach(self) -> _Layer._Values:
            return self

        def numpy(self) -> np.ndarray:
            return self.values

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        self.weight, self.bias = self._Values(weight), self._Values(bias)


def test_networks_of_pytorch_become_a_potential_with_the_same_energies(water: tuple[list[Structure], Setup]) -> None:
    frames, setup = water
    data = generate([*frames, *displace(frames, TaylorOptions(delta=0.01, fraction=2.0), seed=1)], setup, threads=1)
    like = train(data, networks=HIDDEN, epochs=0, forces=Taylor(), test_fraction=0.0, threads=1).potential
    rng = np.random.default_rng(1)
    own = object.__new__(torch_energies.TorchTraining)
    own.scale, own.shift, energy = 3.0, -0.2, 0.0
    owner, parts = data.atom_species[: frames[0].n_atoms], []
    for number, part in enumerate(like.parts):
        own.mean, own.deviation = rng.normal(size=part.setup.n_feature), rng.uniform(0.5, 2.0, part.setup.n_feature)
        sizes = part.network.layer_sizes
        layers = [(rng.normal(size=(m, n)), rng.normal(size=m)) for n, m in pairwise(sizes)]
        first, last = data.first_value[:-1], data.first_value[1:]
        for atom in np.flatnonzero(owner == number):
            signal = (data.descriptors[first[atom] : last[atom]] - own.mean) / own.deviation
            for place, (weight, bias) in enumerate(layers):
                signal = weight @ signal + bias if place == len(layers) - 1 else np.tanh(weight @ signal + bias)
            energy += float(signal[0]) / own.scale + own.shift
        parts.append(own.part(part, [_Layer(weight.copy(), bias.copy()) for weight, bias in layers]))
    (found,) = type(like)(tuple(parts)).evaluate(frames[:1], forces=False, threads=1)
    assert found.energy - sum(setup.atomic_energies[s] for s in frames[0].symbols) == pytest.approx(energy)
