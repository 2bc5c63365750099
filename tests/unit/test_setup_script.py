"""`.ci/setup` where apt is busy, as it is on fresh machines; apt, the compiler and Python are stand-ins."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / ".ci/setup"
BUSY = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 123 (unattended-upgr)"
LISTS = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 123 (apt-get)"


def set_up(folder: Path, apt: str) -> subprocess.CompletedProcess[str]:
    """Run it with a program `apt-get` of these lines, where $N counts its calls and `works` installs a compiler."""
    bin_, venv = folder / "bin", folder / "venv"
    works = f"works() {{ printf '#!/bin/sh\\n' > {bin_}/fortran; chmod +x {bin_}/fortran; }}"
    count = (
        f'N=$(cat {folder}/n 2>/dev/null || echo 0); N=$((N + 1)); echo $N > {folder}/n; echo "$*" >> {folder}/calls'
    )
    for path, text in (
        (bin_ / "apt-get", f"{works}\n{count}\n{apt}"),
        (bin_ / "id", "echo 0"),
        (bin_ / "cc", "exit 0"),
        (venv / "bin/python", "exit 0"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    own = {"PATH": f"{bin_}:{os.environ['PATH']}", "FC": str(bin_ / "fortran"), "APT_SLEEP": "0", "APT_TRIES": "3"}
    return subprocess.run([SETUP, venv], env={**os.environ, **own}, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(not SETUP.exists(), reason="needs the sources")
@pytest.mark.parametrize("busy", [BUSY, LISTS])
def test_a_busy_apt_is_waited_for(tmp_path: Path, busy: str) -> None:
    result = set_up(tmp_path, f'[ $N -gt 2 ] && {{ works; exit 0; }}\necho "{busy}" >&2\nexit 100')
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("waiting for it ...") == 1 and not result.stderr
    assert (tmp_path / "calls").read_text().count("install -y gfortran") == 3


@pytest.mark.skipif(not SETUP.exists(), reason="needs the sources")
def test_other_failures_of_apt_are_told_at_once_and_waiting_ends(tmp_path: Path) -> None:
    result = set_up(tmp_path / "other", 'echo "E: Unable to locate package gfortran" >&2\nexit 100')
    assert result.returncode == 1 and "Unable to locate" in result.stderr and "gfortran (with gcc)" in result.stderr
    assert "waiting" not in result.stdout and (tmp_path / "other/n").read_text() == "3\n"
    result = set_up(tmp_path / "busy", f'echo "{BUSY}" >&2\nexit 100')
    assert result.returncode == 1 and "Could not get lock" in result.stderr


@pytest.mark.skipif(not SETUP.exists(), reason="needs the sources")
def test_old_lists_are_renewed(tmp_path: Path) -> None:
    result = set_up(tmp_path, '[ $N -lt 3 ] || works\n[ $N -ne 1 ] || { echo "E: 404" >&2; exit 100; }')
    assert result.returncode == 0 and not result.stderr
    assert [line.split()[-2] for line in (tmp_path / "calls").read_text().splitlines()] == ["-y", "-qq", "-y"]
