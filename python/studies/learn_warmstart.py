"""What WARMSTART gains in `learn`: the trainings of a finished run once more, with and without it, on the same labels.

    python python/studies/learn_water.py --output DIR --full
    python python/studies/learn_warmstart.py --output DIR [--seeds 1 2 3]

Each round of `learn_water.py` is trained on its own data from random weights, and from the members of the round
before (which started likewise), for different numbers of epochs.  Errors are those on frames of the dynamics of the
last round's committee at 500 K, which none was trained on; seconds are those of processors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import taylorfit as tfit
from learn_water import MEMBERS, N_START, REFERENCE, run_at_300, setup_of
from learning_page import parser, write_page
from taylorfit.formats.structures.files import read_files
from taylorfit.learning.explore import HELD
from taylorfit.learning.rounds import pushed_beyond
from taylorfit.potential.deviation import force_deviation
from taylorfit.potential.potential import Potential, load_members
from taylorfit.settings.repulsion import RepulsionPlan
from taylorfit.tools.tables import Table, text_lines

EPOCHS = (250, 1000)
JUDGED = 60


def judged(learn: Path, n_rounds: int, seed: int) -> list[tfit.Structure]:
    """Frames of the last round's runs that held, labelled."""
    last = learn / f"round-{n_rounds:02d}"
    known = json.loads((last / "explored.json").read_text())
    held = [k for k, walk in enumerate(known["walk"]) if known["walks"][walk]["verdict"] == HELD]
    frames = read_files([str(last / "explored.extxyz")])
    places = np.random.default_rng(seed).choice(held, JUDGED, replace=False)
    return list(tfit.label([frames[k] for k in sorted(places)], REFERENCE).structures)


def errors(members: Sequence[Potential], frames: Sequence[tfit.Structure]) -> tuple[float, float]:
    """Mean |F - F_ref| of the committee, eV/Å, and by how much errors are larger than deviations."""
    said = [member.evaluate(frames) for member in members]
    forces = [np.array([one[k].known_forces for one in said]) for k in range(len(frames))]
    norms = np.concatenate(
        [np.linalg.norm(own.mean(axis=0) - frame.known_forces, axis=1) for own, frame in zip(forces, frames)]
    )
    deviations = np.concatenate([force_deviation(own) for own in forces])
    return float(norms.mean()), float(np.sqrt((norms**2).mean() / (deviations**2).mean()))


def study(folder: Path, seed: int) -> list[tuple[int, int, bool, float, float, float]]:
    """Seed and epochs, warm or not, `errors` at the end, and seconds of all rounds but the first, which is the same."""
    learn = folder / f"seed-{seed}" / "learn"
    rounds = [json.loads(file.read_text()) for file in sorted(learn.glob("round-*/round.json"))]
    data = read_files([str(learn / "data.extxyz")])
    setup = setup_of(folder / "example", run_at_300(folder / "example")[:N_START])
    frames = judged(learn, len(rounds), seed)
    rows = []
    for epochs in EPOCHS:
        for warm in (False, True):
            seconds, initial = 0.0, load_members(learn / "round-01" / "committee") if warm else None
            for one in rounds[1:]:
                own = data[: one["n_trained"]]
                begun = time.process_time()
                fit = tfit.train_committee(
                    [*own, *pushed_beyond(own, RepulsionPlan())], setup, members=MEMBERS, forces=tfit.Exact(1e-2),
                    epochs=epochs, initial=initial, test_fraction=0.0, seed=seed,
                )  # fmt: skip
                seconds += time.process_time() - begun
                initial = list(fit.potentials) if warm else None
            rows.append((seed, epochs, warm, *errors(fit.potentials, frames), seconds))
            print(*rows[-1], flush=True)
    return rows


def main() -> None:
    """Train again and write WARMSTART.md."""
    options = parser(__doc__, output="that of learn_water.py")
    options.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = options.parse_args()
    rows = [row for seed in arguments.seeds for row in study(arguments.output, seed)]
    cells = tuple(
        (str(seed), str(epochs), "warm" if warm else "cold", f"{error:.4f}", f"{ratio:.2f}", f"{seconds:.1f}")
        for seed, epochs, warm, error, ratio, seconds in rows
    )
    header = (
        "seed",
        "epochs of\na round",
        "start",
        "|F - F_ref|\neV/Å",
        "errors /\ndeviations",
        "seconds of\nprocessors",
    )
    table = Table(header, cells, numeric=True, left=(2,))
    print(write_page(arguments.output / "WARMSTART.md", __doc__, text_lines(table)))


if __name__ == "__main__":
    main()
