"""README and manual: commands in them parse, input files can be read, Python compiles with names that are there."""

from __future__ import annotations

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

import taylorfit
from taylorfit.commands import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "python/docs/pages").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INPUTS = {"TRAININGSET": "train", "STRUCTURE": "md", "GENERATE": "scan", "START": "learn"}
"""First word of an input file that stands in full → its command."""


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, text)
        for page in PAGES
        for found, text in BLOCK.findall(page.read_text(encoding="utf-8"))
        if found == language
    ]


COMMANDS = [
    (page, words[1:])
    for page, text in blocks("sh")
    for line in re.split(r"\n|&&", text)
    if (words := shlex.split(line.partition(" > ")[0], comments=True))[:1] == ["taylorfit"]
    and not any("…" in word or word == "$m.npz" for word in words)
]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: value if isinstance(value, str) else None)
def test_a_command_parses(page: str, words: list[str]) -> None:
    if "--help" not in words:
        cli._parser(words).parse_args(words)


def test_input_files_can_be_read(tmp_path: Path) -> None:
    read = set()
    for page, text in blocks(""):
        command = INPUTS.get(text.split()[0])
        if command is not None:
            (tmp_path / page).write_text(text, encoding="utf-8")
            getattr(import_module(f"taylorfit.settings.{command}"), f"{command.capitalize()}Input").read(
                tmp_path / page
            )
            read.add(command)
    assert read == set(INPUTS.values())


def test_python_compiles_and_its_names_are_there() -> None:
    for page, text in blocks("python"):
        for node in ast.walk(ast.parse(text, page)):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module == "taylorfit":
                names = [alias.name for alias in node.names]
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tfit":
                names = [node.attr]
            for name in names:
                assert hasattr(taylorfit, name), (page, name)


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", PAGES[0].read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_files_that_the_developers_guide_names_are_there() -> None:
    text = (ROOT / "python/docs/pages/developers.md").read_text(encoding="utf-8")
    named = {path for path in re.findall(r"`(\w+/[\w./]*\w\.\w+)`", text) if "NAME" not in path}
    roots = [ROOT, ROOT / "python", ROOT / "python/taylorfit", ROOT / "fortran"]
    assert named
    assert not [path for path in named if not any((root / path).is_file() for root in roots)]
