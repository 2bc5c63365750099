"""What a user sees: help, progress on a terminal and in a pipe, interrupted and cut-off output."""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli_support import make_toy, run, run_process, start, succeed, taylor, train_in
from taylorfit.commands.cli import COMMANDS
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.md import MdInput
from taylorfit.settings.option import options_of
from taylorfit.settings.predict import PredictInput
from taylorfit.settings.scan import ScanInput
from taylorfit.settings.train import TrainInput
from taylorfit.tools import progress

pty = pytest.importorskip("pty", reason="needs pseudo terminals")

INPUT = {"generate": GenerateInput, "train": TrainInput, "predict": PredictInput, "scan": ScanInput, "md": MdInput}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Morse clusters with copies, generated, and a train.in of many epochs."""
    make_toy(tmp_path, 20, extra=taylor(delta=0.03, fraction=20))
    succeed(tmp_path, "generate", "generate.in")
    (tmp_path / "train.in").write_text(train_in(iterations=60, hidden="2 20:tanh 20:tanh"))
    return tmp_path


# --- help --------------------------------------------------------------------------------------


def test_help_lists_every_command(tmp_path: Path) -> None:
    result = run(tmp_path, "--help")
    assert result.code == 0
    for command in COMMANDS:
        assert re.search(rf"^    {command} ", result.out, re.MULTILINE)
    assert "Example: taylorfit" in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example_its_keywords_and_its_report(command: str, tmp_path: Path) -> None:
    result = run(tmp_path, command, "--help")
    assert (result.code, result.err) == (0, "")
    assert re.search(rf"Examples?: taylorfit {command}\b", result.out)
    assert result.out.index("--report FILE.json") < result.out.index("Keys of the report")
    for keyword, option in options_of(INPUT[command]).items() if command in INPUT else ():
        assert re.search(rf"^  {keyword} +{re.escape(option.line())}$", result.out, re.MULTILINE), keyword


def test_help_and_version_wait_for_no_library(tmp_path: Path) -> None:
    calls = [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)]
    code = (
        "import sys; from contextlib import suppress; from taylorfit.commands import cli\n"
        f"for argv in {calls}:\n"
        "    with suppress(SystemExit): cli.main(argv)\n"
        "    found = {'numpy', 'ase', 'scipy', 'matplotlib', 'taylorfit.engine'} & sys.modules.keys()\n"
        "    assert not found, (argv, found)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


# --- progress ----------------------------------------------------------------------------------


def read_terminal(descriptor: int, process: subprocess.Popen[str]) -> str:
    """Everything the process writes to its terminal."""
    parts = []
    while True:
        ready, _, _ = select.select([descriptor], [], [], 0.1)
        if ready:
            try:
                part = os.read(descriptor, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not part:
                break
            parts.append(part)
        elif process.poll() is not None:
            break
    return b"".join(parts).decode(errors="replace")


def on_terminal(folder: Path, *argv: str, output_too: bool) -> tuple[int, str, str]:
    """Run with stderr (and stdout) on a pseudo terminal; return exit code, terminal, and stdout if it is a pipe."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    output = theirs if output_too else open(folder / "stdout.txt", "w")  # noqa: SIM115
    try:
        process = start(folder, *argv, stdout=output, stderr=theirs, stdin=theirs, env=environment)
    finally:
        os.close(theirs)
    terminal = read_terminal(ours, process)
    process.wait(timeout=30)
    os.close(ours)
    if output_too:
        return process.returncode, terminal, ""
    output.close()
    return process.returncode, terminal, (folder / "stdout.txt").read_text()


def test_a_terminal_shows_a_bar_and_redirected_output_stays_plain(toy: Path) -> None:
    code, terminal, output = on_terminal(toy, "train", "train.in", output_too=False)
    assert code == 0
    assert "\x1b[" in terminal and "━" in terminal and "ETA" in terminal and "/60 epochs" in terminal
    # The table goes where standard output goes, also while the bar is shown
    assert "\x1b" not in output and "━" not in output
    assert [int(number) for number in re.findall(r"^ +(\d+) +\S+E[+-]\d+ .*<", output, re.MULTILINE)] == list(range(61))
    assert "E-0" not in terminal


