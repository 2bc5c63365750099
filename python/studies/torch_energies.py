"""Energy training of Li8Mo2Ni7Ti7O32 and Taylor copies in PyTorch, as aenet-python does it, beside taylorfit's.

python python/studies/torch_energies.py FOLDER [--seeds N]

FOLDER is that of the study `lmnto.py`; needs PyTorch (pip install torch); results go to
FOLDER/results-full-torch.json.

The training is written here from what the source of aenet-python says (atomisticnet/aenet-python,
`aenet.torch_training`, read in November 2026), not taken from it: a network of Linear layers for each species with
PyTorch's starting weights, descriptors less their mean over their deviation, energies per atom scaled to [−1, 1], Adam
with a rate of 1e-3 over batches of 32 structures in a new order each epoch, the loss of a batch the root of the mean
squared error per atom, double precision.  The values of the descriptors are taylorfit's; both train on all structures
and copies, and keep the weights of the last epoch.  Its own loader puts batches together in Python, which costs time
that is left out here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from datasets import VALIDATION
from displacement_designs import copies_of
from facts import Cell, Results
from results import provenance
from side_studies import HIDDEN, error_cells, seeds_in_folder, setup_in, some_frames
from taylorfit import Centred, Exact, Potential, Setup, Structure, Taylor, TrainingSet, generate, predict, read, train
from taylorfit.analysis.errors import errors_in
from taylorfit.model.network import SpeciesPotential
from taylorfit.model.scaling import standardisation
from taylorfit.settings.forces import ForceMode

N_STRUCTURES, BATCH, RATE, TORCH_EPOCHS, EPOCHS = 200, 32, 1e-3, 300, 600
"""Structures; of Adam in PyTorch; epochs there and here."""
MODES: dict[str, ForceMode] = {"taylor": Taylor(), "centred": Centred(beta=1e-3), "exact": Exact(beta=1e-3)}
DONE = "torch.json"


class TorchTraining:
    """Networks of all species, trained on the energies of structures that all have the same atoms in the same order."""

    def __init__(self, data: TrainingSet, seed: int) -> None:
        self.torch: Any = import_module("torch")
        self.torch.set_num_threads(1)
        self.torch.manual_seed(seed)
        self.torch.set_default_dtype(self.torch.float64)
        n_atoms = len(data.atom_species) // data.n_structures
        species = data.atom_species.reshape(-1, n_atoms)
        if (species != species[0]).any():
            raise ValueError("structures of several compositions")
        values = data.descriptors.reshape(len(data.atom_species), -1)
        self.mean, self.deviation = values.mean(axis=0), np.sqrt(values.var(axis=0) + 1e-12)
        inputs = ((values - self.mean) / self.deviation).reshape(-1, n_atoms, values.shape[1])
        per_atom = data.energy / n_atoms
        self.scale, self.shift = 2.0 / np.ptp(per_atom), 0.5 * (per_atom.max() + per_atom.min())
        of_species = [species[0] == number for number in range(len(data.species))]
        self.inputs = [self.torch.tensor(inputs[:, own]) for own in of_species]
        self.per_atom, self.n_atoms = self.torch.tensor(per_atom), n_atoms
        nn = self.torch.nn
        sizes = [values.shape[1], *(n for n, _ in HIDDEN)]
        self.networks = [
            nn.Sequential(
                *(layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.Tanh())), nn.Linear(sizes[-1], 1)
            )
            for _ in of_species
        ]
        weights = [weight for network in self.networks for weight in network.parameters()]
        self.adam = self.torch.optim.Adam(weights, lr=RATE)

    def energies(self, chosen: Any) -> Any:
        """Energies per atom of some structures, eV."""
        parts = [network(own[chosen]).sum(dim=(1, 2)) for network, own in zip(self.networks, self.inputs)]
        return sum(parts) / (self.scale * self.n_atoms) + self.shift

    def epoch(self) -> float:
        """Train once on every structure; return the processor's seconds."""
        start = time.process_time()
        for chosen in self.torch.randperm(len(self.per_atom)).split(BATCH):
            self.adam.zero_grad(set_to_none=True)
            loss = self.torch.sqrt(((self.energies(chosen) - self.per_atom[chosen]) ** 2).mean())
            loss.backward()
            self.adam.step()
        return time.process_time() - start

    def potential(self, like: Potential) -> Potential:
        """The same networks as a potential of taylorfit, `like` one from the same training set."""
        return Potential(tuple(map(self.part, like.parts, self.networks)))

    def part(self, part: SpeciesPotential, network: Any) -> SpeciesPotential:
        """A network as the potential of a species, whose descriptors have another mean and deviation."""
        linear = [layer for layer in network if hasattr(layer, "weight")]
        blocks = [(one.weight.detach().numpy().T.copy(), one.bias.detach().numpy().copy()) for one in linear]
        assert part.setup.statistics is not None
        shift, factor = standardisation(part.setup.statistics)
        first, bias = blocks[0]
        bias += ((shift - self.mean) / self.deviation) @ first
        first[factor > 0.0] /= (self.deviation * factor)[factor > 0.0, np.newaxis]
        first[factor == 0.0] = 0.0
        packed = np.concatenate([np.vstack([matrix, vector]).ravel() for matrix, vector in blocks])
        return replace(
            part,
            network=replace(part.network, weights=packed),
            info=replace(part.info, scale=float(self.scale), shift=float(self.shift)),
        )


