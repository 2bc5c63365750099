"""The commands of the tutorial: they parse, and name files that are in the example or made before."""

from __future__ import annotations

import glob
import re
import shlex
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest

from taylorfit.commands import cli
from taylorfit.examples import copy_example
from taylorfit.settings.generate import read_generate_input
from taylorfit.settings.md import read_md_input
from taylorfit.settings.predict import read_predict_input
from taylorfit.settings.scan import read_scan_input
from taylorfit.settings.train import read_train_input

TEXT = (Path(__file__).parents[2] / "python/taylorfit/examples/water_cluster/TUTORIAL.md").read_text(encoding="utf-8")
PROGRAM = ["python", "-m", "taylorfit"]
LOOP = re.compile(r"^for (\w+) in (.+?); do\n(.*?)^done\n", re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, str]]:
    """Name and content of a file that the shell writes, or an empty name and a line, in the order of the text."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        block = LOOP.sub(lambda m: "".join(m[3].replace(f"${m[1]}", value) for value in m[2].split()), block)
        position = 0
        while position < len(block):
            end = block.index("\n", position) + 1
            here = re.match(r"cat > (\S+) <<'END'\n", block[position:end])
            if here is not None:
                stop = block.index("\nEND\n", end) + 1
                found.append((here[1], block[end:stop]))
                end = stop + len("END\n")
            else:
                found += [("", line.strip()) for line in block[position:end].split(" && ")]
            position = end
    return found


def arguments(line: str) -> list[str] | None:
    """Words behind `python -m taylorfit` as a shell splits them, or None for another program."""
    words = shlex.split(line, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    places = [k for k in range(len(words)) if words[k : k + len(PROGRAM)] == PROGRAM]
    return words[places[0] + len(PROGRAM) :] if places else None


COMMANDS = [words for name, line in steps() if not name and (words := arguments(line)) is not None]


def test_all_commands_for_users_occur() -> None:
    assert {words[0] for words in COMMANDS} == set(cli.COMMANDS)
    assert len(COMMANDS) == TEXT.count(" ".join(PROGRAM)) + 3  # one stands in a loop of four


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_parses(words: list[str]) -> None:
    cli._parser(words).parse_args(words)


def read_and_made(given: Namespace) -> tuple[list[str], list[str]]:
    """Files that a command reads and writes; what its input file names is among them."""
    match given.command:
        case "convert":
            return given.inputs, [given.output]
        case "setup":
            return given.structures, [f"{given.output}/{name}" for name in ("generate.in", "train.in")]
        case "suggest":
            return given.structures, []
        case "repel":
            return given.structures, [f"{given.output}/pushed-000001-1.xsf"]
        case "info":
            return given.files, []
        case "plot":
            return given.files, [given.output]
        case "report":
            return [given.training, *given.predictions], [given.output]
        case "generate":
            wanted = read_generate_input(given.input)
            copies = [wanted.derivatives.outfile] if wanted.derivatives else []
            return [*wanted.setups.values(), *(entry.path for entry in wanted.files)], [
                wanted.output,
                f"{wanted.output}.geometry",
                *copies,
            ]
        case "train":
            task = read_train_input(given.input)
            networks = [spec.file for spec in task.networks]
            folders = [f"{task.committee.folder}/{k + 1:02d}" for k in range(given.committee or 0)]
            needed = [f"{Path(given.input).stem}.checkpoint.npz"] if given.resume else []
            return [task.trainingset, *task.taylorset, *(entry.path for entry in task.validation), *needed], [
                *networks,
                *(f"{folder}/{file}" for folder in folders for file in networks),
                f"{Path(given.input).stem}.checkpoint.npz",
            ]
        case "predict":
            (file,) = given.files
            asked = read_predict_input(file)
            return [file, *asked.networks.values(), *(entry.path for entry in asked.files)], [given.save_predictions]
        case "scan":
            scan = read_scan_input(given.input)
            return [scan.generate, scan.train], [scan.output]
        case "md":
            run = read_md_input(given.input)
            potentials = [file for _, files in run.potentials for file in files]
            return [run.structure, *potentials], [f"{run.output}.steps.csv"]
    raise AssertionError(given.command)


def test_what_a_command_reads_is_in_the_example_or_made_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the text. Training sets, potentials and pictures are empty; `sed` and input files are real."""
    copy_example("water-cluster", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, line in steps():
        words = None if name else arguments(line)
        if name:
            Path(name).write_text(line, encoding="utf-8")
        elif words is not None and words[0] != "example":
            given = cli._parser(words).parse_args(words)
            read, made = read_and_made(given)
            missing = [file for file in read if not glob.glob(file)]
            assert not missing, (line, missing)
            for file in [*made, *([given.report] if isinstance(given.report, str) else [])]:
                Path(file).parent.mkdir(parents=True, exist_ok=True)
                Path(file).touch()
        elif line.startswith("sed "):
            subprocess.run(["sh", "-c", line], check=True, timeout=30)
        elif words is None and line != "cd tutorial":
            program, file = shlex.split(line)
            assert program == "python"
            compile(Path(file).read_text(encoding="utf-8"), file, "exec")


def test_pictures_are_said_what_to_see_in() -> None:
    pictures = {words[words.index("-o") + 1] for words in COMMANDS if "-o" in words}
    assert pictures and all(re.search(rf"^(- )?{re.escape(picture)}[:, ]", TEXT, re.MULTILINE) for picture in pictures)