def test_a_terminal_shows_bar_and_table_together(toy: Path) -> None:
    code, terminal, _ = on_terminal(toy, "train", "train.in", output_too=True)
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal)
    assert "━" in plain and "best epoch" in plain
    rows = [re.match(r" +(\d+) +\d\.\d+E[+-]\d+ .*<", line) for line in re.split(r"[\r\n]+", plain)]
    found = [int(row[1]) for row in rows if row]
    assert found == list(range(61))


def test_a_terminal_shows_a_bar_for_each_member_of_a_committee(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(iterations=300, hidden="2 20:tanh 20:tanh", committee=2, threads=2))
    code, terminal, output = on_terminal(toy, "train", "train.in", output_too=False)
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal)
    assert re.search(r"committee .*━.*/600 epochs", plain)
    for member in ("01", "02"):
        assert re.search(rf"^ +{member} .*━.*/300 epochs.*train \d+\.\d+, test \d+\.\d+ meV/atom", plain, re.MULTILINE)
    assert "\x1b" not in output and "━" not in output and "best (0" in output


def test_a_pipe_gets_plain_lines_with_an_estimate(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress._Lines, "INTERVAL", 0.0)
    lines = succeed(toy, "train", "train.in").out.splitlines()
    shown = [line for line in lines if re.match(r"train: \d+ of 60 epochs, ETA \d", line)]
    assert len(shown) > 30


def test_short_work_in_a_pipe_shows_no_progress(toy: Path) -> None:
    result = run_process(toy, "train", "train.in")
    assert (result.code, result.err) == (0, "")
    assert "\x1b" not in result.out and "ETA" not in result.out and "━" not in result.out


# --- interrupted and cut off -------------------------------------------------------------------


def test_ctrl_c_during_generate_leaves_nothing(tmp_path: Path) -> None:
    make_toy(
        tmp_path, 20, 12, extra=taylor(delta=0.02, fraction=20000, N_max=1000000, outfile="copies.train"), radial=12
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    process = start(tmp_path, "generate", "generate.in", "--write-xsf", "copies")
    while process.poll() is None and not any(tmp_path.glob(".copies*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err.strip() == "taylorfit: interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_reader_that_goes_away_causes_no_noise(toy: Path) -> None:
    for argv in (("train", "train.in"), ("generate", "generate.in", "--force"), ("--help",), ("train", "--help")):
        process = start(toy, *argv)
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=30)
        assert err == "", argv


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_lose_nothing(toy: Path, closed: str) -> None:
    (toy / "train.in").write_text(train_in(iterations=3, testpercent=0))
    (toy / "Ar.nn").unlink(missing_ok=True)
    command = f"{shlex.quote(sys.executable)} -m taylorfit train train.in {closed}"
    result = subprocess.run(["bash", "-c", command], cwd=toy, capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"") and read_potential(toy / "Ar.nn").species == "Ar"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_works_in_every_locale(tmp_path: Path, encoding: str) -> None:
    make_toy(tmp_path, 3)
    result = run_process(
        tmp_path, "info", "xsf/00.xsf", env={**os.environ, "PYTHONIOENCODING": encoding}, encoding=encoding
    )
    assert result.code == 0 and result.err == "" and "eV/" in result.out


def test_control_characters_in_names_are_shown_escaped(tmp_path: Path) -> None:
    for name in ("a\x1b[31mred.xsf", "b\rc.xsf", "d\x07.xsf"):
        (tmp_path / name).write_text("hello\n")
        complaint = run(tmp_path, "info", name).complaint
        assert complaint.isprintable() and "no atoms" in complaint
