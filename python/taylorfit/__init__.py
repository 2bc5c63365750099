"""Train neural-network interatomic potentials on energies and forces by Taylor expansion.

The method: A. M. Cooper, J. Kästner, A. Urban, N. Artrith, npj Comput. Mater. 6, 54 (2020).
Input files, training sets and potentials are ænet's.
"""

from __future__ import annotations

from importlib import import_module

from .tools.lazy import lazy_names

EXPORTS = {
    "analysis.errors": ("Errors",),
    "data.check": ("DataCheck", "Finding", "check"),
    "data.propose": ("propose",),
    "data.read": ("read",),
    "data.setup": ("Setup",),
    "data.split": ("split",),
    "data.write": ("write",),
    "errors": ("DataWarning", "EngineError", "FormatError", "InputError", "TaylorfitError"),
    "generation.displace": ("displace",),
    "generation.generate": ("generate",),
    "generation.repel": ("repel",),
    "generation.suggest": ("suggest",),
    "learning.label": ("Labels", "label"),
    "learning.learn": ("Learned", "learn"),
    "learning.rounds": ("Round",),
    "learning.select": ("Selection", "select"),
    "model.descriptor": ("DescriptorSetup", "chebyshev_setup"),
    "model.network": ("SpeciesPotential",),
    "model.predictions": ("Predictions",),
    "model.structure": ("Structure",),
    "model.trainset": ("TrainingSet",),
    "potential.calculator": ("Calculator",),
    "potential.extrapolation": ("ExtrapolationError", "ExtrapolationWarning"),
    "potential.potential": ("Potential",),
    "potential.predict": ("predict",),
    "settings.displacements": ("TaylorOptions",),
    "settings.forces": ("Centred", "Directional", "Energy", "Exact", "Taylor"),
    "settings.label": ("Labelling", "Reference"),
    "settings.learn": ("Exploration", "LabelBudget", "Thresholds"),
    "settings.methods": ("Adam", "Bfgs", "Ekf", "Lm", "OnlineSd"),
    "settings.train": ("Store",),
    "taylor.displacements": ("AntitheticDisplacements", "CartesianDisplacements", "RandomDisplacements"),
    "taylor.modes": ("ModeDisplacements",),
    "taylor.orthogonal": ("OrthogonalDisplacements",),
    "taylor.strain": ("StrainDisplacements",),
    "training.committee": ("CommitteeFit",),
    "training.fit": ("Fit", "History"),
    "training.loop": ("Epoch",),
    "training.train": ("train", "train_committee"),
}
"""Module → its public names, imported when first used: ASE and the engine take their time.
`python python/write_stub.py` writes them into `__init__.pyi`."""
ROOMS = ("plotting",)
"""Public modules, likewise."""
_find = lazy_names(__name__, EXPORTS)

__all__ = ["__version__", *ROOMS, *sorted(name for names in EXPORTS.values() for name in names)]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    return import_module(f".{name}", __name__) if name in ROOMS else _find(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("taylorfit")
    except PackageNotFoundError:  # used from the source tree
        return "0+unknown"
