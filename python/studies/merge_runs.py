"""Take what runs of spread.py have made: as the studies' own steps would have left it, and onto the manual's pages.

python python/studies/merge_runs.py FOLDER OUT [OUT ...]                 # results of runs to the folders of the studies
python python/studies/merge_runs.py FOLDER OUT --data DATA --publish     # then figures, results and pages of the manual

OUT is that of spread.py, also of a run that has not ended, of which it is read what there is; then OUT must lie in the
folder of the run.  What FOLDER has from other runs stays, so that the best seed is that of all.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import bulk_water
import lmnto
import tio2
import water_cluster
import write_pages
from measure import MEASURED, TIMES
from results import provenance
from study import Study
from study import main as run_study
from taylorfit.analysis.scan_groups import point_folder
from taylorfit.formats.csv_table import read_table, write_table
from taylorfit.formats.scan_table import FORCE_NORM, KEY, Row, read_scan_table, write_scan_table
from taylorfit.formats.structures.files import expand_patterns, read_structures
from taylorfit.tools.atomic_write import atomic_write

STUDIES: dict[str, Study] = {one.STUDY.name: one.STUDY for one in (lmnto, bulk_water, water_cluster, tio2)}
DATA = {"lmnto": "lmnto", "bulk-water": "bulk-water", "water-cluster": "water-cluster", "tio2": "tio2"}
"""Study → its folder in what --data names."""
ARCHIVE = "spread.tar.xz"
"""Of a run that has ended, in place of its files."""


def place_studies(folder: Path, data: Path, names: Sequence[str]) -> dict[str, float]:
    """Input files and structures in a folder for each study; the mean number of atoms of each."""
    atoms = {}
    here = Path.cwd()
    for name in dict.fromkeys(names):
        STUDIES[name].copy_inputs(folder / name)
        os.chdir(folder / name)
        STUDIES[name].place(data / DATA[name])
        paths = expand_patterns(["xsf/*.xsf"])
        some = [s for path in paths[:: max(1, len(paths) // 40)] for s in read_structures(path)]
        atoms[name] = sum(len(s.symbols) for s in some) / len(some)
        os.chdir(here)
    return atoms


# --- packing -----------------------------------------------------------------------------------


def archived(folder: Path, out: Path, said: Mapping[str, object]) -> bytes:
    """All results of a run in one archive, with the potentials of the best seed of each training."""
    found = [json.loads(path.read_text(encoding="utf-8")) | {"job": path.stem} for path in sorted(out.glob("*.json"))]
    best: dict[tuple[str, ...], tuple[float, Path]] = {}
    for one in found:
        for entry in one["rows"] if one["table"] != "single.csv" else ():
            row = entry["row"]
            cells = {name: cell for name, cell in row.items() if "_per_" not in name and name not in _OF_SEED}
            place = point_folder(folder / one["study"] / "spread" / one["job"] / "scan", row[KEY])
            group = (one["study"], one["table"], *cells.values())
            best[group] = min(best.get(group, (float("inf"), place)), (float(row[FORCE_NORM] or "inf"), place))
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as archive:
        for path in [*sorted(out.glob("*.json")), *sorted(out.glob("*.csv"))]:
            archive.add(path, path.name)
        for (study, *_), (_, place) in best.items():
            for file in sorted(place.glob("*.nn")):
                archive.add(file, f"potentials/{study}/{place.name}/{file.name}")
        text = json.dumps(said).encode()
        entry = tarfile.TarInfo("run.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return content.getvalue()


def pack(folder: Path, out: Path, said: Mapping[str, object]) -> None:
    """Put the archive in place of the files of a run that has ended."""
    with atomic_write(out / ARCHIVE, "wb") as stream:
        stream.write(archived(folder, out, said))
    for path in [*out.glob("*.json"), *out.glob("*.csv")]:
        path.unlink()
    logs = sorted(out.glob("*.log"))
    with atomic_write(out / "log.txt") as stream:
        for path in logs:
            if tail := path.read_text(encoding="utf-8", errors="replace").strip():
                stream.write(f"{path.stem}: {tail[-300:]}\n")
    for path in logs:
        path.unlink()


_OF_SEED = ("label", "seed", "epochs", "best_epoch", "seconds", KEY)
"""Columns that differ between the seeds of a training."""


# --- merging -----------------------------------------------------------------------------------


def merge(folder: Path, out: Path, commit: str | None) -> dict[str, int]:
    """Put the results of a run where the studies' own steps put theirs; return study → number of trainings.

    Parameters
    ----------
    commit
        where the run could not know it
    """
    numbers: dict[str, int] = {}
    packed = out / ARCHIVE
    whole = packed.read_bytes() if packed.exists() else archived(out.parent, out, provenance("full"))
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        content = {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}  # type: ignore[union-attr]
    said = json.loads(content.pop("run.json"))
    origin = {"processor": said["processor"], "commit": commit or said["commit"], "date": said["date"]}
    tables: dict[tuple[str, str], list[Row]] = {}
    for name in [name for name in content if name.endswith(".json")]:
        found = json.loads(content[name])
        if "times" in found:
            with atomic_write(folder / found["study"] / TIMES) as stream:
                json.dump(found["times"], stream)
        for entry in found["rows"]:
            row = entry["row"]
            tables.setdefault((found["study"], found["table"]), []).append(row)
            place = point_folder(folder / found["study"] / "scan", row[KEY])
            place.mkdir(parents=True, exist_ok=True)
            with atomic_write(place / MEASURED) as stream:
                json.dump(entry["cells"] | origin, stream)
        numbers[found["study"]] = numbers.get(found["study"], 0) + len(found["rows"])
    for (study, table), rows in tables.items():
        path = folder / study / table
        new = {row[KEY] for row in rows}
        write_scan_table(path, [*(row for row in read_scan_table(path) if row[KEY] not in new), *rows])
    for name in [name for name in content if name.startswith("potentials/")]:
        _, study, key, file = name.split("/")
        with atomic_write(point_folder(folder / study / "scan", key) / file, "wb") as stream:
            stream.write(content[name])
    _merge_dynamics(folder, {name: text for name, text in content.items() if name.endswith(".csv")})
    return numbers


def _merge_dynamics(folder: Path, files: Mapping[str, bytes]) -> None:
    """Tables of single runs to the table of all, which keeps the other potentials that it has."""
    parts: dict[Path, dict[str, bytes]] = {}
    for name in sorted(files):
        study, output, label, *ending = name.split(".")
        parts.setdefault(folder / study / ".".join([output, *ending]), {})[label] = files[name]
    for path, texts in parts.items():
        rows: list[dict[str, str]] = []
        if path.exists():
            rows += [row for row in _rows(path) if row["potential"] not in texts]
        own = path.parent / f".{path.name}"
        for text in texts.values():
            # A run that breaks down at once has a table without rows
            if text.strip().count(b"\n"):
                own.write_bytes(text)
                rows += _rows(own)
                own.unlink()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        if rows:
            write_table(path, columns, [[row.get(key, "") for key in columns] for row in rows])


def _rows(path: Path) -> list[dict[str, str]]:
    table = read_table(path)
    return [dict(zip(table.columns, cells)) for cells in zip(*table.columns.values())]


# --- publishing --------------------------------------------------------------------------------


def publish(folder: Path, names: Iterable[str]) -> int:
    """Make results and figures of studies in the folder, and the manual's pages from them; return the exit code."""
    here = Path.cwd()
    for name in names:
        code = run_study(STUDIES[name], "", [str(folder / name), "--full", "--results-only"])
        os.chdir(here)
        if code:
            return code
    return write_pages.main([word for name in names for word in ("--publish", str(folder / name))])


def main(argv: Sequence[str] | None = None) -> int:
    """Merge, and publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the folders of the studies")
    parser.add_argument("out", type=Path, metavar="OUT", nargs="+", help="results of runs of spread.py")
    parser.add_argument("--commit", help="of the program, where a run could not know it")
    parser.add_argument("--data", type=Path, metavar="DATA", help="structures, unless FOLDER has them: see spread.py")
    parser.add_argument("--publish", action="store_true", help="write figures, results and pages of the manual, too")
    arguments = parser.parse_args(argv)
    merged: dict[str, int] = {}
    for out in arguments.out:
        for name, n in merge(arguments.folder, out, arguments.commit).items():
            merged[name] = merged.get(name, 0) + n
    print(*(f"{name}: {n} trainings" for name, n in merged.items()), sep="\n", flush=True)
    if arguments.data is not None:
        place_studies(arguments.folder, arguments.data.resolve(), list(merged))
    return publish(arguments.folder, merged) if arguments.publish else 0


if __name__ == "__main__":
    sys.exit(main())
