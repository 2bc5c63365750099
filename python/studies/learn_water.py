"""(H2O)6 with GFN1-xTB: from the first 25 frames of one run at 300 K to dynamics at 500 K, by `learn` and without it.

    python python/studies/learn_water.py --output DIR [--full] [--seeds 1 2 3]

For each seed: `learn` with 40 labels; and committees trained in the same way, with equal numbers of frames of the
reference's own run, the next ones ("further along") and ones drawn at random.  Each runs its own dynamics at 500 K
from the 12 starts, frames of which the reference then judges.  A run has held if its committee's deviation did not
last above the limits of the last round of `learn`, and the reference does not find it wrong.  Started again it goes on
where it was.

Needs tblite: ``pip install taylorfit[example-data]``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import taylorfit as tfit
from learning_page import limits_of_runs, parser, write_page
from taylorfit.commands.cli import main as taylorfit
from taylorfit.engine import PotentialTables
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.learning.explore import HELD, WRONG, committee_evaluator, is_wrong, new_walks, run_walks
from taylorfit.learning.rounds import Round, pushed_beyond
from taylorfit.potential.potential import Potential, load_members
from taylorfit.settings.repulsion import RepulsionPlan
from taylorfit.tools.atomic_write import atomic_write
from taylorfit.tools.tables import Table, text_lines

REFERENCE = tfit.Reference("tblite.ase:TBLite", {"method": "GFN1-xTB", "accuracy": 0.01, "verbosity": 0})
N_START, N_LABELS = 25, 40
EPOCHS, MEMBERS = 1000, 4
N_STARTS = 12
JUDGED = 10
"""Frames of each run that the reference judges."""


@dataclass(frozen=True)
class Scale:
    """How long it may take."""

    explored: int
    """Steps of an exploration."""
    learnt: int
    """Steps of the judged runs of the learnt potential."""
    compared: int
    """Steps of those of the others."""


SCALES = {"quick": Scale(1000, 4000, 1000), "full": Scale(4000, 40000, 4000)}


def dynamics(temperature: float, steps: int) -> tfit.Exploration:
    """Runs in the wall of `make_water_cluster.py`, 0.5 fs a step."""
    return tfit.Exploration(
        f"{temperature:g} K",
        "nvt",
        temperature=temperature,
        starts=N_STARTS,
        steps=steps,
        timestep=0.5,
        sample=20,
        wall=6.0,
    )


def run_at_300(folder: Path) -> list[tfit.Structure]:
    """The example's frames of one run at 300 K, in order of time."""
    if not (folder / "xsf").is_dir() and taylorfit(["example", "water-cluster", str(folder)]):
        raise SystemExit("the example cannot be copied")
    frames = tfit.read(str(folder / "xsf" / "300a_*.xsf"))
    return sorted(frames, key=lambda frame: int(re.findall(r"_(\d+)fs", frame.name)[0]))


def setup_of(folder: Path, start: Sequence[tfit.Structure]) -> tfit.Setup:
    """The example's descriptors, and what is proposed beside them."""
    own = {name: read_setup(folder / f"{name}.fingerprint.stp") for name in ("H", "O")}
    proposed = tfit.propose(start)
    return proposed.replace(descriptors=tuple(own[name] for name in proposed.species))


def judge(
    members: Sequence[Potential], start: Sequence[tfit.Structure], steps: int, seed: int, last: Round
) -> dict[str, Any]:
    """Run the committee's own dynamics by the limits of a round of `learn`; the reference judges frames of it."""
    walks = new_walks([dynamics(500.0, steps)], [list(start)], seed, 1000)
    tables = PotentialTables.from_members([member.parts for member in members])
    run_walks(walks, committee_evaluator(tables, 0), limits_of_runs(members, last), patient=True)
    means = []
    worst = 0.0
    for walk in walks:
        places = np.unique(np.linspace(0, len(walk.frames) - 1, JUDGED + 1).astype(int)[1:])
        labels = tfit.label([walk.frames[k] for k in places], REFERENCE, max_force=1e3)
        errors = []
        for structure in labels.structures:
            said = np.mean([member.evaluate(structure)[0].known_forces for member in members], axis=0)
            errors.append(np.linalg.norm(said - structure.known_forces, axis=1))
        # A frame that even the reference cannot compute is no frame
        errors += [np.array([np.inf])] * len(labels.set_aside)
        if walk.verdict == HELD and is_wrong(errors, last.high, last.calibration):
            walk.verdict = WRONG
        frames = [float(one.mean()) for one in errors]
        means.append(float(np.mean(frames)))
        worst = max(worst, *frames)
    verdicts = [walk.verdict for walk in walks]
    times = [walk.time for walk in walks]
    return {
        "median": float(np.median(means)), "largest": max(means), "frame": worst, "held": verdicts.count(HELD),
        "times": times, "verdicts": verdicts,
    }  # fmt: skip


