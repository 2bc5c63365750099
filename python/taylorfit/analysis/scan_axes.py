"""What a scan can be drawn along."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A quantity that a scan varies."""

    column: str
    title: str
    short: str
    """For a legend: `δ = 0.01 Å`."""
    log: bool = False


AXES = {
    "delta": Axis("delta_A", "largest displacement δ (Å)", "δ = {:g} Å"),
    "a": Axis("multiple_a", "multiple a (copies per structure)", "a = {:g}"),
    "size": Axis("n_structures", "number of structures", "{:g} structures", log=True),
    "beta": Axis("beta_A2", "force weight β (Å²)", "β = {:g} Å²", log=True),
}
