"""`generate_files` and `run_scan`: what the commands do, without a word, and with an observer that hears of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli_support import make_toy, taylor, train_in
from taylorfit.data.check import DataCheck
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.scan_table import Row, read_scan_table
from taylorfit.generation.copy_plan import PlannedCopies
from taylorfit.generation.files import Generated, GenerationObserver, generate_files
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.scan import ScanInput
from taylorfit.tools.interrupts import Interrupt
from taylorfit.tools.progress import Steps
from taylorfit.training.observer import Observer
from taylorfit.training.outputs import Outputs
from taylorfit.training.scan import ScanObserver, run_scan
from taylorfit.training.scan_plan import PointTask, ScanPlan


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: Morse clusters, generate.in with copies, train.in, scan.in."""
    make_toy(tmp_path, 12, extra=taylor(delta=0.03, fraction=3, outfile="copies.train"))
    (tmp_path / "train.in").write_text(train_in(iterations=3, testpercent=25))
    (tmp_path / "scan.in").write_text("SCAN\nmode energy taylor\nseeds 1 2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Heard(GenerationObserver):
    """Writes down what it is told."""

    def __init__(self, interrupt: Interrupt | None = None) -> None:
        super().__init__(interrupt=interrupt)
        self.words: list[object] = []

    def checked(self, found: DataCheck, n_structures: int, n_dropped: int) -> None:
        """Note the numbers."""
        self.words += [found.n_structures, n_structures, n_dropped]

    def planned(self, planned: PlannedCopies) -> None:
        """Note the number of copies."""
        self.words.append(planned.n_copies)

    def ended(self, made: Generated) -> None:
        """Note that it is over."""
        self.words.append(made.output)


def test_training_sets_are_written_without_a_word(toy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    heard = Heard()
    made = generate_files(GenerateInput.read("generate.in"), "generate.in", threads=1, observer=heard)
    assert capfd.readouterr() == ("", "")
    assert (made.counts.structures, made.counts.copies) == (12, 36) and heard.words == [12, 12, 0, 36, "toy.train"]
    assert read_trainset("toy.train").n_structures == 12 and read_trainset("copies.train").n_structures == 36
    assert made.to_dict()["taylor_output"] == made.taylor_output == "copies.train"


def test_an_interrupt_from_another_thread_leaves_no_file(toy: Path) -> None:
    before = sorted(toy.iterdir())
    interrupt = Interrupt()
    interrupt.request()
    with pytest.raises(KeyboardInterrupt):
        generate_files(GenerateInput.read("generate.in"), "generate.in", threads=1, observer=Heard(interrupt))
    assert sorted(toy.iterdir()) == before


class Watching(ScanObserver):
    """Writes down which trainings end, and in which threads they ran."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row | None] = []
        self.threads: set[str] = set()
        self.waiting = -1

    def planned(self, plan: ScanPlan) -> None:
        """Note what is to be done."""
        self.waiting = len(plan.waiting)

    @contextmanager
    def training(self, task: PointTask, outputs: Outputs, show: Steps, interrupt: Interrupt) -> Iterator[Observer]:
        """Note the thread."""
        self.threads.add(threading.current_thread().name)
        yield Observer(interrupt)

    def point_ended(self, task: PointTask, name: str, row: Row | None, error: str | None) -> None:
        """Note the row."""
        assert error is None
        self.rows.append(row)

    def stopping(self) -> bool:
        """Stop after the first two."""
        return len(self.rows) == 2


def test_a_scan_returns_its_table_without_a_word_and_goes_on(toy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    scan, watching = ScanInput.read("scan.in"), Watching()
    first = run_scan(scan, "scan.in", 1, observer=watching)
    assert (watching.waiting, first.points, first.trained, first.sets_generated) == (4, 4, 2, 2)
    written = read_scan_table("scan.csv")
    assert first.rows == watching.rows and not first.interrupted
    # The file has labels, too
    assert [{**row, "label": "energy"} for row in first.rows] == written
    assert watching.threads and "MainThread" not in watching.threads
    second = run_scan(scan, "scan.in", 2)
    assert (second.done_before, second.trained, second.sets_reused) == (2, 2, 1) and not second.failed
    assert [entry["seeds"] for entry in second.summary] == [2, 2]
    assert capfd.readouterr() == ("", "")


def test_a_training_that_fails_is_told_apart(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(iterations=3, testpercent=25, maxenergy=-100))
    found = run_scan(ScanInput.read("scan.in"), "scan.in", 2)
    assert len(found.failed) == 4 and not found.rows and found.summary == []
    assert all("MAXENERGY drops every structure" in error for error in found.failed.values())
