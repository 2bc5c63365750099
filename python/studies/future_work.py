"""What the paper proposes for the future, on its smallest system: water clusters with copies of several designs.

python python/studies/future_work.py FOLDER [--seeds N]

FOLDER is that of the study `water_cluster.py`; results go to FOLDER/results-full-future.json.  Each training has 300
epochs, 22 copies of each structure, and the epoch that energies and forces of the test structures choose, so that what
differs are the copies.  Hessians and curvatures are those of a first potential, from random copies and the same seed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import TRAINING, VALIDATION
from facts import Cell, Results
from results import provenance
from side_studies import error_cells, seeds_in_folder, setup_in
from taylorfit import Centred, Setup, Structure, Taylor, TaylorOptions, displace, read, train
from taylorfit.analysis.errors import errors_in
from taylorfit.potential.predict import predict
from taylorfit.settings.forces import ForceMode

EPOCHS, BETA = 300, 3e-3
MODES: dict[str, ForceMode] = {"taylor": Taylor(), "centred": Centred(beta=BETA)}
PLAIN: dict[str, Any] = {"delta": 0.01, "fraction": 22.0, "n_max": 10**7}
FAR = PLAIN | {"delta": 0.02}
FIRST = "future-first"
"""Folder of the first potentials; where the options of copies have it, that of the seed stands for it."""
VARIANTS: dict[str, dict[str, Any]] = {
    "random": PLAIN,
    "random, far": FAR,
    "modes": PLAIN | {"strategy": "modes", "potential": FIRST},
    "modes, stiffness": PLAIN | {"strategy": "modes", "amplitude": "stiffness", "potential": FIRST},
    "second order, far": FAR | {"order": 2, "potential": FIRST},
    "mean curvature, far": FAR | {"curvature": "auto", "potential": FIRST},
    "large forces": PLAIN | {"forcemin": 1.0},
    "H alone": PLAIN | {"species": ("H",)},
    "δ of species": PLAIN | {"delta_species": {"H": 0.008, "O": 0.012}},
    "δ auto": PLAIN | {"delta": None, "potential": FIRST},
    "orthogonal": PLAIN | {"strategy": "orthogonal"},
}
"""Name → options of the copies."""
DONE = "future.json"


def measure(
    frames: Sequence[Structure], validation: Sequence[Structure], setup: Setup, seed: int, known: set[tuple[str, str]]
) -> Iterator[dict[str, Cell]]:
    """A line for each variant and way of training, unless both of a variant are known."""
    folder = Path(FIRST) / str(seed)
    for name, options in VARIANTS.items():
        if all((name, mode) in known for mode in MODES):
            continue
        if "potential" in options:
            options = options | {"potential": tuple(map(str, sorted(folder.glob("*.nn"))))}
        copies = displace(frames, TaylorOptions(**options), seed=seed, threads=1)
        for mode, forces in MODES.items():
            fit = train(
                [*frames, *copies],
                setup,
                epochs=EPOCHS,
                forces=forces,
                seed=seed,
                threads=1,
                best="both",
                validationevery=0,
            )
            if (name, mode) == ("random", "taylor"):
                fit.potential.save(folder, overwrite=True)
            errors = error_cells(errors_in(predict(fit.potential, validation, stress=False, threads=1)))
            yield {"variant": name, "mode": mode, "seed": seed, **errors}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the results; seeds that are there already stay."""
    seeds = seeds_in_folder(__doc__, argv, 2)
    rows: list[dict[str, Cell]] = json.loads(Path(DONE).read_text()) if Path(DONE).exists() else []
    setup = setup_in(ending=".behler.fingerprint.stp")
    frames, validation = read([f"{TRAINING}/*.xsf"]), read([f"{VALIDATION}/*.xsf"])
    for seed in seeds:
        known = {(str(row["variant"]), str(row["mode"])) for row in rows if row["seed"] == seed}
        for row in measure(frames, validation, setup, seed, known):
            # A training that is repeated with the other of its variant takes the place of the first
            rows = [one for one in rows if any(one[name] != row[name] for name in ("variant", "mode", "seed"))] + [row]
            print(row, flush=True)
            Path(DONE).write_text(json.dumps(rows))
    Results("future", provenance("full"), tuple(rows), {}).save(Path("results-full-future.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
