"""Commands on damaged archives and tables."""

from __future__ import annotations

from pathlib import Path

import fuzz_commands


def test_damaged_files_are_used_or_refused_in_one_line(tmp_path: Path) -> None:
    """More of it: python tests/fuzz_commands.py."""
    found = fuzz_commands.fuzz(tmp_path, 6, 11)
    assert {what for counts in found.values() for what in counts} <= {"done", "refused"}
    assert all(counts["refused"] for counts in found.values())
