"""The commands of the tutorial: they parse, and name files that are there or made before."""

from __future__ import annotations

import glob
import os
import re
import shlex
from pathlib import Path

import pytest

from taylorfit import cli
from taylorfit.examples import EXAMPLES, copy_example
from taylorfit.formats.md_input import read_md_input
from taylorfit.formats.scan_input import read_scan_input

TEXT = (Path(__file__).parents[2] / "python/taylorfit/examples/water_cluster/TUTORIAL.md").read_text(encoding="utf-8")
MADE = re.compile(r"\.(json|npz|out|png|html|csv|extxyz|train|geometry|nn)$|^predict-")


def commands() -> list[list[str]]:
    """All commands of taylorfit, words split as a shell does; loops over the trainings written out."""
    found = []
    for line in re.findall(r"^ {4,}(?:python -m taylorfit )(.+)$", TEXT, re.MULTILINE):
        line = line.split(" && ")[0]
        for m in ("energy", "centred", "exact") if "$m" in line else ("",):
            words = shlex.split(line.replace("$m", m))
            found.append(words[:words.index(">")] if ">" in words else words)
    return found


def test_there_are_commands() -> None:
    assert {words[0] for words in commands()} >= {
        "example", "convert", "info", "setup", "suggest", "generate", "train", "predict", "plot", "report", "scan", "md"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_parses(words: list[str]) -> None:
    cli._parser(words).parse_args(words)


def test_input_files_are_in_the_example_or_in_the_text(tmp_path: Path) -> None:
    copy_example("water-cluster", tmp_path)
    written = {"scan.in", "md.in"}
    for words in commands():
        for word in words[1:]:
            if "." in word and not word.startswith("-") and not MADE.search(word) and word not in written and "=" not in word:
                assert glob.glob(os.path.join(tmp_path, word)), (words, word)
    assert set(re.findall(r"train-\w+\.in", TEXT)) - {"train-scan.in"} <= set(EXAMPLES["water-cluster"].input_files)


def block(first: str) -> str:
    """The indented text that begins with a line."""
    lines = TEXT[TEXT.index(f"    {first}\n"):].splitlines()
    end = next(n for n, line in enumerate(lines) if line.startswith("    python -m"))
    return "\n".join(line[4:] for line in lines[:end]) + "\n"


def test_input_files_in_the_text_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "scan.in").write_text(block("GENERATE generate.in"))
    assert [axis.name for axis in read_scan_input(tmp_path / "scan.in").axes] == ["mode", "delta", "fraction", "seeds"]
    (tmp_path / "md.in").write_text(block("STRUCTURE validation/300a_*.xsf"))
    assert [label for label, _ in read_md_input(tmp_path / "md.in").potentials] == ["energy", "centred", "exact"]
