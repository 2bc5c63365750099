"""Renew what the manual's pages about the studies take from results.

python python/studies/write_pages.py                   # tables of the pages, from python/studies/results/*.json
python python/studies/write_pages.py --publish FOLDER  # before that: results and figures of a study's folder

A page says where a table stands by ``<!-- claims lmnto -->``; everything up to ``<!-- end -->`` is written anew.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from PIL import Image

from beyond import beyond_table, designs_table, drawings, future_table, precision_table, rules_table, torch_table
from claims import CLAIMS, DISCUSSION, FUTURE_WORK, combined
from drawings import FIGURES, PICTURE_COLOURS
from facts import Cell, Results, Training
from judges import VERDICTS
from measure import OF_DYNAMICS
from results import RESULTS_FILE
from scan_pictures import scan_pictures
from tables import claims_table, copies_table, networks_table, thresholds_table
from taylorfit.errors import InputError
from taylorfit.plotting import style
from taylorfit.plotting.style import DPI
from taylorfit.tools.atomic_write import atomic_write
from taylorfit.tools.tables import Table

RESULTS = Path(__file__).parent / "results"
PAGES = Path(__file__).parents[1] / "docs" / "pages" / "studies"
PICTURES = PAGES.parent / "pictures" / "studies"
MARKED = re.compile(r"(<!-- (\w+)(?: ([\w-]+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def all_results() -> dict[str, Results]:
    """Study → its committed results; with them those that the discussion is judged by."""
    found = {path.stem: Results.load(path) for path in sorted(RESULTS.glob("*.json"))}
    return found | {DISCUSSION: combined(found)}


def markdown(table: Table) -> str:
    """A table of the manual."""
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def renewed(page: str, results: Mapping[str, Results]) -> str:
    """The text of a page with its tables written anew."""

    def table(found: re.Match[str]) -> str:
        return f"{found[1]}\n{MAKERS[found[2]](results, found[3])}\n\n{found[4]}"

    return MARKED.sub(table, page)


def _of(results: Mapping[str, Results], study: str) -> Results:
    return results.get(study, Results(study))


def _claims(results: Mapping[str, Results], study: str) -> str:
    return markdown(claims_table(_of(results, study)))


def _thresholds(_: Mapping[str, Results], study: str) -> str:
    return markdown(thresholds_table(study))


def _provenance(results: Mapping[str, Results], study: str) -> str:
    """Number of trainings, processor, commit and date of each run that they are from."""
    found = _of(results, study)
    runs: dict[tuple[str, ...], int] = {}
    for row in found.trainings:
        run = tuple(str(row.get(name) or found.provenance.get(name, "")) for name in ORIGIN)
        runs[run] = runs.get(run, 0) + 1
    if not runs:
        return _run_words(*(found.provenance.get(name, "") for name in ORIGIN))
    return "  \n".join(f"{n} training{'s' if n > 1 else ''}: {_run_words(*run)}" for run, n in runs.items())


ORIGIN = ("processor", "commit", "date")
"""Of a training; those of the results where it has none of its own."""


def _run_words(processor: str, commit: str, date: str) -> str:
    return f"{processor}, one thread each; commit {commit}, {date}."


def counts(results: Mapping[str, Results]) -> dict[str, dict[str, int]]:
    """Study → verdict → number of claims."""
    numbers: dict[str, dict[str, int]] = {}
    for claim in CLAIMS:
        verdict = claim.finding(_of(results, claim.study)).verdict
        own = numbers.setdefault(claim.study, dict.fromkeys(VERDICTS, 0))
        own[verdict] += 1
    return numbers


def _count(results: Mapping[str, Results], _: str | None) -> str:
    numbers = counts(results)
    lines = [
        (study, *(str(own[verdict]) for verdict in VERDICTS), str(sum(own.values()))) for study, own in numbers.items()
    ]
    total = [sum(own[verdict] for own in numbers.values()) for verdict in VERDICTS]
    lines.append(("**all**", *(f"**{number}**" for number in total), f"**{sum(total)}**"))
    return markdown(Table(("study", *VERDICTS, "claims"), tuple(lines)))


def _future(_: Mapping[str, Results], __: str | None) -> str:
    rows = tuple((one.item, one.here, one.what_came, one.command) for one in FUTURE_WORK)
    return markdown(Table(("proposed", "here", "what came of it", "command"), rows))


def _designs(results: Mapping[str, Results], _: str | None) -> str:
    return markdown(designs_table(_of(results, "designs")))


def _measured(table: Table) -> str:
    return markdown(table) if table.rows else "Not measured."


MAKERS: dict[str, Callable[[Mapping[str, Results], str], str]] = {
    "claims": _claims,
    "thresholds": _thresholds,
    "provenance": _provenance,
    "count": _count,
    "networks": lambda results, _: markdown(networks_table(results)),
    "copies": lambda results, study: markdown(copies_table(_of(results, study))),
    "future": _future,
    "beyond": lambda results, _: markdown(beyond_table(results)),
    "designs": _designs,
    "proposed": lambda results, _: _measured(future_table(_of(results, "future"))),
    "torch": lambda results, _: _measured(torch_table(_of(results, "torch"))),
    "precision": lambda results, _: markdown(precision_table(results)),
    "rules": lambda results, _: markdown(rules_table(results)),
}
"""Word in a page → what stands there."""


def publish(folder: Path, file: str) -> None:
    """Take results and pictures of a study's folder.

    Raises
    ------
    InputError
        if there are no results of a whole study.
    """
    if not (folder / file).exists():
        raise InputError("no results", file=folder / file, expected="the folder of a study after --full")
    results = Results.load(folder / file)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{results.study}.json"
    (with_earlier(results, Results.load(path)) if path.exists() else results).save(path)
    for picture in sorted((folder / FIGURES).glob("*.png")):
        if (name := f"{results.study}-{picture.name}") in _shown():
            _small_png(picture.read_bytes(), PICTURES / name)


def with_earlier(new: Results, old: Results) -> Results:
    """Results, and of earlier ones what they do not have; trainings of these say where they are from."""

    def identity(row: Training) -> tuple[Cell, ...]:
        return tuple(row.get(name) for name in COORDINATES)

    def known_cells(row: Training) -> dict[str, Cell]:
        return {name: cell for name, cell in row.items() if cell is not None}

    known = {identity(row) for row in new.trainings}
    origin: dict[str, Cell] = {name: old.provenance.get(name) for name in ORIGIN}
    kept = tuple(origin | known_cells(row) for row in old.trainings if identity(row) not in known)
    # Dynamics are of one run of the study: none of its facts stand beside earlier ones
    again = any(name.startswith("holds: ") for name in new.facts)
    facts = {name: fact for name, fact in old.facts.items() if not (again and name.partition(": ")[0] in OF_DYNAMICS)}
    return replace(new, trainings=(*new.trainings, *kept), facts={**facts, **new.facts})


COORDINATES = ("scan", "mode", "strategy", "network", "delta", "multiple", "beta", "structures", "seed")
"""Cells that say which training a row is."""


def _small_png(content: bytes, target: Path) -> None:
    """Write a picture with a palette, which makes it a third as large."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    small = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        image.convert("RGB").quantize(PICTURE_COLOURS).save(small, "PNG", optimize=True, dpi=(DPI, DPI))
    with atomic_write(target, "wb") as stream:
        stream.write(small.getvalue())


def _shown() -> set[str]:
    """Names of the pictures that the pages show."""
    return {
        name for page in PAGES.glob("*.md") for name in re.findall(r"pictures/studies/([\w-]+\.png)", page.read_text())
    }


def main(argv: list[str] | None = None) -> int:
    """Write all pages."""
    parser = argparse.ArgumentParser(description="Renew the tables of the manual's pages about the studies.")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", action="append", default=[], help="of a study")
    parser.add_argument("--results", metavar="FILE", default=RESULTS_FILE.format("full"), help="there (%(default)s)")
    arguments = parser.parse_args(argv)
    for folder in arguments.publish:
        publish(folder, arguments.results)
    results = all_results()
    for name, figure in (scan_pictures(results) | drawings(results)).items():
        _small_png(style.png_bytes(figure, DPI), PICTURES / f"{name}.png")
    for page in sorted(PAGES.glob("*.md")):
        text = renewed(page.read_text(encoding="utf-8"), results)
        with atomic_write(page) as stream:
            stream.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
