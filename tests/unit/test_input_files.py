"""generate.in, train.in and predict.in as ænet and aenet-python write them: values, defaults, dialects."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import taylorfit
from taylorfit.settings.document import FileEntry
from taylorfit.settings.forces import ForceMode
from taylorfit.settings.generate import GenerateInput, TaylorOptions
from taylorfit.settings.methods import AdamMethod, BfgsMethod, EkfMethod, LmMethod, OnlineSdMethod
from taylorfit.settings.option import options_of
from taylorfit.settings.predict import PredictInput, RelaxOptions
from taylorfit.settings.tables import describe
from taylorfit.settings.train import Committee, NetworkSpec, Store, TrainInput

READERS = {"generate": GenerateInput.read, "train": TrainInput.read, "predict": PredictInput.read}
GENERATE = "TYPES\n2\nTi -1604.6\nO -432.5\n\nSETUPS\nTi Ti.stp\nO O.stp\n\n"
GENERATE_FILES = GENERATE + "FILES\n1\na.xsf\n\n"
TRAIN = "TRAININGSET a.train\n\nNETWORKS\nTi Ti.nn 2 5:tanh 6:l\nO O.nn 1 3:twist\n\n"
PREDICT = "TYPES\n2\nTi\nO\n\nNETWORKS\nTi Ti.nn\nO O.nn\n\n"


def read(kind: str, text: str, tmp_path: Path) -> Any:
    path = tmp_path / f"{kind}.in"
    path.write_text(text, encoding="utf-8")
    return READERS[kind](path)


def paths(entries: tuple[FileEntry, ...]) -> list[str]:
    return [entry.path for entry in entries]


# --- values and defaults ------------------------------------------------------------


def test_generate_defaults(tmp_path: Path) -> None:
    assert read("generate", GENERATE_FILES, tmp_path) == GenerateInput(
        types=(("Ti", -1604.6), ("O", -432.5)),
        setups={"Ti": "Ti.stp", "O": "O.stp"},
        files=("a.xsf",),
        output="refdata.train",
        forces=False,
        forces_percent=100.0,
        derivatives=None,
        timing=False,
        debug=False,
        verbosity="normal",
    )


def test_train_defaults(tmp_path: Path) -> None:
    assert read("train", TRAIN, tmp_path) == TrainInput(
        trainingset="a.train",
        networks=(NetworkSpec("Ti", "Ti.nn", ((5, "tanh"), (6, "linear"))), NetworkSpec("O", "O.nn", ((3, "twist"),))),
        testpercent=10.0,
        iterations=10,
        maxenergy=math.inf,
        sampling=None,
        method=BfgsMethod(m=20),
        save_energies=False,
        timing=False,
        debug=False,
        verbosity="normal",
        seed=1,
        taylorset=(),
        validation=(),
        validationevery=10,
        patience=0,
        loss="aenet",
        copyweight=1.0,
        threads=0,
        checkpoint=50,
    )


def test_predict_defaults(tmp_path: Path) -> None:
    assert read("predict", PREDICT, tmp_path) == PredictInput(
        types=("Ti", "O"),
        networks={"Ti": "Ti.nn", "O": "O.nn"},
        files=(),
        forces=False,
        print_atomic_energies=False,
        relax=None,
        verbosity="normal",
        timing=False,
        debug=False,
    )


SINGLE_VALUES = [
    ("generate", "OUTPUT x.train", "output", "x.train"),
    ("generate", "OUTPUT ../sets/x.train  ! not cut at the slash", "output", "../sets/x.train"),
    ("generate", 'OUTPUT "my sets/x.train"', "output", "my sets/x.train"),
    ("generate", "OUTPUT 'it''s'", "output", "it's"),
    ("generate", "FORCES", "forces", True),
    ("generate", "FORCESPERCENT 25", "forces_percent", 25.0),
    ("generate", "forcespercent\t2.5d1", "forces_percent", 25.0),
    ("generate", "TIMING", "timing", True),
    ("generate", "DEBUG", "debug", True),
    ("generate", "VERBOSITY high", "verbosity", "high"),
    ("generate", "NOENERGIES", "no_energies", True),
    ("generate", "UNITS eV Angstrom", "units", "eV Angstrom"),
    ("generate", "UNITS real  ! kcal/mol", "units", "real"),
    ("generate", "ENERGY_KEY REF_energy", "energy_key", "REF_energy"),
    ("generate", "FORCES_KEY REF_forces", "forces_key", "REF_forces"),
    ("generate", "stress_key 'my stress'", "stress_key", "my stress"),
    ("predict", "UNITS Hartree Bohr", "units", "Hartree Bohr"),
    ("predict", "ENERGY_KEY E", "energy_key", "E"),
    ("predict", "FORCES_KEY f", "forces_key", "f"),
    ("predict", "STRESS_KEY REF_virial", "stress_key", "REF_virial"),
    ("train", "UNITS Hartree Bohr", "units", "Hartree Bohr"),
    ("train", "ENERGY_KEY E", "energy_key", "E"),
    ("train", "FORCES_KEY f", "forces_key", "f"),
    ("train", "STRESS_KEY REF_virial", "stress_key", "REF_virial"),
    ("train", "TESTPERCENT 12.5", "testpercent", 12.5),
    ("train", "TESTPERCENT 0", "testpercent", 0.0),
    ("train", "ITERATIONS 0", "iterations", 0),
    ("train", "Iterations 1000 epochs", "iterations", 1000),
    ("train", "MAXENERGY -1.5D-1", "maxenergy", -0.15),
    ("train", "SAMPLING Weighted", "sampling", "weighted"),
    ("train", "METHOD\nbfgs", "method", BfgsMethod()),
    ("train", "METHOD 1 Limited Memory BFGS\n! comment\nBFGS m = 7", "method", BfgsMethod(7)),
    ("train", "METHOD\nbfgs\nm=8", "method", BfgsMethod(8)),
    ("train", "METHOD\nlm", "method", LmMethod(1000, 0.1, 1, 1e-3, 10.0)),
    (
        "train",
        "METHOD\nlm batchsize=54 learnrate=0.1d0 iter=3 conv=0.001 adjust=5.0",
        "method",
        LmMethod(54, 0.1, 3, 1e-3, 5.0),
    ),
    ("train", "METHOD\nekf", "method", EkfMethod(0.999, 0.97, 10.0, 0.0, 0.6, 100)),
    # In ænet lambda= after lambda0= would be read from the wrong place
    (
        "train",
        "METHOD\nekf lambda0=0.9 lambda=0.99 wgroup=7 pnoise=1d-3",
        "method",
        EkfMethod(0.99, 0.9, wgroup=7, pnoise=1e-3),
    ),
    ("train", "METHOD\nadam", "method", AdamMethod(0.001, 0.9, 0.999, 1e-8, 500, 1)),
    ("train", "METHOD\nadam mu=0.01 samplesize=20 batchsize=4", "method", AdamMethod(0.01, samplesize=20, batchsize=4)),
    ("train", "METHOD\nonline_sd", "method", OnlineSdMethod(0.01, 0.9)),
    ("train", "METHOD\nonline_gd gamma=3.0d-2 alpha=0.05d0", "method", OnlineSdMethod(0.05, 0.03)),
    ("train", "SAVE_ENERGIES", "save_energies", True),
    ("train", "TIMING .FALSE.", "timing", False),
    ("train", "DEBUG T", "debug", True),
    ("train", "VERBOSITY low", "verbosity", "low"),
    ("train", "SEED 12", "seed", 12),
    ("train", "TAYLORSET a/b.train 'c d.train' ! two", "taylorset", ("a/b.train", "c d.train")),
    ("train", "PATIENCE 100", "patience", 100),
    ("train", "LOSS total", "loss", "total"),
    ("train", "THREADS 2", "threads", 2),
    ("train", "COPYWEIGHT .5", "copyweight", 0.5),
    ("train", "PRECISION single", "precision", "single"),
    ("train", "FORCES mode=centred beta=2d-3", "forces", ForceMode("centred", 2e-3)),
    ("train", "COMMITTEE 10 ! members", "committee", Committee(10)),
    ("train", "STORE disk folder=/scratch ! a file", "store", Store("disk", folder="/scratch")),
    ("train", "committee 3 split=OWN folder='my nets'", "committee", Committee(3, "my nets", "own")),
    ("train", "CHECKPOINT 0", "checkpoint", 0),
    ("train", "BEST both", "best", "both"),
    ("train", "split HASH", "split", "hash"),
    (
        "train",
        "FORCES mode=exact beta=1e-2,1e-3@500 weight_O=0.5 percent=50",
        "forces",
        ForceMode("exact", 1e-2, ((500, 1e-3),), percent=50.0, species_weight={"O": 0.5}),
    ),
    ("train", "VALIDATIONEVERY 25", "validationevery", 25),
    ("predict", "FORCES", "forces", True),
    ("predict", "FORCES .false.", "forces", False),
    ("predict", "FORCES ! every component", "forces", True),
    ("predict", "PRINT_ATOMIC_ENERGIES", "print_atomic_energies", True),
    ("predict", "VERBOSITY LOW", "verbosity", "low"),
    ("predict", "TIMING", "timing", True),
    ("predict", "DEBUG f", "debug", False),
    ("predict", "RELAX", "relax", RelaxOptions("bfgs", 0.01, 0.001, 99, None)),
    (
        "predict",
        "RELAX\nmethod=bfgs  F_conv=1.0d-2 E_conv = 1e-6 steps=9 dmax=0.5",
        "relax",
        RelaxOptions("bfgs", 0.01, 1e-6, 9, 0.5),
    ),
]
BASES = {"generate": GENERATE_FILES, "train": TRAIN, "predict": PREDICT}


@pytest.mark.parametrize(("kind", "lines", "field", "expected"), SINGLE_VALUES)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_keyword_sets_its_field(
    kind: str, lines: str, field: str, expected: object, first: bool, tmp_path: Path
) -> None:
    text = f"{lines}\n\n{BASES[kind]}" if first else f"{BASES[kind]}\n{lines}"
    assert getattr(read(kind, text, tmp_path), field) == expected


@pytest.mark.parametrize("cls", [GenerateInput, TrainInput, PredictInput])
def test_every_keyword_is_tested_and_described(cls: Any) -> None:
    kind = cls.file_name.removesuffix(".in")
    keywords = options_of(cls)
    tested = {line.split()[0].upper() for k, line, *_ in SINGLE_VALUES if k == kind}
    tested |= {word for word in BASES[kind].split() if word in keywords}
    blocks = {"FILES", "VALIDATION", "DERIVATIVES"}  # below
    assert set(keywords) - blocks <= tested
    assert all(f"  {name} " in describe(cls) for name in keywords)


# --- blocks --------------------------------------------------------------------------

TAYLOR = [
    ("", TaylorOptions("taylor", 0.01, 16.0, "random", 100000, None, 1)),
    (
        "method=taylor delta=0.01 fraction=16.0 outfile=data.deriv.train disp_all=1 N_max=100000",
        TaylorOptions(outfile="data.deriv.train"),
    ),
    ("delta=8.0d-3 disp_all=0", TaylorOptions(delta=0.008, strategy="cartesian")),
    ("delta = 0.02\n  fraction =22.5 ! more\nN_max= 7", TaylorOptions(delta=0.02, fraction=22.5, n_max=7)),
    ("strategy=cartesian seed=0", TaylorOptions(strategy="cartesian", seed=0)),
    ("strategy=random disp_all=1", TaylorOptions()),
    ("method=analytical", TaylorOptions(method="analytical")),
    ('outfile="a b/c=d.train"', TaylorOptions(outfile="a b/c=d.train")),
    ("delta_O=0.02 delta_Ti=0.03", TaylorOptions(delta_species={"O": 0.02, "Ti": 0.03})),
    ("forcemin=0.1 forcemax=5 skip=0", TaylorOptions(forcemin=0.1, forcemax=5.0, skip=0.0)),
    ("species=O,Ti", TaylorOptions(species=("O", "Ti"))),
    ("atoms=1-3,12", TaylorOptions(atoms=(1, 2, 3, 12))),
    ('atoms="1 - 3, 12"', TaylorOptions(atoms=(1, 2, 3, 12))),
    ("strategy=orthogonal rotations=remove", TaylorOptions(strategy="orthogonal", rotations="remove")),
    (
        "strategy=antithetic weights=truncation temperature=300",
        TaylorOptions(strategy="antithetic", weights="truncation", temperature=300.0),
    ),
    (
        'strategy=modes amplitude=stiffness hessian="my hessians" order=2',
        TaylorOptions(strategy="modes", amplitude="stiffness", hessian="my hessians", order=2),
    ),
    ("strategy=strain strain=0.01 fraction=6", TaylorOptions(strategy="strain", strain=0.01, fraction=6.0)),
    (
        "delta=auto ratio=0.2 potential=O.nn,n/Ti.nn",
        TaylorOptions(delta=None, ratio=0.2, potential=("O.nn", "n/Ti.nn")),
    ),
    ("curvature=auto", TaylorOptions(curvature="auto")),
    ("curvature=NONE", TaylorOptions()),
    ("curvature=O:33.9,Ti:1.7d1", TaylorOptions(curvature={"O": 33.9, "Ti": 17.0})),
]


@pytest.mark.parametrize(("options", "expected"), TAYLOR)
def test_derivatives_block(options: str, expected: TaylorOptions, tmp_path: Path) -> None:
    text = f"{GENERATE}DERIVATIVES\n{options}\n\nFILES\n1\na.xsf\n"
    assert read("generate", text, tmp_path).derivatives == expected


def test_delta_of_a_species_falls_back_to_delta() -> None:
    options = TaylorOptions(delta=0.02, delta_species={"H": 0.01})
    assert (options.delta_of("H"), options.delta_of("O")) == (0.01, 0.02)


FILE_LISTS = [
    ("FILES\n2\na.xsf\nb.xsf", ["a.xsf", "b.xsf"]),
    (
        "files ! all of them\n\n# how many\n2 files\n\na.xsf\n\n! comment\n  my dir/b c.xsf  ",
        ["a.xsf", "my dir/b c.xsf"],
    ),
    ("FILES\n1\ndata/*.xsf", ["data/*.xsf"]),
    ("FILES\ndata/*.xsf\nOUTCAR", ["data/*.xsf", "OUTCAR"]),
    ("FILES\na.xsf\n\nTIMING", ["a.xsf"]),
    ("FILES\na.xsf\nTIMING", ["a.xsf"]),
    ('FILES\n"8"', ["8"]),
    ("FILES\n3\nFORCES\ntiming\nTYPES\n\nTIMING", ["FORCES", "timing", "TYPES"]),
    ("FILES\n2\n\"a b\"\n'it''s'", ["a b", "it's"]),
    ("FILES\n2\n'a' and 'b'\ndon't.xsf", ["'a' and 'b'", "don't.xsf"]),
    ("FILES\n1\n" + "x" * 5000, ["x" * 5000]),
]


@pytest.mark.parametrize(("lines", "expected"), FILE_LISTS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_file_list(lines: str, expected: list[str], end: str, tmp_path: Path) -> None:
    path = tmp_path / "generate.in"
    path.write_bytes((GENERATE + lines).replace("\n", end).encode())
    assert paths(GenerateInput.read(path).files) == expected


def test_validation_on_the_line_or_below(tmp_path: Path) -> None:
    for lines in (
        "VALIDATION v/*.xsf 'w x.xyz' ! unseen",
        "VALIDATION\n2\nv/*.xsf\nw x.xyz",
        "VALIDATION\nv/*.xsf\nw x.xyz\n\nSEED 1",
    ):
        assert paths(read("train", TRAIN + lines, tmp_path).validation) == ["v/*.xsf", "w x.xyz"]


def test_file_entries_know_their_lines(tmp_path: Path) -> None:
    data = read("generate", GENERATE + "FILES\n2\na.xsf\n\nb.xsf\n", tmp_path)
    lines = (tmp_path / "generate.in").read_text().split("\n")
    assert [lines[entry.line - 1] for entry in data.files] == ["a.xsf", "b.xsf"]


def test_names_in_any_encoding_survive(tmp_path: Path) -> None:
    path = tmp_path / "generate.in"
    path.write_bytes(b"\xef\xbb\xbf" + (GENERATE + "FILES\n1\n").encode() + b"Sch\xf6n.xsf\n")
    data = GenerateInput.read(path)
    data.write(tmp_path / "again.in")
    assert b"Sch\xf6n.xsf" in (tmp_path / "again.in").read_bytes()
    assert GenerateInput.read(tmp_path / "again.in") == data


def test_remarks_behind_type_rows_are_ignored(tmp_path: Path) -> None:
    text = GENERATE_FILES.replace("-1604.6", "-1.6046d3 | eV, PBE").replace("TYPES", "TYPES ! hi")
    assert read("generate", text, tmp_path).atomic_energies == {"Ti": -1604.6, "O": -432.5}


def test_train_input_of_the_aenet_example(tmp_path: Path) -> None:
    text = """TRAININGSET TiO.train\x20
