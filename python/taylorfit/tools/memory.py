"""How much memory this process has, and how much more it may take."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_NO_LIMIT = 1 << 62
"""cgroup v1 writes about 2^63 where there is no limit."""


@dataclass(frozen=True)
class Available:
    """Memory that can still be taken."""

    n_bytes: int
    limit: str
    """What limits it, in words."""
    is_address_space: bool = False
    """Is it a limit on addresses, for which files that are mapped count, too?"""


def resident_memory() -> int:
    """Return the bytes of memory that this process has; 0 where that is not known."""
    return _statm(1)


def available_memory(proc: Path = PROC) -> Available | None:
    """Return how much more memory may be taken: what the tightest limit leaves; None where nothing is known.

    Looks at the memory of the machine (MemAvailable), the limits of the cgroups this process is in (version 1 and 2;
    their cached files count as free), and the limit on addresses (RLIMIT_AS, ``ulimit -v``).
    """
    return min(_limits(proc), key=lambda one: one.n_bytes, default=None)


def _limits(proc: Path) -> Iterator[Available]:
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in (proc / "meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
        yield Available(int(line.split()[1]) * 1024, "that is what the machine has left")
    for folder, names in _cgroups(proc):
        with suppress(OSError, ValueError):
            yield Available(_left_of_cgroup(folder, names), f"that is what the limit of {folder / names[0]} leaves")
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield Available(max(0, soft - _statm(0)), "that is what the limit on addresses (ulimit -v) leaves", True)


def _statm(column: int) -> int:
    """Bytes of addresses (0) or of memory (1) of this process."""
    with suppress(OSError, ValueError, IndexError):
        return int((PROC / "self/statm").read_text().split()[column]) * resource.getpagesize()
    return 0


_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file", "active_file")


def _cgroups(proc: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Folders of the cgroups that this process is in, with the names of their files, from the innermost outwards."""
    with suppress(OSError):
        own = [line.split(":", 2) for line in (proc / "self/cgroup").read_text().splitlines()]
        mounts = [line.split() for line in (proc / "self/mountinfo").read_text().splitlines()]
        for _, controllers, path in own:
            names = _VERSION_1 if controllers else _VERSION_2
            if controllers and "memory" not in controllers.split(","):
                continue
            for mount in mounts:
                kind, options = mount[mount.index("-") + 1], mount[-1].split(",")
                if kind != ("cgroup" if controllers else "cgroup2") or (controllers and "memory" not in options):
                    continue
                root, top = mount[3], Path(mount[4])
                # In a container the cgroup it is in may be mounted as the root
                inside = path.removeprefix(root) if root != "/" else path
                folder = top / inside.lstrip("/")
                for place in (folder, *folder.parents):
                    if place == top.parent:
                        break
                    if (place / names[0]).exists():
                        yield place, names


def _left_of_cgroup(folder: Path, names: tuple[str, ...]) -> int:
    """Bytes that the limit of a cgroup leaves; a ValueError where there is none."""
    limit = int((folder / names[0]).read_text())
    if limit >= _NO_LIMIT:
        raise ValueError
    used = int((folder / names[1]).read_text())
    counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    cached = sum(int(counts.get(name, 0)) for name in names[2:])
    return max(0, limit - max(0, used - cached))
