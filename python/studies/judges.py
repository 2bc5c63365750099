"""How a claim is judged: thresholds that were written down before anything was run, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from facts import MissingFact, Quantity, Results, Search

REPRODUCED, PARTLY, NOT, BEATEN, UNTESTABLE = "reproduced", "partly", "not", "beaten", "untestable here"
VERDICTS = (REPRODUCED, PARTLY, NOT, BEATEN, UNTESTABLE)
TOLERANCE, HALFWAY = 0.2, 0.5
"""Relative distance of the median from the paper's number up to which it is reproduced, and partly so."""


@dataclass(frozen=True)
class Finding:
    """What became of a claim."""

    verdict: str
    here: str
    """What was measured, in words."""


def graded(reproduced: bool, partly: bool) -> str:
    """The verdict of two conditions, the weaker one last."""
    return REPRODUCED if reproduced else PARTLY if partly else NOT


@dataclass(frozen=True)
class Near:
    """A number: within 20 % or the spread of the seeds, which a wide spread alone is not enough for."""

    quantity: Quantity
    paper: float
    digits: int = 2
    better: str = ""
    """"smaller" or "larger": a median beyond the tolerance on that side beats the paper; empty: it fails."""

    @property
    def threshold(self) -> str:
        """In words."""
        beaten = f"; beaten: {self.better} by more" if self.better else ""
        return (
            f"reproduced: median within 20 % of {self.paper:g}, or {self.paper:g} within the spread and the median "
            f"within "
            f"50 %{beaten}; partly: one of the two"
        )

    def __call__(self, results: Results) -> Finding:
        """The verdict."""
        found = self.quantity(results)
        away = found.median / self.paper - 1.0
        inside, near = found.low <= self.paper <= found.high, abs(away) <= HALFWAY
        if abs(away) <= TOLERANCE or (inside and near):
            verdict = REPRODUCED
        elif (self.better == "smaller" and away < 0.0) or (self.better == "larger" and away > 0.0):
            verdict = BEATEN
        else:
            verdict = graded(False, inside or near)
        return Finding(verdict, found.text(self.digits))


@dataclass(frozen=True)
class Between:
    """A quantity whose median must lie in a range; partly in a wider one, if there is one."""

    quantity: Quantity
    low: float
    high: float
    wide: tuple[float, float] | None = None
    digits: int = 2
    beaten_below: float | None = None
    beaten_above: float | None = None

    @property
    def threshold(self) -> str:
        """In words."""
        words = f"reproduced: median from {self.low:g} to {self.high:g}"
        if self.wide is not None:
            words += f"; partly: {self.wide[0]:g} to {self.wide[1]:g}"
        if self.beaten_below is not None:
            words += f"; beaten: below {self.beaten_below:g}"
        if self.beaten_above is not None:
            words += f"; beaten: above {self.beaten_above:g}"
        return words

    def __call__(self, results: Results) -> Finding:
        """The verdict."""
        found = self.quantity(results)
        if self.low <= found.median <= self.high:
            verdict = REPRODUCED
        elif (self.beaten_below is not None and found.median < self.beaten_below) or (
            self.beaten_above is not None and found.median > self.beaten_above
        ):
            verdict = BEATEN
        else:
            low, high = self.wide or (self.low, self.high)
            verdict = graded(False, low <= found.median <= high)
        return Finding(verdict, found.text(self.digits))


@dataclass(frozen=True)
class Falling:
    """Quantities whose medians must fall, or rise, from one to the next; partly: from the first to the last alone."""

    quantities: tuple[tuple[str, Quantity], ...]
    """With their names."""
    rising: bool = False
    digits: int = 2

    @property
    def threshold(self) -> str:
        """In words."""
        what = "rise" if self.rising else "fall"
        return f"reproduced: medians {what} at each step; partly: from the first to the last alone"

    def __call__(self, results: Results) -> Finding:
        """The verdict."""
        found = [(name, quantity(results)) for name, quantity in self.quantities]
        sign = 1.0 if self.rising else -1.0
        steps = [sign * (later.median - before.median) for (_, before), (_, later) in pairwise(found)]
        verdict = graded(min(steps) > 0.0, sum(steps) > 0.0)
        return Finding(verdict, "; ".join(f"{name}: {one.text(self.digits)}" for name, one in found))