TESTPERCENT 10
ITERATIONS  5000

MAXENERGY 1.0
TIMING
!SAVE_ENERGIES

METHOD
bfgs

!METHOD 3 Extended Kalman Filter
!ekf

NETWORKS
! atom   network         hidden
! types  file-name       layers  nodes:activation
  Ti     Ti.15t-15t.nn    2      15:tanh 15:t
  O       O.15t-15t.nn    2      15:s 15:m
"""
    data = read("train", text, tmp_path)
    assert (data.trainingset, data.iterations, data.maxenergy) == ("TiO.train", 5000, 1.0)
    assert data.timing and not data.save_energies
    assert data.networks[0] == NetworkSpec("Ti", "Ti.15t-15t.nn", ((15, "tanh"), (15, "tanh")))
    assert data.networks[1].hidden == ((15, "sigmoid"), (15, "mtanh"))


def test_network_without_layers_or_without_architecture(tmp_path: Path) -> None:
    text = 'TRAININGSET a\nNETWORKS\nTi nn/Ti.nn 0\nO "nn/O.nn" ! exists\n'
    networks = read("train", text, tmp_path).networks
    assert networks == (NetworkSpec("Ti", "nn/Ti.nn", ()), NetworkSpec("O", "nn/O.nn", None))


# --- writing -------------------------------------------------------------------------

WRITTEN = [
    GenerateInput(types=(("H", -0.1),), setups={"H": "s/H.stp"}, files=("a b.xsf", "#1.xsf", "'q'")),
    GenerateInput(
        types=(("O", -1e-7), ("H", 3)),
        setups={"H": "H.stp", "O": "a,b"},
        files=("x/*.xsf",),
        output="my out",
        forces=True,
        forces_percent=12.5,
        timing=True,
        debug=True,
        verbosity="low",
        derivatives=TaylorOptions(
            "taylor",
            0.03,
            70,
            "cartesian",
            5,
            "a b.train",
            7,
            {"H": 0.1},
            0.1,
            2.5,
            0.0,
            ("O", "H"),
            (1, 2, 3, 9, 5, 6),
        ),
    ),
    *(
        GenerateInput(types=(("H", 0.0),), setups={"H": "H.stp"}, files=("a",), derivatives=options)
        for options in (
            TaylorOptions(strategy="orthogonal", rotations="remove", curvature="auto", temperature=300.5),
            TaylorOptions(delta=None, ratio=0.25, curvature={"H": 16.9}, weights="truncation"),
            TaylorOptions(delta=None, potential=("a b.nn", "c")),
            TaylorOptions(strategy="modes", rotations="keep", amplitude="stiffness", hessian="h h.npy", order=2),
            TaylorOptions(strategy="strain", strain=0.003, skip=0.0, forcemax=9.0),
        )
    ),
    TrainInput("a/b.train", (NetworkSpec("H", "H.nn", None),)),
    TrainInput(
        "a",
        (NetworkSpec("H", "H.nn", ()), NetworkSpec("O", "n/O nn", ((2, "tanh"), (3, "mtanh")))),
        5.5,
        0,
        1.25,
        "energy",
        BfgsMethod(5),
        True,
        True,
        True,
        "high",
        3,
        ("b", "c d"),
        ("v/*.xsf", "w"),
        "real",
        "REF_energy",
        "REF_forces",
        "REF_stress",
        4,
        5,
        "total",
        0.25,
        2,
        9,
        committee=Committee(4, "a b", "own"),
    ),
    *(
        TrainInput("a", (NetworkSpec("H", "H.nn", ()),), method=method)
        for method in (
            LmMethod(7, 0.5, 2, 0.01, 3.0),
            EkfMethod(0.9, 0.5, 3.0, 0.01, 0.6, 9),
            EkfMethod(),
            AdamMethod(0.1, 0.5, 0.25, 1e-3, 9, 2, 5, 0.125),
            OnlineSdMethod(0.5, 0.25),
        )
    ),
    PredictInput(("H",), {"H": "H.nn"}),
    PredictInput(
        ("O", "H"),
        {"H": "n/H.nn", "O": "O n"},
        ("a",),
        True,
        True,
        RelaxOptions("bfgs", 0.5, 1e-9, 3, 0.1),
        "low",
        True,
        True,
    ),
]


@pytest.mark.parametrize("data", WRITTEN)
def test_written_input_reads_back(data: Any, tmp_path: Path) -> None:
    kind = type(data).__name__.removesuffix("Input").lower()
    data.write(tmp_path / "x.in")
    assert READERS[kind](tmp_path / "x.in") == data


# --- files that exist ----------------------------------------------------------------


def check_inputs_in(folder: Path) -> None:
    found = sorted(folder.rglob("*.in"))
    assert found
    for path in found:
        kind = path.name.partition(".")[0].partition("-")[0]
        READERS[kind](path)


def test_committed_and_shipped_inputs_are_read() -> None:
    tests = Path(__file__).parents[1]
    check_inputs_in(tests / "data" / "golden")
    check_inputs_in(Path(taylorfit.__file__).parent / "examples")


def test_shared_inputs_are_read(shared: Path) -> None:
    check_inputs_in(shared / "golden")
