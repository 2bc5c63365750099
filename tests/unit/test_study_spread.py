"""Trainings of studies spread over many cores: each of a plan once, the most wanted first, merged as their scans do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import merge_runs
import spread
import water_cluster
from facts import Fact, Results
from measure import MEASURED
from spread import Job
from taylorfit.analysis.scan_grid import points_of
from taylorfit.analysis.scan_groups import point_folder
from taylorfit.examples.copying import example_files
from taylorfit.formats.scan_table import FIXED, read_scan_table, write_scan_table
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.scan import ScanInput
from taylorfit.settings.train import TrainInput
from write_pages import with_earlier


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Input files of the clusters, and three structures."""
    water_cluster.STUDY.copy_inputs(tmp_path)
    for folder in ("xsf", "xsf-1000"):
        (tmp_path / folder).mkdir()
    structures = [item for item in example_files("water-cluster").items() if item[0].startswith("xsf/")]
    for name, text in structures[:3]:
        (tmp_path / name).write_bytes(text)
    (tmp_path / "xsf-1000" / "4.xsf").write_bytes(structures[3][1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_jobs_are_the_trainings_of_a_scan_each_once(study: Path) -> None:
    known: set[tuple[str, str, int]] = set()
    jobs = list(spread.jobs_of("water-cluster", "delta-full.in", (1, 2), "", 18.0, known))
    whole = ScanInput.read("delta-full.in")
    base, train = GenerateInput.read("generate.in"), TrainInput.read("train-grid.in")
    wanted = [point for point in points_of(whole, base, train, "delta-full.in") if point.settings.seed in (1, 2)]
    found = [point for job in jobs for point in points_of(job.narrowed(), base, train, "delta-full.in")]
    assert sorted(map(repr, found)) == sorted(map(repr, wanted)) and len(wanted) == 2 * (1 + 15 + 1)
    assert len({job.name for job in jobs}) == len(jobs) and all(job.cost > 0.0 for job in jobs)
    # What another line of the plan has is not done again; another training set is another training
    again = list(spread.jobs_of("water-cluster", "delta-full.in", (2, 3), "", 18.0, known))
    assert {seed for job in again for seed in job.seeds} == {3}
    assert list(spread.jobs_of("water-cluster", "delta-1000-full.in", (1,), "", 18.0, known))


def test_a_plan_names_input_files_that_are_there() -> None:
    inputs = Path(spread.__file__).parent / "inputs"
    for name, scan, seeds, md in (line for line in spread.read_plan(spread.PLAN) if line[1] != spread.TIMING):
        folder = inputs / name.replace("-", "_")
        axes = {axis.name: axis.values for axis in ScanInput.read(folder / scan).axes}
        assert set(seeds) <= set(axes["seeds"])
        assert not md or (folder / md).is_file()


def test_the_most_wanted_are_chosen_and_the_longest_begin() -> None:
    jobs = [Job("x", "s.in", (k,), (1,), "", cost) for k, cost in enumerate((10.0, 30.0, 50.0, 20.0))]
    assert [job.cost for job in spread.chosen(jobs, 65.0)] == [30.0, 20.0, 10.0]
    assert spread.chosen(jobs, 5.0) == []


def row(key: str, error: str, seed: str) -> dict[str, str]:
    """Of the table of a scan."""
    cells = dict.fromkeys(FIXED, "1") | {"mode": "energy", "strategy": "", "seed": seed, "key": key}
    return cells | {"force_error_norm_mean_eV_per_A": error, "label": "energy"}


def test_results_are_merged_into_the_tables_of_the_study(tmp_path: Path) -> None:
    folder, out = tmp_path / "work", tmp_path / "work" / "out"
    out.mkdir(parents=True)
    for seed, error in (("1", "0.5"), ("2", "0.4")):
        job = Job("lmnto", "modes-full.in", (0,), (int(seed),), "", 1.0)
        entry = {"row": row(f"k{seed}", error, seed), "cells": {"tail": float(seed)}}
        content = {"study": "lmnto", "table": "full.csv", "rows": [entry], "code": 0}
        (out / f"{job.name}.json").write_text(json.dumps(content))
        place = point_folder(folder / "lmnto" / "spread" / job.name / "scan", f"k{seed}")
        place.mkdir(parents=True)
        (place / "O.nn").write_bytes(seed.encode())
        assert spread.is_done(job, out)
        (out / f"lmnto.md-full.exact-{seed}.starts.csv").write_text(f"potential,steps\nexact-{seed},7\n")
    # A run that goes on is read, and left as it is
    files = sorted(out.iterdir())
    assert merge_runs.merge(tmp_path / "early", out, "abc") == {"lmnto": 2} and sorted(out.iterdir()) == files
    merge_runs.pack(folder, out, {"processor": "a", "commit": "not known", "date": "2026-01-01"})
    assert [path.name for path in sorted(out.iterdir())] == ["log.txt", "spread.tar.xz"]

    target = tmp_path / "target"
    (target / "lmnto").mkdir(parents=True)
    write_scan_table(target / "lmnto" / "full.csv", [row("k0", "0.9", "3"), row("k1", "0.8", "1")])
    assert merge_runs.merge(target, out, "abc") == {"lmnto": 2}
    table = {
        one["key"]: one["force_error_norm_mean_eV_per_A"] for one in read_scan_table(target / "lmnto" / "full.csv")
    }
    assert table == {"k0": "0.9", "k1": "0.5", "k2": "0.4"}
    cells = json.loads((point_folder(target / "lmnto" / "scan", "k2") / MEASURED).read_text())
    assert cells == {"tail": 2.0, "processor": "a", "commit": "abc", "date": "2026-01-01"}
    # Potentials come back of the best seed alone
    assert (point_folder(target / "lmnto" / "scan", "k2") / "O.nn").read_bytes() == b"2"
    assert not (point_folder(target / "lmnto" / "scan", "k1") / "O.nn").exists()
    assert (target / "lmnto" / "md-full.starts.csv").read_text().split() == [
        "potential,steps",
        "exact-1,7",
        "exact-2,7",
    ]
    # Runs of later archives join those there; one that broke down at once has no rows
    merge_runs._merge_dynamics(
        target,
        {
            "lmnto.md-full.exact-2.starts.csv": b"potential,steps\nexact-2,8\n",
            "lmnto.md-full.energy-1.starts.csv": b"potential,steps\n",
        },
    )
    assert (target / "lmnto" / "md-full.starts.csv").read_text().split()[1:] == ["exact-1,7", "exact-2,8"]


def test_results_keep_what_new_ones_do_not_have() -> None:
    old = Results("x", {"commit": "old"}, ({"scan": "full", "seed": 1.0}, {"seed": 2.0, "commit": None}))
    new = Results("x", {"commit": "new"}, ({"scan": "full", "seed": 1.0, "tail": 3.0},))
    both = with_earlier(new, old)
    assert [(one.get("seed"), one.get("tail"), one.get("commit")) for one in both.trainings] == [
        (1.0, 3.0, None),
        (2.0, None, "old"),
    ]
    assert both.provenance == new.provenance


def test_facts_of_earlier_dynamics_go_where_there_are_new_ones() -> None:
    one = Fact((1.0,))
    old = Results("x", facts={"holds: taylor": one, "fluctuation: taylor": one, "seconds: exact": one})
    assert set(with_earlier(Results("x", facts={"holds: taylor": one}), old).facts) == {
        "holds: taylor",
        "seconds: exact",
    }
    assert set(with_earlier(Results("x"), old).facts) == set(old.facts)


def test_a_killed_job_is_begun_again(tmp_path: Path) -> None:
    job = Job("lmnto", "modes-full.in", (0,), (1,), "", 1.0)
    assert not spread.is_done(job, tmp_path)
    (tmp_path / f"{job.name}.json").write_text(json.dumps({"rows": [], "code": 143}))
    assert not spread.is_done(job, tmp_path)