def errors(potential: Potential, validation: Sequence[Structure]) -> dict[str, Cell]:
    """Those of a line of the results."""
    return error_cells(errors_in(predict(potential, validation, stress=False, threads=1)))


def check_same(own: TorchTraining, made: Potential, first: Structure) -> None:
    """The potential has the energies of the networks that it is made from."""
    (found,) = made.evaluate([first], forces=False, threads=1)
    cohesive = found.energy - sum(made.atomic_energies[symbol] for symbol in first.symbols)
    assert abs(cohesive / own.n_atoms - float(own.energies(slice(0, 1)).detach()[0])) < 1e-8


def train_both(
    frames: Sequence[Structure], validation: Sequence[Structure], setup: Setup, seed: int
) -> list[dict[str, Cell]]:
    """A line for each training on the same structures and copies."""
    data = generate([*frames, *copies_of("normal", frames, seed)], setup, threads=1)
    start = train(data, networks=HIDDEN, epochs=0, forces=Taylor(), test_fraction=0.0, seed=seed, threads=1).potential
    own = TorchTraining(data, seed)
    seconds = [own.epoch() for _ in range(TORCH_EPOCHS)]
    made = own.potential(start)
    check_same(own, made, frames[0])
    rows: list[dict[str, Cell]] = [
        {
            "program": "torch",
            "mode": "taylor",
            "seed": seed,
            "epochs": TORCH_EPOCHS,
            "seconds_per_epoch": float(f"{min(seconds):.4g}"),
            "all_seconds": float(f"{sum(seconds):.4g}"),
            **errors(made, validation),
        }
    ]
    for mode, forces in MODES.items():
        train_set = data if mode != "exact" else generate(frames, setup, threads=1)
        begin = time.process_time()
        fit = train(
            train_set,
            networks=HIDDEN,
            epochs=EPOCHS,
            forces=forces,
            test_fraction=0.0,
            seed=seed,
            threads=1,
            best="last",
        )
        spent, epochs = time.process_time() - begin, int(fit.history.epoch[-1])
        rows.append(
            {
                "program": "taylorfit",
                "mode": mode,
                "seed": seed,
                "epochs": epochs,
                "seconds_per_epoch": float(f"{spent / epochs:.4g}"),
                "all_seconds": float(f"{spent:.4g}"),
                **errors(fit.last, validation),
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Train and write the results; seeds that are there already stay."""
    seeds = seeds_in_folder(__doc__, argv, 2)
    rows: list[dict[str, Cell]] = json.loads(Path(DONE).read_text()) if Path(DONE).exists() else []
    frames, validation = some_frames(N_STRUCTURES), read([f"{VALIDATION}/*.xsf"])
    setup = setup_in()
    for seed in seeds:
        if all(row["seed"] != seed for row in rows):
            rows += train_both(frames, validation, setup, seed)
            print(*rows[-1 - len(MODES) :], sep="\n", flush=True)
            Path(DONE).write_text(json.dumps(rows))
    Results("torch", provenance("full"), tuple(rows), {}).save(Path("results-full-torch.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