@dataclass(frozen=True)
class BestSetting:
    """The best of the settings tried: the grid point nearest to the paper's; partly: a neighbour of it."""

    search: Search
    paper: float
    unit: str

    @property
    def threshold(self) -> str:
        """In words."""
        return f"reproduced: the grid point nearest to {self.paper:g}; partly: a neighbour of it"

    def __call__(self, results: Results) -> Finding:
        """The verdict."""
        found = self.search(results)
        tried = list(found.tried)
        nearest = min(tried, key=lambda value: abs(value - self.paper))
        away = abs(tried.index(found.best) - tried.index(nearest))
        return Finding((REPRODUCED, PARTLY, NOT)[min(away, 2)], f"{found.best:g} {self.unit} ({found.of})")


@dataclass(frozen=True)
class Custom:
    """A rule of its own."""

    threshold: str
    judge: Callable[[Results], Finding]

    def __call__(self, results: Results) -> Finding:
        """The verdict."""
        return self.judge(results)


@dataclass(frozen=True)
class OrLast:
    """A rule for the weights of the best epoch; where only those of the last epoch fulfil it: partly."""

    best: Near | Between
    last: Near | Between

    @property
    def threshold(self) -> str:
        """In words."""
        return f"{self.best.threshold}; partly also: with the weights of the last epoch alone"

    def __call__(self, results: Results) -> Finding:
        """The verdict."""
        found, last = self.best(results), self.last(results)
        here = f"{found.here}; last epoch: {last.here}"
        saved = found.verdict == NOT and last.verdict in (REPRODUCED, BEATEN)
        return Finding(PARTLY if saved else found.verdict, here)


@dataclass(frozen=True)
class Holds:
    """Whether dynamics with potentials of a kind hold, or do not."""

    name: str
    """Of the facts."""
    stable: bool = True
    """What the paper says."""

    @property
    def threshold(self) -> str:
        """In words."""
        return (
            f"reproduced: {'all runs hold' if self.stable else 'no run holds'} (a run holds if it comes to its end "
            "within 100 K of the temperature, no descriptor further than 5 σ outside of the data, no two atoms nearer "
            "than 0.8 of the shortest distance in the data); partly: some"
        )

    def __call__(self, results: Results) -> Finding:
        """The verdict."""
        runs = results.fact(f"holds: {self.name}").values
        held = sum(runs)
        words = f"{held:.0f} of {len(runs)} runs hold"
        for what, form in (
            ("temperature", "{:.0f} K"),
            ("shortest distance", "shortest distance {:.2f} Å"),
            ("time", "{:.1f} ps"),
        ):
            key = f"{what}: {self.name}"
            if key in results.facts:
                median = results.fact(key).median
                words += ", " + (form.format(median) if median else "broken down in the equilibration")
        return Finding(graded(held == (len(runs) if self.stable else 0), 0 < held < len(runs)), words)


@dataclass(frozen=True)
class Untestable:
    """Nothing here can say whether it holds."""

    reason: str
    threshold: str = "none"

    def __call__(self, results: Results) -> Finding:
        """The verdict."""
        return Finding(UNTESTABLE, self.reason)


Judge = Near | Between | Falling | BestSetting | Custom | OrLast | Holds | Untestable


@dataclass(frozen=True)
class Claim:
    """Something that the paper says, and how it is judged."""

    id: str
    study: str
    """Whose results are judged."""
    place: str
    """In the paper."""
    claim: str
    """In our words."""
    paper: str
    """The paper's figure."""
    how: str
    """What is measured."""
    judge: Judge
    why: str
    """What differs, and why."""
    inputs: str
    """Input files or command that make the numbers."""

    def finding(self, results: Results) -> Finding:
        """The verdict on results; what was not run cannot be judged."""
        try:
            return self.judge(results)
        except MissingFact:
            return Finding(UNTESTABLE, "not run")


def count(findings: Sequence[Finding]) -> str:
    """``12 reproduced, 3 partly, …``."""
    return ", ".join(f"{sum(one.verdict == verdict for one in findings)} {verdict}" for verdict in VERDICTS)
