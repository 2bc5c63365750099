"""Measures of error: what each is called, its unit and digits. All tables, axes and columns of files take them here."""

from __future__ import annotations

from typing import NamedTuple

TAIL = 1.0
"""A force error |F − F_ref| above this is in the tail of the distribution, eV/Å (Cooper et al. 2020, sec. III B)."""
DASH = "–"
"""In tables, where there is no value."""


class Unit(NamedTuple):
    """The unit in which a number is shown."""

    name: str
    factor: float
    """Shown value over stored value."""
    digits: int
    """Behind the point."""


ENERGY_UNIT = Unit("meV/atom", 1e3, 2)
FORCE_UNIT = Unit("eV/Å", 1.0, 3)
ANGLE_UNIT = Unit("degrees", 1.0, 1)
SHARE_UNIT = Unit("%", 100.0, 2)


class Measure(NamedTuple):
    """A measure of error, as reports store it (eV/atom, eV/Å, degrees, fractions) and as tables show it."""

    key: str
    """In results and reports."""
    title: str
    unit: Unit
    meaning: str = ""
    """With the unit in which it is stored."""
    narrow: str = ""
    """Title for a narrow column; empty: `title`."""
    of: str = ""
    """Behind the unit, in a wide table."""
    in_tables: bool = True
    """Whether it stands in tables of all errors."""

    @property
    def heading(self) -> str:
        """Title and unit: ``energy RMSE, meV/atom``."""
        return f"{self.title}, {self.unit.name}"

    @property
    def column(self) -> str:
        """Name of its column in a CSV table, of the values shown: ``energy_rmse_meV_per_atom``."""
        return f"{self.key}_{self.unit.name.replace('/', '_per_').replace('Å', 'A')}"

    def cell(self, value: float | None, more: int = 0) -> str:
        """A stored value as shown, with `more` digits than usual; a dash for None."""
        return DASH if value is None else self.text(self.unit.factor * value, more)

    def text(self, shown: float, more: int = 0) -> str:
        """A value of the unit shown, as `column` has it, with `more` digits than usual."""
        return f"{shown:.{self.unit.digits + more}f}"


ERRORS = (
    Measure("energy_mae", "energy MAE", ENERGY_UNIT, "mean absolute error of the energy, eV/atom"),
    Measure("energy_rmse", "energy RMSE", ENERGY_UNIT, "root mean square error of the energy, eV/atom"),
    Measure(
        "force_mae", "force MAE", FORCE_UNIT, "mean absolute error of the force components, eV/Å", of=" per component"
    ),
    Measure(
        "force_rmse",
        "force RMSE",
        FORCE_UNIT,
        "root mean square error of the force components, eV/Å",
        of=" per component",
    ),
    Measure(
        "force_error_norm_mean",
        "mean |F − F_ref|",
        FORCE_UNIT,
        "mean of |F − F_ref| over atoms, eV/Å (what Cooper et al. 2020 measured, judged by its size)",
        "|F − F_ref|",
    ),
    Measure(
        "force_norm_error_mean",
        "mean ||F| − |F_ref||",
        FORCE_UNIT,
        "mean of | |F| − |F_ref| | over atoms, eV/Å",
        in_tables=False,
    ),
    Measure(
        "force_error_tail",
        f"atoms with |F − F_ref| > {TAIL:g} eV/Å",
        SHARE_UNIT,
        f"fraction of atoms with |F − F_ref| > {TAIL:g} eV/Å",
    ),
    Measure(
        "angle_error_mean",
        "mean angle of F and F_ref",
        ANGLE_UNIT,
        "mean angle between F and F_ref, degrees (atoms where both are non-zero)",
    ),
    Measure(
        "angle_error_median", "median angle of F and F_ref", ANGLE_UNIT, "median angle between F and F_ref, degrees"
    ),
)
"""Of a potential, against references."""

EPOCH_ERRORS = tuple(
    Measure(
        f"{which}_{middle}{kind}", f"{which}: {what} {kind.upper()}", unit, "", f"{which} {short}{kind.upper()}", of
    )
    for middle, what, unit, short, of in (
        ("", "energy", ENERGY_UNIT, "", ""),
        ("force_", "force", FORCE_UNIT, "F ", " per component"),
    )
    for which in ("train", "test")
    for kind in ("mae", "rmse")
)
"""Of an epoch of a training: structures trained on, and test structures."""

MEASURES = {measure.key: measure for measure in (*ERRORS, *EPOCH_ERRORS)}
"""Key → measure."""

ERROR_KEYS = {
    **{measure.key: measure.meaning for measure in ERRORS},
    "n_structures": "structures with a reference energy",
    "n_forces": "atoms with a reference force",
}
"""What the numbers of an error report mean."""
