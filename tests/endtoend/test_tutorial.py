"""The tutorial as a user follows it: every line of its shell blocks, on fewer structures and with fewer epochs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from taylorfit.commands import cli

pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")

TEXT = (Path(__file__).parents[2] / "python/taylorfit/examples/water_cluster/TUTORIAL.md").read_text(encoding="utf-8")
SCRIPT = "".join(re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
PICTURES = re.findall(r"-o (\S+\.png)", SCRIPT)

SMALLER = (
    ("cd tutorial", "cd tutorial; rm xsf/*[1-9]?fs.xsf validation/*[1-9]?fs.xsf; sed -i s/=22/=2/ generate.in"),
    ("ITERATIONS 300", "ITERATIONS 5"),
    ("ITERATIONS 1000", "ITERATIONS 8"),
    ("ITERATIONS 100", "ITERATIONS 3"),
    ("EQUILIBRATION 400", "EQUILIBRATION 4"),
    ("STEPS 4000", "STEPS 8"),
    ("SAMPLE 20", "SAMPLE 2"),
    ("STARTS 10", "STARTS 2"),
)
"""What makes it short."""


def test_every_command_occurs() -> None:
    # Those with pages of their own, which need LAMMPS or a reference calculator
    others = {"lammps", "label", "learn", "select"}
    assert set(re.findall(r"^ *taylorfit (\w+)", SCRIPT, re.MULTILINE)) == set(cli.COMMANDS) - others


def test_commands_run_in_the_order_of_the_text(tmp_path: Path) -> None:
    script = SCRIPT
    for long, short in SMALLER:
        assert long in script, long
        script = script.replace(long, short)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in (("taylorfit", "-m taylorfit"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / "tutorial"
    for picture in PICTURES:
        assert (folder / picture).read_bytes().startswith(b"\x89PNG"), picture
    # The last training went on from the epochs before
    assert [row["epoch"] for row in json.loads((folder / "exact.json").read_text())["epochs"]][-3:] == [6, 7, 8]
    assert {"report.html", "predict-exact.out", "scan.csv", "md.steps.csv", "committee"} <= set(os.listdir(folder))
    assert list((folder / "repulsive").iterdir())
    assert re.search(r"^2\.0: -\d+\.\d+ ± \d+\.\d+ eV, forces ± ", done.stdout, re.MULTILINE)


def test_pictures_are_said_what_to_see_in() -> None:
    assert PICTURES
    assert all(re.search(rf"^(- )?{re.escape(picture)}[:, ]", TEXT, re.MULTILINE) for picture in PICTURES)
