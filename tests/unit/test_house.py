"""The rules of the house, as CONTRIBUTING states them: where code lies and what imports what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "python/taylorfit"

MAX_FILE, MAX_FUNCTION = 500, 100
"""Lines."""


@cache
def trees(folder: Path) -> dict[Path, ast.Module]:
    """All sources under a folder, except what the build generates."""
    return {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
        if path.name != "_engine.py"
    }


def imported(path: Path, tree: ast.AST) -> Iterator[str]:
    """Full names of the modules that a module of the package imports, in functions too, but not for types alone."""
    package = ("taylorfit", *path.parent.relative_to(PACKAGE).parts)
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*start, *filter(None, [node.module])))
            # `from . import name` may import a module
            yield from ([module] if node.module else [f"{module}.{name.name}" for name in node.names])
        else:
            yield from imported(path, node)


def room(module: str) -> str:
    """`formats` of `taylorfit.formats.aenet.records`; empty for the modules of the package's root."""
    parts = module.split(".")
    return parts[1] if parts[0] == "taylorfit" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second."""
    found = set()
    for path, tree in trees(PACKAGE).items():
        own = path.relative_to(PACKAGE).parts[0] if path.parent != PACKAGE else ""
        # `load`, `save`, `from_ase` and `to_ase` of the nouns call the formats, which know them
        if own == "model":
            tree = ast.Module([node for node in tree.body if not isinstance(node, ast.ClassDef)], [])
        found |= {(own, room(module)) for module in imported(path, tree)}
    return frozenset((a, b) for a, b in found if a and b and a != b)


def test_the_root_of_the_package_holds_three_modules_and_rooms() -> None:
    generated = {"_engine.py", "_libs"}
    files = {path.name for path in PACKAGE.iterdir() if path.suffix != ".so"} - generated - {"__pycache__"}
    allowed = {"__init__.py", "__init__.pyi", "__main__.py", "errors.py", "py.typed"}
    assert {name for name in files if not (PACKAGE / name).is_dir()} == allowed
    assert all((PACKAGE / name / "__init__.py").exists() for name in files - allowed)


def test_rooms_import_each_other_without_a_circle() -> None:
    left = arrows()
    # Rooms that import nothing, or only what has gone, go as well, until only circles are left
    while ends := {b for _, b in left} - {a for a, _ in left}:
        left = frozenset((a, b) for a, b in left if b not in ends)
    assert not left


def test_only_commands_show_results() -> None:
    shown = {"md", "plotting", "reporting"}
    assert {a for a, b in arrows() if b in shown and a not in shown} == {"commands"}


def test_nothing_imports_the_commands_but_the_way_in() -> None:
    users = {path for path, tree in trees(PACKAGE).items() if "commands" in map(room, imported(path, tree))}
    assert {path for path in users if path.parts[len(PACKAGE.parts)] != "commands"} == {PACKAGE / "__main__.py"}


def test_verbs_do_not_print_parse_exit_catch_signals_or_change_directory() -> None:
    unwanted = {
        "print",
        "sys.exit",
        "exit",
        "os.chdir",
        "signal.signal",
        "argparse.ArgumentParser",
        "deferred_interrupt",
    }
    rooms = (
        "data",
        "engine",
        "formats",
        "generation",
        "model",
        "potential",
        "settings",
        "taylor",
        "training",
        "analysis",
        "learning",
    )
    calls = {
        (path.relative_to(PACKAGE).as_posix(), ast.unparse(node.func))
        for where in rooms
        for path, tree in trees(PACKAGE / where).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    assert len(calls) > 1000
    assert not {call for call in calls if call[1] in unwanted}


@pytest.mark.parametrize(
    ("where", "unwanted"),
    [
        ("model", ("taylorfit.engine", "ase", "matplotlib")),
        ("settings", ("taylorfit.engine", "ase", "matplotlib", "numpy")),
        ("formats", ("taylorfit.engine", "ase.calculators", "matplotlib")),
    ],
)
def test_reading_input_loads_nothing_large(where: str, unwanted: tuple[str, ...]) -> None:
    modules = [path.relative_to(PACKAGE.parent).with_suffix("") for path in trees(PACKAGE / where)]
    names = [".".join(module.parts).removesuffix(".__init__") for module in modules]
    assert len(names) > 3
    # An editable install looks for changed sources at import, which takes modules of its own, but none of these
    program = f"import sys, {', '.join(names)}; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def sources() -> dict[str, ast.Module]:
    """Sources of the package, the studies and the tests by their paths in the repository."""
    folders = (REPOSITORY / "python", REPOSITORY / "tests")
    found = {path: tree for folder in folders for path, tree in trees(folder).items()}
    return {path.relative_to(REPOSITORY).as_posix(): tree for path, tree in found.items()}


def test_no_file_is_too_long() -> None:
    long = {path for path in sources() if (REPOSITORY / path).read_text(encoding="utf-8").count("\n") > MAX_FILE}
    assert not long


def length(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    documented = ast.get_docstring(function) is not None
    return (function.end_lineno or 0) - ((function.body[0].end_lineno or 0) if documented else function.lineno - 1)


def test_no_function_is_too_long() -> None:
    long = {
        f"{path}: {node.name}"
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and length(node) > MAX_FUNCTION
    }
    assert not long


FORTRAN_START = re.compile(r"(?:[a-z0-9_]+(?:\([^()]*\))? +)*(?:subroutine|function) +\w+", re.IGNORECASE)
FORTRAN_END = re.compile(r"end +(?:subroutine|function)\b", re.IGNORECASE)


def test_no_procedure_of_the_engine_is_too_long() -> None:
    found: dict[str, int] = {}
    for path in (REPOSITORY / "fortran").rglob("*.[fF]90"):
        starts: list[tuple[str, int]] = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            if FORTRAN_END.match(line.strip()):
                start, first = starts.pop()
                found[f"{path.name}: {start}"] = number + 1 - first
            elif FORTRAN_START.match(line.strip()):
                starts.append((line.strip(), number))
        assert not starts, path
    assert len(found) > 200
    assert {start for start, lines in found.items() if lines > MAX_FUNCTION} == set()