def kept(file: Path, make: Any) -> Any:
    """What an earlier run has written there, or what `make` makes."""
    if not file.exists():
        with atomic_write(file) as stream:
            json.dump(make(), stream)
    return json.loads(file.read_text())


def compared(folder: Path, data: Sequence[tfit.Structure], setup: tfit.Setup, seed: int) -> list[Potential]:
    """A committee trained as `learn` trains it."""
    if not folder.exists():
        copies = pushed_beyond(data, RepulsionPlan())
        fit = tfit.train_committee(
            [*data, *copies], setup, epochs=EPOCHS, members=MEMBERS, forces=tfit.Exact(1e-2), test_fraction=0.0,
            seed=seed,
        )  # fmt: skip
        fit.save(folder, overwrite=True)
    return load_members(folder)


def study(folder: Path, scale: Scale, seed: int) -> dict[str, dict[str, Any]]:
    """All rows of a seed."""
    frames = run_at_300(folder / "example")
    start, rest = frames[:N_START], frames[N_START:]
    setup = setup_of(folder / "example", start)
    own = folder / f"seed-{seed}"
    own.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    learned = tfit.learn(
        start, REFERENCE, dynamics(500.0, scale.explored), folder=own / "learn", setup=setup, seed=seed, epochs=EPOCHS,
        committee=MEMBERS, labels=tfit.LabelBudget(10, N_LABELS, 3), error=1e-3,
        progress=lambda one: print(f"seed {seed}: round {one.number}, {one.check_error or 0:.3f} eV/Å", flush=True),
    )  # fmt: skip
    print(f"seed {seed}: {learned.status}, {time.monotonic() - begun:.0f} s", flush=True)
    last = learned.rounds[-1]
    n = last.n_labels
    rows = {"learn": kept(own / "learn.json", lambda: judge(learned.committee, start, scale.learnt, seed, last))}
    rows["learn"]["labels"] = N_START + n
    drawn = np.random.default_rng(seed).choice(len(rest), n, replace=False)
    others = {"further along": rest[:n], "drawn from the run": [rest[k] for k in sorted(drawn)], "the start alone": []}
    for name, more in others.items():
        place = own / name.replace(" ", "-")
        place.mkdir(exist_ok=True)
        rows[name] = kept(
            place / "judged.json", lambda more=more, place=place: judge(
                compared(place / "committee", [*start, *more], setup, seed), start, scale.compared, seed, last
            )
        )  # fmt: skip
        rows[name]["labels"] = N_START + len(more)
        print(f"seed {seed}: {name}: {rows[name]['median']:.3f}", flush=True)
    return rows


def main() -> None:
    """Run the study and write RESULTS.md."""
    options = parser(__doc__, "an hour and more")
    options.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = options.parse_args()
    cells = []
    for seed in arguments.seeds:
        for name, row in study(arguments.output, SCALES[arguments.scale], seed).items():
            length = 0.0005 * (SCALES[arguments.scale].learnt if name == "learn" else SCALES[arguments.scale].compared)
            numbers = (row["median"], row["largest"], row["frame"], float(np.mean(row["times"])))
            cells.append(
                (
                    str(seed),
                    name,
                    str(row["labels"]),
                    *(f"{x:.3f}" for x in numbers),
                    f"{row['held']}/{N_STARTS}",
                    f"{length:g}",
                )
            )
        header = (
            "seed", "frames", "number", "|F - F_ref|, median\nof runs, eV/Å", "largest\nof runs", "of frames",
            "stable, ps", "held", "of ps",
        )  # fmt: skip
        table = Table(header, tuple(cells), numeric=True, left=(1,))
        text = write_page(arguments.output / "RESULTS.md", __doc__, text_lines(table))
    print(text)


if __name__ == "__main__":
    main()
