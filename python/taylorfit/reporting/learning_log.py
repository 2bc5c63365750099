"""A line of text for each round of `learn`."""

from __future__ import annotations

from ..learning.rounds import Round

HEADER = (
    "round  trained  labels   check |ΔF|, largest   chosen |ΔF|    held   stable      train explore  label   rest\n"
    "         frames    new                eV/Å            eV/Å              ps          s       s      s      s\n"
    + "-"
    * 104
)


def round_line(one: Round) -> str:
    """Return the line of a round under `HEADER`."""

    def number(value: float | None, width: int) -> str:
        return f"{'-' if value is None else format(value, '.3f'):>{width}}"

    n_held = round(one.held * len(one.walks))
    spent = [one.seconds.get(name, 0.0) for name in ("train", "explore", "label")]
    rest = one.seconds.get("select", 0.0) + one.seconds.get("rest", 0.0)
    return (
        f"{one.number:5d} {one.n_trained:8d} {one.n_new:7d} {number(one.check_error, 13)}{number(one.check_worst, 9)}"
        f"{number(one.chosen_error, 14)} {f'{n_held}/{len(one.walks)}':>7} {one.stable_time:8.2f}  "
        + "".join(f"{seconds:8.1f}" for seconds in spent)
        + f"{rest:7.1f}"
    )
