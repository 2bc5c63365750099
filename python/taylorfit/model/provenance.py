"""Names of displaced copies: the parent, the strategy, the index and the displacement in one string.

``xsf/a.xsf#taylor:random:0003:0.008`` is copy 3 (from 0) of ``xsf/a.xsf``, made with `random`
displacements of at most 0.008 Å; ``xsf/a.xsf#taylor:cartesian:0003:0.03:17-y`` moves atom 17 (from 1)
by 0.03 Å along -y.  ``…#taylor:random:0003:0.008:w0.62`` counts 0.62 in training (`weights=truncation`);
a name without a weight means 1.  The displacement of a strained copy (`strain`) is its largest strain, without
unit.  The parent's own name may hold anything, `#` included (``traj.xyz#12``), because
names are read from the right.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ..errors import InputError

STRAIN = "strain"
"""Strategy whose copies are strained, not displaced."""
MAX_LENGTH = 999
"""Longest name; ænet reads names into buffers of 1024 characters."""

_STRATEGY = re.compile(r"[a-z][a-z0-9_-]*")
_SITE = re.compile(r"[1-9][0-9]*[+-][xyz]")
_NAME = re.compile(
    rf"(?P<parent>.+)#taylor:(?P<strategy>{_STRATEGY.pattern}):(?P<index>[0-9]{{4,}}):"
    rf"(?P<delta>[0-9.e+-]+)(?::(?P<site>{_SITE.pattern}))?(?::w(?P<weight>[0-9.e+-]+))?",
    re.ASCII,
)
# '%' starts an escape and must be escaped itself; a blank would end the name in blank-separated tables.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


@dataclass(frozen=True)
class Provenance:
    """Where a displaced copy comes from."""

    parent: str
    """Name of the parent structure."""
    strategy: str
    """Name of the displacement strategy."""
    index: int
    """Number of the copy among those of its parent, from 0."""
    delta: float
    """Largest displacement an atom of this copy can have, Å; largest strain of a strained copy."""
    site: str = ""
    """For one moved atom: its number (from 1), sign and axis, as in ``17-y``."""
    weight: float = 1.0
    """Weight of the copy in training, > 0."""

    @property
    def is_strained(self) -> bool:
        """Whether the cell of the copy is another one than its parent's, so that positions tell no displacement."""
        return self.strategy == STRAIN


def copy_name(parent: str, strategy: str, index: int, delta: float, site: str = "", weight: float = 1.0) -> str:
    """Return the name of a displaced copy, the inverse of `parse_copy_name`.

    Parameters
    ----------
    parent
        Name of the parent structure; characters other than printable ASCII, blanks and `%` appear as
        ``%XX`` (bytes of UTF-8).
    strategy
        Name of the strategy: lower case, digits, `_` and `-`.
    index
        Number of the copy, from 0.
    delta
        Largest displacement, Å; written so that it is read back exactly.
    site
        The moved atom, if it is one (see `Provenance.site`).
    weight
        Weight in training; written with four significant digits, and not at all if that is 1.

    Raises
    ------
    InputError
        if an argument cannot be expressed or the name gets longer than `MAX_LENGTH`.
    """
    if not parent:
        raise InputError("the parent of a displaced copy has no name")
    if not _STRATEGY.fullmatch(strategy):
        raise InputError("impossible name of a strategy", value=strategy, expected="lower-case letters")
    if index < 0:
        raise InputError("impossible number of a copy", value=index, expected="an integer from 0")
    if not (math.isfinite(delta) and delta >= 0.0):
        raise InputError("impossible displacement", value=delta, expected="a length >= 0 in Å")
    if site and not _SITE.fullmatch(site):
        raise InputError("impossible site of a displacement", value=site, expected="as in 17-y")
    shown = f"{weight:.4g}"
    if not (0.0 < float(shown) < math.inf):
        raise InputError("impossible weight of a displaced copy", value=weight, expected="a number > 0")
    name = f"{_escaped(parent)}#taylor:{strategy}:{index:04d}:{float(delta)!r}" + (f":{site}" if site else "")
    name += "" if float(shown) == 1.0 else f":w{shown}"
    if len(name) > MAX_LENGTH:
        raise InputError(
            "the name of a displaced copy gets too long",
            file=parent[:40] + "...",
            value=len(name),
            expected=f"at most {MAX_LENGTH} characters: use shorter paths",
        )
    return name


@lru_cache
def _escaped(parent: str) -> str:
    """The name of a parent as copies have it; it has many of them, one after the other."""
    return quote_from_bytes(parent.encode("utf-8", "surrogateescape"), safe=_PLAIN)


def parse_copy_name(name: str) -> Provenance | None:
    """Return the provenance that `name` states, or None if it is not the name of a copy."""
    found = _NAME.fullmatch(name.rstrip(" "))
    if found is None:
        return None
    try:
        delta, weight = float(found["delta"]), float(found["weight"] or 1.0)
    except ValueError:
        return None
    if not weight > 0.0:
        return None
    parent = unquote_to_bytes(found["parent"]).decode("utf-8", "surrogateescape")
    return Provenance(parent, found["strategy"], int(found["index"]), delta, found["site"] or "", weight)
