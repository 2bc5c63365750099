"""Mistakes in input, each a way to break a project of correct files; `tests/cli/test_bad_input.py` makes them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

GENERATE = ("generate", "generate.in")
TRAIN = ("train", "train.in")
PREDICT = ("predict", "predict.in")
XSF = "xsf/cluster03.xsf"  # 12 atoms in lines 5 to 16, O first, Ti in line 7
CRYSTAL = "xsf/mono01.xsf"  # 7 Si atoms in lines 9 to 15, count in line 8
GARBAGE = bytes(range(256)) * 40


def edit(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text()
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, count))


# --- ways to break things ----------------------------------------------------------------------

Damage = Callable[[Path], None]


def replace(name: str, old: str, new: str) -> Damage:
    return lambda folder: edit(folder / name, old, new)


def rewrite_line(name: str, number: int, change: Callable[[str], str]) -> Damage:
    def damage(folder: Path) -> None:
        lines = (folder / name).read_text().split("\n")
        lines[number - 1] = change(lines[number - 1])
        (folder / name).write_text("\n".join(lines))

    return damage


def word(number: int, new: str) -> Callable[[str], str]:
    return lambda line: " ".join(new if i == number else w for i, w in enumerate(line.split()))


def content(name: str, data: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(data) and None


def truncate(name: str, fraction: float = 0.6) -> Damage:
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * fraction)])

    return damage


def both(*damages: Damage) -> Damage:
    def damage(folder: Path) -> None:
        for one in damages:
            one(folder)

    return damage


def copy(source: str, target: str) -> Damage:
    return lambda folder: shutil.copyfile(folder / source, folder / target) and None


def no_damage(folder: Path) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """One mistake: what is done to the project, the command, and what its complaint must name."""

    name: str
    damage: Damage
    command: tuple[str, ...]
    named: tuple[str, ...]


CASES = (
    # structure files
    Case("no energy", rewrite_line(XSF, 1, lambda line: "# nothing"), GENERATE, (XSF, "no energy", "total energy = ")),
    Case(
        "energy in capitals", replace(XSF, "total energy", "Total Energy"), GENERATE, (XSF, "line 1:", "Total Energy")
    ),
    Case(
        "energy without number",
        rewrite_line(XSF, 1, lambda line: "# total energy ="),
        GENERATE,
        (XSF, "line 1:", "number"),
    ),
    Case(
        "forces missing on one atom",
        rewrite_line(XSF, 8, lambda line: " ".join(line.split()[:4])),
        GENERATE,
        (XSF, "line 8:", "forces on some atoms only", "6.30288954", "Fx Fy Fz"),
    ),
    Case(
        "forces missing on the last atom",
        rewrite_line(XSF, 16, lambda line: " ".join(line.split()[:4])),
        GENERATE,
        (XSF, "forces on some atoms only", "forces on all atoms or on none"),
    ),
    Case(
        "blank line inside the atoms",
        rewrite_line(XSF, 9, lambda line: "\n" + line),
        GENERATE,
        (XSF, "line 9:", "blank line", "7.07448724"),
    ),
    Case(
        "unknown species",
        rewrite_line(XSF, 7, word(0, "Zr")),
        GENERATE,
        (XSF, "line 7:", "unknown species", "'Zr'", "Ti O"),
    ),
    Case("species as atomic number", rewrite_line(XSF, 7, word(0, "22")), GENERATE, (XSF, "line 7:", "'22'")),
    Case(
        "count that disagrees",
        rewrite_line(CRYSTAL, 9, word(0, "8")),
        ("generate", "crystal.in"),
        (CRYSTAL, "line 9:", "found 8", "expected 7"),
    ),
    Case("NaN position", rewrite_line(XSF, 6, word(2, "NaN")), GENERATE, (XSF, "line 6:", "'NaN'", "finite number")),
    Case("NaN force", rewrite_line(XSF, 6, word(4, "nan")), GENERATE, (XSF, "line 6:", "'nan'", "force x of atom 2")),
    Case("infinite force", rewrite_line(XSF, 6, word(5, "-Infinity")), GENERATE, (XSF, "line 6:", "'-Infinity'")),
    Case(
        "Fortran overflow stars", rewrite_line(XSF, 6, word(3, "*" * 14)), GENERATE, (XSF, "line 6:", "***", "overflow")
    ),
    Case("NaN energy", rewrite_line(XSF, 1, word(4, "NaN")), GENERATE, (XSF, "line 1:", "'NaN'")),
    Case("stars for the energy", rewrite_line(XSF, 1, word(4, "*" * 20)), GENERATE, (XSF, "line 1:", "***")),
    Case(
        "NaN in the cell",
        rewrite_line(CRYSTAL, 5, word(0, "NaN")),
        ("generate", "crystal.in"),
        (CRYSTAL, "line 5:", "'NaN'"),
    ),
    Case(
        "cell without volume",
        rewrite_line(CRYSTAL, 6, lambda line: "5.03961371 0.03512820 -0.04967232"),
        ("generate", "crystal.in"),
        (CRYSTAL, "volume"),
    ),
    Case(
        "two atoms in one place",
        rewrite_line(XSF, 6, lambda line: "O 7.80243924 -18.33713064 3.49870199 0 0 0"),
        GENERATE,
        (XSF, "atoms 1 and 2", "coincide"),
    ),
    Case("empty structure", content(XSF, b""), GENERATE, (XSF, "empty")),
    Case(
        "structure cut inside an atom",
        lambda folder: (folder / XSF).write_bytes((folder / XSF).read_bytes()[:745]) and None,
        GENERATE,
        (XSF, "line "),
    ),
    Case("structure without atoms", content(XSF, b"# total energy = -1.0 eV\nATOMS\n"), GENERATE, (XSF, "atom")),
    Case("binary garbage as structure", content(XSF, GARBAGE), GENERATE, (XSF, "binary")),
    Case(
        "garbage in another format",
        both(content("a.extxyz", GARBAGE), replace("generate.in", XSF, "a.extxyz")),
        GENERATE,
        ("a.extxyz",),
    ),
    Case(
        "empty extended XYZ",
        both(content("a.extxyz", b""), replace("generate.in", XSF, "a.extxyz")),
        GENERATE,
        ("a.extxyz",),
    ),
    Case(
        "extended XYZ without energy",
        both(
            content("a.extxyz", b"1\nProperties=species:S:1:pos:R:3\nO 0 0 0\n"),
            replace("generate.in", XSF, "a.extxyz"),
        ),
        GENERATE,
        ("a.extxyz", "energy"),
    ),
    Case(
        "missing structure file",
        replace("generate.in", XSF, "xsf/none.xsf"),
        GENERATE,
        ("generate.in", "line 16:", "'xsf/none.xsf'", "existing file"),
    ),
    Case(
        "pattern without match",
        replace("generate.in", XSF, "xsf/*.xyz"),
        GENERATE,
        ("generate.in", "line 16:", "'xsf/*.xyz'"),
    ),
    # generate.in and setups
    Case("no generate.in", no_damage, ("generate", "none.in"), ("none.in", "No such file")),
    Case("empty generate.in", content("generate.in", b""), GENERATE, ("generate.in", "empty")),
    Case("binary generate.in", content("generate.in", GARBAGE), GENERATE, ("generate.in", "binary")),
    Case("folder as generate.in", no_damage, ("generate", "xsf"), ("xsf", "directory")),
    Case(
        "FILES count that disagrees",
        replace("generate.in", "FILES\n4", "FILES\n5"),
        GENERATE,
        ("generate.in", "line ", "5", "4"),
    ),
    Case(
        "TYPES count that disagrees", replace("generate.in", "TYPES\n2", "TYPES\n3"), GENERATE, ("generate.in", "line ")
    ),
    Case(
        "atomic energy not a number",
        replace("generate.in", "-432.503149303", "-432.5e"),
        GENERATE,
        ("generate.in", "line 6:", "'-432.5e'", "number"),
    ),
    Case(
        "no setup for a species", replace("generate.in", "O   O.fingerprint.stp", ""), GENERATE, ("generate.in", "'O'")
    ),
    Case(
        "setup of the wrong species",
        replace("generate.in", "Ti  Ti.fingerprint.stp", "Ti  O.fingerprint.stp"),
        GENERATE,
        ("O.fingerprint.stp", "'O'", "Ti"),
    ),
    Case(
        "missing setup",
        replace("generate.in", "Ti  Ti.fingerprint.stp", "Ti  no.stp"),
        GENERATE,
        ("no.stp", "No such file"),
    ),
    Case("empty setup", content("Ti.fingerprint.stp", b""), GENERATE, ("Ti.fingerprint.stp", "ATOM is missing")),
    Case("binary setup", content("Ti.fingerprint.stp", GARBAGE), GENERATE, ("Ti.fingerprint.stp",)),
    Case(
        "cutoff 0",
        lambda folder: (
            (folder / "Ti.fingerprint.stp").write_text(
                re.sub(r"radial_Rc\s*=\s*\S+", "radial_Rc = 0.0", (folder / "Ti.fingerprint.stp").read_text())
            )
            and None
        ),
        GENERATE,
        ("Ti.fingerprint.stp", "line ", "radial_Rc", "0.0"),
    ),
    Case(
        "species not in ENV",
        replace("O.fingerprint.stp", "\nTi\n", "\nSi\n"),
        GENERATE,
        ("O.fingerprint.stp", "ENV", "'Si'", "Ti O"),
    ),
    Case(
        "two setups for a species",
        replace("generate.in", "O   O.fingerprint.stp", "Ti O.fingerprint.stp"),
        GENERATE,
        ("generate.in", "line ", "'Ti'"),
    ),
    Case(
        "misspelt keyword",
        replace("generate.in", "OUTPUT", "OUTPT"),
        GENERATE,
        ("generate.in", "line 1:", "'OUTPT'", "OUTPUT"),
    ),
    Case(
        "misspelt option",
        replace("generate.in", "SETUPS", "DERIVATIVES\nmethod=taylor delt=0.1\n\nSETUPS"),
        GENERATE,
        ("generate.in", "line ", "'delt'", "delta"),
    ),
    Case(
        "negative delta",
        replace("generate.in", "SETUPS", "DERIVATIVES\nmethod=taylor delta=-0.1\n\nSETUPS"),
        GENERATE,
        ("generate.in", "line ", "delta", "-0.1"),
    ),
    Case(
        "no copies wanted",
        replace("generate.in", "SETUPS", "DERIVATIVES\nmethod=taylor fraction=0\n\nSETUPS"),
        GENERATE,
        ("generate.in", "line ", "fraction", "found 0"),
    ),
    Case(
        "delta for an unknown species",
        replace("generate.in", "SETUPS", "DERIVATIVES\nmethod=taylor delta_Xx=0.1\n\nSETUPS"),
        GENERATE,
        ("generate.in", "line ", "'Xx'", "Ti O"),
    ),
    Case(
        "atom that is not there",
        replace("generate.in", "SETUPS", "DERIVATIVES\nmethod=taylor atoms=12\n\nSETUPS"),
        GENERATE,
        ("xsf/cluster01_dimer.xsf", "atoms=", "12", "1 to 2"),
    ),
    Case("unknown kind to drop", no_damage, (*GENERATE, "--drop", "bad-ones"), ("bad-ones", "duplicate")),
    Case("negative threads for generate", no_damage, (*GENERATE, "--threads", "-1"), ("--threads", "-1")),
    # train.in, training sets, networks
    Case("no train.in", no_damage, ("train", "none.in"), ("none.in", "No such file")),
    Case("empty train.in", content("train.in", b"\n"), TRAIN, ("train.in",)),
    Case("training set as train.in", no_damage, ("train", "cluster.train"), ("cluster.train", "binary")),
    Case("missing training set", replace("train.in", "cluster.train", "no.train"), TRAIN, ("no.train", "No such file")),
    Case("empty training set", content("cluster.train", b""), TRAIN, ("cluster.train", "empty file")),
    Case("binary garbage as training set", content("cluster.train", GARBAGE), TRAIN, ("cluster.train",)),
    Case("text as training set", replace("train.in", "cluster.train", "generate.in"), TRAIN, ("generate.in",)),
    Case("potential as training set", replace("train.in", "cluster.train", "Ti.nn"), TRAIN, ("Ti.nn",)),
    Case("truncated training set", truncate("cluster.train"), TRAIN, ("cluster.train", "file ends")),
    Case(
        "training set without its last byte", truncate("cluster.train", 0.99999), TRAIN, ("cluster.train", "file ends")
    ),
    Case(
        "no network for a species", replace("train.in", "O   O.nn   1 4:tanh", ""), TRAIN, ("train.in", "'O'", "Ti O")
    ),
    Case(
        "network for a missing species",
        replace("train.in", "O   O.nn", "N  N.nn 1 4:tanh\nO   O.nn"),
        TRAIN,
        ("train.in", "'N'", "Ti O"),
    ),
    Case("network of another species", copy("Ti.nn", "O.nn"), TRAIN, ("O.nn", "Ti", "--fresh")),
    Case("truncated network to continue", truncate("O.nn"), TRAIN, ("O.nn", "file ends")),
    Case("empty network to continue", content("O.nn", b""), TRAIN, ("O.nn", "empty file")),
    Case("binary garbage as network", content("O.nn", GARBAGE), TRAIN, ("O.nn",)),
    Case(
        "no layers and no file", replace("train.in", "O   O.nn   1 4:tanh", "O   new.nn"), TRAIN, ("new.nn", "layers")
    ),
    Case("unknown activation", replace("train.in", "4:tanh", "4:tahn"), TRAIN, ("train.in", "line 6:", "tahn", "tanh")),
    Case(
        "unknown method",
        replace("train.in", "NETWORKS", "METHOD\nnewton m=9\n\nNETWORKS"),
        TRAIN,
        ("train.in", "line 6:", "'newton'", "bfgs"),
    ),
    Case(
        "test percentage beyond 100",
        replace("train.in", "TESTPERCENT 25", "TESTPERCENT 250"),
        TRAIN,
        ("train.in", "line 2:", "250", "100"),
    ),
    Case(
        "nothing left to train on",
        replace("train.in", "ITERATIONS 3", "MAXENERGY -100000"),
        TRAIN,
        ("train.in", "MAXENERGY", "-100000"),
    ),
    Case(
        "Taylor set of other structures",
        both(copy("cluster.train", "other.train"), replace("train.in", "ITERATIONS 3", "TAYLORSET other.train")),
        TRAIN,
        ("other.train", "no Taylor copy"),
    ),
    Case(
        "training set that is its own Taylor set",
        replace("train.in", "ITERATIONS 3", "TAYLORSET cluster.train"),
        TRAIN,
        ("train.in", "cluster.train", "each file once"),
    ),
    Case(
        "unreadable validation structure",
        both(
            replace("train.in", "ITERATIONS 3", "VALIDATION xsf/cluster03.xsf"), rewrite_line(XSF, 6, word(3, "*" * 14))
        ),
        TRAIN,
        (XSF, "line 6:", "***"),
    ),
    Case(
        "validation structure of unknown species",
        replace("train.in", "ITERATIONS 3", f"VALIDATION {CRYSTAL}"),
        TRAIN,
        (CRYSTAL, "line 10:", "'Si'", "Ti O"),
    ),
    Case(
        "garbage as checkpoint",
        content("train.checkpoint.npz", GARBAGE),
        (*TRAIN, "--resume"),
        ("train.checkpoint.npz", "damaged"),
    ),
    Case(
        "empty checkpoint",
        content("train.checkpoint.npz", b""),
        (*TRAIN, "--resume"),
        ("train.checkpoint.npz", "damaged"),
    ),
    Case("negative threads for train", no_damage, (*TRAIN, "--threads", "-1"), ("--threads", "-1")),
    # predict.in and potentials
    Case("no input for predict", no_damage, ("predict",), ("predict.in", "--potential")),
    Case("missing potential", replace("predict.in", "Ti.nn", "no.nn"), PREDICT, ("no.nn", "No such file")),
    Case("truncated potential", truncate("Ti.nn"), PREDICT, ("Ti.nn", "file ends")),
    Case("empty potential", content("Ti.nn", b""), PREDICT, ("Ti.nn", "empty file")),
    Case("binary garbage as potential", content("Ti.nn", GARBAGE), PREDICT, ("Ti.nn",)),
    Case(
        "potentials exchanged",
        both(
            replace("predict.in", "O.nn", "X.nn"),
            replace("predict.in", "Ti.nn", "O.nn"),
            replace("predict.in", "X.nn", "Ti.nn"),
        ),
        PREDICT,
        ("O.nn", "'O'", "Ti"),
    ),
    Case(
        "no potential for a species of TYPES",
        lambda folder: (
            (folder / "predict.in").write_text(re.sub(r"(?m)^O .*\n", "", (folder / "predict.in").read_text())) and None
        ),
        PREDICT,
        ("predict.in", "'O'"),
    ),
    Case("structure of unknown species", no_damage, (*PREDICT, CRYSTAL), (CRYSTAL, "line 10:", "'Si'", "Ti O")),
    Case(
        "structure of unknown species beside --potential",
        no_damage,
        ("predict", "--potential", "Ti.nn", "O.nn", "--", CRYSTAL),
        (CRYSTAL, "line 10:", "'Si'", "Ti O"),
    ),
    Case(
        "one potential too few",
        no_damage,
        ("predict", "--potential", "Ti.nn", "--", XSF),
        ("Ti.nn", "neighbour", "'O'"),
    ),
    Case(
        "two potentials for a species",
        no_damage,
        ("predict", "--potential", "Ti.nn", "Ti.nn", "--", XSF),
        ("Ti.nn", "second"),
    ),
    Case("no structures beside --potential", no_damage, ("predict", "--potential", "Ti.nn"), ("no structure files",)),
    Case("NaN position to predict", rewrite_line(XSF, 6, word(2, "NaN")), PREDICT, (XSF, "line 6:", "'NaN'")),
    Case(
        "relaxation by an unknown method",
        replace("predict.in", "FORCES", "RELAX\nmethod=fire\n\nFORCES"),
        PREDICT,
        ("predict.in", "fire", "bfgs"),
    ),
    # where output goes
    Case("output exists", copy("cluster.train", "new.train"), GENERATE, ("new.train", "exists", "--force")),
    Case(
        "output in a missing folder",
        replace("generate.in", "new.train", "no/new.train"),
        GENERATE,
        ("no/new.train", "existing directory"),
    ),
    Case("output below a file", replace("generate.in", "new.train", "Ti.nn/new.train"), GENERATE, ("Ti.nn/new.train",)),
    Case("output is a folder", replace("generate.in", "new.train", "xsf"), GENERATE, ("xsf", "directory")),
    Case(
        "copies to the output",
        replace("generate.in", "SETUPS", "DERIVATIVES\nmethod=taylor outfile=new.train\n\nSETUPS"),
        GENERATE,
        ("generate.in", "line ", "new.train", "another name"),
    ),
    Case(
        "file of copies exists",
        replace("generate.in", "SETUPS", "DERIVATIVES\nmethod=taylor outfile=cluster.train\n\nSETUPS"),
        GENERATE,
        ("cluster.train", "exists", "--force"),
    ),
    Case(
        "XSF folder with files in it",
        replace("generate.in", "SETUPS", "DERIVATIVES\nmethod=taylor\n\nSETUPS"),
        (*GENERATE, "--write-xsf", "xsf"),
        ("xsf", "not empty"),
    ),
    Case(
        "XSF folder is a file",
        replace("generate.in", "SETUPS", "DERIVATIVES\nmethod=taylor\n\nSETUPS"),
        (*GENERATE, "--write-xsf", "Ti.nn"),
        ("Ti.nn",),
    ),
    Case("XSF copies without copies", no_damage, (*GENERATE, "--write-xsf", "copies"), ("generate.in", "DERIVATIVES")),
    Case(
        "report in a missing folder",
        no_damage,
        (*GENERATE, "--report", "no/report.json"),
        ("no/report.json", "existing directory"),
    ),
    Case(
        "network in a missing folder",
        replace("train.in", "Ti.nn", "no/Ti.nn"),
        TRAIN,
        ("no/Ti.nn", "existing directory"),
    ),
    Case("network below a file", replace("train.in", "Ti.nn", "O.nn/Ti.nn"), TRAIN, ("O.nn/Ti.nn",)),
    # the command line itself
    Case("unknown command", no_damage, ("generat", "generate.in"), ("unknown command", "'generat'", "generate")),
    Case("no command", no_damage, (), ("COMMAND", "taylorfit --help")),
    Case("unknown option", no_damage, (*GENERATE, "--fast"), ("--fast",)),
    Case("no input file", no_damage, ("generate",), ("generate.in",)),
    Case("threads not a number", no_damage, (*GENERATE, "--threads", "two"), ("--threads", "'two'")),
    Case("unknown example", no_damage, ("example", "fire", "demo"), ("fire", "water-cluster")),
)
