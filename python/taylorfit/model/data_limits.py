"""What a committee remembers of its data, by which structures unlike them are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DataLimits:
    """Of the structures that a committee was trained and tested on."""

    force_std: float | None = None
    """Standard deviation of a force over the members, eV/Å, that is rare among test structures; None without any."""
    shortest: Mapping[str, float] = field(default_factory=dict)
    """Shortest distance of each pair of species ("H-O"), Å."""

    @classmethod
    def common(cls, found: Sequence[DataLimits | None]) -> DataLimits:
        """What all members say together: the largest deviation and the shortest distances, of what all of them know."""
        known = [limits for limits in found if limits is not None]
        if len(known) < len(found) or not known:
            return cls()
        deviations = [limits.force_std for limits in known if limits.force_std is not None]
        pairs = set.intersection(*(set(limits.shortest) for limits in known))
        return cls(
            max(deviations) if len(deviations) == len(known) else None,
            {pair: min(limits.shortest[pair] for limits in known) for pair in sorted(pairs)},
        )
