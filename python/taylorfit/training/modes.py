"""How forces enter a training: as FORCES says, else as the data suggest; what cannot be done is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..errors import InputError
from ..model.provenance import Provenance
from ..settings.forces import WITH_BETA, WITH_COPIES
from ..settings.train import TrainInput


def choose_mode(settings: TrainInput, copies: Sequence[Provenance], listed_in: str | None = None) -> str:
    """The mode of FORCES, one of `settings.forces.MODES`, with Taylor copies of these origins to train on.

    Raises
    ------
    InputError
        if settings and copies do not go with the mode; `listed_in` is the file that it names.
    """
    forces = settings.forces
    single = 1 in Counter(copy.parent for copy in copies).values()
    mode = forces.mode
    if mode is None:
        fits = settings.method.name == "bfgs" and settings.copyweight == 1 and settings.loss == "aenet" and not single
        mode = ("centred" if fits else "taylor") if copies else "energy"
    strained = any(copy.is_strained for copy in copies)
    label = f"FORCES mode={mode}"
    problems = {
        f"{label} needs Taylor copies": (mode in WITH_COPIES and not copies, "a TAYLORSET, or copies in TRAININGSET"),
        f"{label} needs at least two copies of a structure": (
            mode == "centred" and single,
            "DERIVATIVES with fraction=2 or more",
        ),
        f"{label} works with METHOD bfgs only": (mode in WITH_BETA and settings.method.name != "bfgs", "METHOD bfgs"),
        f"{label} weighs the forces by beta": (mode in WITH_BETA and settings.copyweight != 1, "no COPYWEIGHT"),
        f"{label} virial= needs strained copies": (
            mode == "centred" and forces.virial > 0 and not strained,
            "DERIVATIVES with strategy=strain",
        ),
        f"{label} gives strained copies no weight": (
            mode == "centred" and strained and forces.virial == 0,
            "FORCES mode=centred virial=…",
        ),
        f"{label} is defined for energies per atom": (mode == "centred" and settings.loss != "aenet", "LOSS aenet"),
    }
    for message, (wrong, expected) in problems.items():
        if wrong:
            raise InputError(message, file=listed_in, expected=expected)
    return mode
