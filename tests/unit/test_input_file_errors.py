"""Wrong generate.in, train.in and predict.in: one clear error with file, line, value, expectation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taylorfit.errors import FormatError, InputError, TaylorfitError
from taylorfit.settings.generate import GenerateInput, TaylorOptions
from taylorfit.settings.methods import METHODS
from taylorfit.settings.option import options_of
from taylorfit.settings.predict import PredictInput
from taylorfit.settings.train import NetworkSpec, TrainInput

READERS = {"generate": GenerateInput.read, "train": TrainInput.read, "predict": PredictInput.read}
BASES = {
    "generate": "TYPES\n2\nTi -1604.6\nO -432.5\n\nSETUPS\nTi Ti.stp\nO O.stp\n\nFILES\n1\na.xsf\n\n",
    "train": "TRAININGSET a.train\n\nNETWORKS\nTi Ti.nn 2 5:tanh 6:l\nO O.nn 1 3:twist\n\n",
    "predict": "TYPES\n2\nTi\nO\n\nNETWORKS\nTi Ti.nn\nO O.nn\n\n",
}

APPENDED = [
    # kind, lines after the base, line of the error within them, pattern
    ("generate", "OUTPT x", 1, "unknown keyword: found 'OUTPT', expected OUTPUT \\(did you mean that"),
    ("generate", "TIMING\nxyzzy", 2, "unknown keyword: found 'xyzzy', expected one of OUTPUT TYPES"),
    ("generate", "xyzzy", -2, "FILES announces 1 paths but 2 follow: found 'xyzzy'"),
    ("generate", "OUTPUT", 1, "OUTPUT without a name, expected a file name"),
    ("generate", "OUTPUT my file.train", 1, "unexpected text: found 'file.train'"),
    ("generate", 'OUTPUT "my file.train', 1, "quote not closed"),
    ("generate", "OUTPUT ''", 1, "empty name"),
    ("generate", "TIMING\nTIMING", 2, "TIMING given twice, first on line 14"),
    ("generate", "TIMING\nTIMING .false.", 2, "TIMING given twice"),
    ("generate", "FORCES maybe", 1, "not a logical: found 'maybe', expected .true. or .false."),
    ("generate", "FORCES FORCESPERCENT 3", 1, "not a logical"),
    ("generate", "FORCESPERCENT 101", 1, "not a percentage: found 101.0, expected 0 to 100"),
    ("generate", "FORCESPERCENT ****", 1, "Fortran overflow: found '\\*{4}'"),
    ("generate", "FORCESPERCENT nan", 1, "not finite: found 'nan'"),
    ("generate", "FORCESPERCENT 1e999", 1, "not finite"),
    ("generate", "FORCESPERCENT 10 20", 1, "second value: found '20'"),
    ("generate", "VERBOSITY hgh", 1, "unknown value: found 'hgh', expected high"),
    ("generate", "DERIVATIVES\nmethod=tailor", 2, "found 'tailor', expected taylor"),
    ("generate", "DERIVATIVES\n\nfracton=2", 3, "unknown option: found 'fracton', expected fraction"),
    ("generate", "DERIVATIVES\nn_max=2", 2, "unknown option: found 'n_max', expected N_max"),
    ("generate", "DERIVATIVES delta=0.1", 1, "options on the line of the keyword"),
    ("generate", "DERIVATIVES\ndelta", 2, "not an option: found 'delta', expected key=value"),
    ("generate", "DERIVATIVES\ndelta=", 2, "not an option: found 'delta='"),
    ("generate", "DERIVATIVES\ndelta= fraction=2", 2, "not an option"),
    ("generate", "DERIVATIVES\ndelta=0.1 delta=0.2", 2, "option given twice: found 'delta'"),
    ("generate", "DERIVATIVES\ndelta_O=1 delta_O=1", 2, "option given twice: found 'delta_O'"),
    ("generate", 'DERIVATIVES\noutfile="a b', 2, "not an option"),
    ("generate", "DERIVATIVES\nmethod=taylor\ndelta=0", 3, "delta not positive: found 0.0"),
    ("generate", "DERIVATIVES\ndelta=0.0l", 2, "not a number: found '0.0l'"),
    ("generate", "DERIVATIVES\ndelta_O=-1", 2, "delta not positive: found -1.0"),
    ("generate", "DERIVATIVES\ndelta_H=0.1", 1, "delta_H for a species not in TYPES: found 'H'"),
    ("generate", "DERIVATIVES\ndelta_Xyz=0.1", 2, "not a species: found 'Xyz'"),
    ("generate", "DERIVATIVES\nfraction=-1", 2, "fraction not positive"),
    ("generate", "DERIVATIVES\nN_max=-1", 2, "N_max negative"),
    ("generate", "DERIVATIVES\nN_max=1.5", 2, "not an integer: found '1.5'"),
    ("generate", "DERIVATIVES\nseed=-1", 2, "seed negative"),
    ("generate", "DERIVATIVES\ndisp_all=2", 2, "unknown disp_all: found '2'"),
    ("generate", "DERIVATIVES\ndisp_all=1\nstrategy=cartesian", 3, "strategy contradicts disp_all"),
    ("generate", "DERIVATIVES\nstrategy=randm", 2, "found 'randm', expected random"),
    ("generate", "DERIVATIVES\nforcemin=2 forcemax=1", 2, "forcemax not above forcemin: found 1.0"),
    ("generate", "DERIVATIVES\nforcemin=-2", 2, "forcemin negative"),
    ("generate", "DERIVATIVES\nskip=-2", 2, "skip negative"),
    ("generate", "DERIVATIVES\nspecies=O,H", 1, "species= for a species not in TYPES: found 'H'"),
    ("generate", "DERIVATIVES\nspecies=O,", 2, "not a species: found ''"),
    ("generate", "DERIVATIVES\natoms=1,x", 2, "not a list of atoms: found '1,x'"),
    ("generate", "DERIVATIVES\natoms=0-3", 2, "not a list of atoms: found '0-3'"),
    ("generate", "DERIVATIVES\natoms=3-1", 2, "not a list of atoms: found '3-1'"),
    ("generate", "DERIVATIVES\natoms=1-999999999", 2, "at most 1000000 atoms"),
    ("generate", "DERIVATIVES\nstrategy=modes", 2, "strategy cannot be used here: found 'modes', expected hessian="),
    ("generate", "DERIVATIVES\norder=2 hessian=h\ntemperature=300", 3, "temperature cannot be used here"),
    ("generate", "DERIVATIVES\norder=2", 2, "order cannot be used here: found 2, expected hessian= or potential="),
    ("generate", "DERIVATIVES\norder=3", 2, "order not 1 or 2"),
    ("generate", "DERIVATIVES\nhessian=h", 2, "expected order=2 or strategy=modes"),
    ("generate", "DERIVATIVES\nseed=1\nratio=0.3", 3, "ratio cannot be used here: found 0.3, expected delta=auto"),
    ("generate", "DERIVATIVES\ndelta=auto ratio=0", 2, "ratio not positive"),
    ("generate", "DERIVATIVES\ndelta=automatic", 2, "not a number"),
    ("generate", "DERIVATIVES\nrotations=none", 2, "unknown value: found 'none'"),
    ("generate", "DERIVATIVES\nstrategy=cartesian rotations=remove", 2, "expected a strategy that moves all atoms"),
    ("generate", "DERIVATIVES\nstrategy=modes\namplitude=bound", 2, "expected hessian= or potential="),
    ("generate", "DERIVATIVES\namplitude=bound", 2, "expected strategy=modes"),
    ("generate", "DERIVATIVES\nstrain=0.01", 2, "expected strategy=strain"),
    ("generate", "DERIVATIVES\nstrategy=strain strain=3", 2, "strain out of range"),
    ("generate", "DERIVATIVES\nstrategy=strain\ndelta=0.01", 3, "delta has no meaning with strategy=strain"),
    ("generate", "DERIVATIVES\nstrategy=strain delta=auto", 2, "delta has no meaning with strategy=strain"),
    ("generate", "DERIVATIVES\nstrategy=strain\nspecies=O", 3, "species has no meaning with strategy=strain"),
    ("generate", "DERIVATIVES\nstrategy=strain\nweights=truncation", 3, "weights has no meaning with strategy=strain"),
    ("generate", "DERIVATIVES\nstrategy=strain\ncurvature=auto", 3, "curvature has no meaning with strategy=strain"),
    ("generate", "DERIVATIVES\norder=2 hessian=h\ncurvature=auto", 3, "expected order=2, which says it better"),
    ("generate", "DERIVATIVES\norder=2 hessian=h\ndelta=auto", 3, "expected a length in Å"),
    ("generate", "DERIVATIVES\norder=2 hessian=h\nweights=truncation", 3, "weights cannot be used here"),
    ("generate", "DERIVATIVES\ncurvature=33", 2, "not a list of force constants: found '33'"),
    ("generate", "DERIVATIVES\ncurvature=O:33,O:34", 2, "not a list of force constants"),
    ("generate", "DERIVATIVES\ncurvature=O:-3", 2, "curvature of O not positive: found -3.0"),
    ("generate", "DERIVATIVES\ncurvature=O:33,H:17", 1, "curvature= for a species not in TYPES: found 'H'"),
    ("generate", "DERIVATIVES\ntemperature=0", 2, "temperature not positive"),
    ("generate", "DERIVATIVES\npotential=O.nn,", 2, "empty name"),
    ("generate", "DERIVATIVES\nweights=all", 2, "unknown value: found 'all'"),
    ("generate", "DERIVATIVES\noutfile=refdata.train", 1, "outfile is the same file as OUTPUT"),
    ("generate", "UNITS", 1, "UNITS without units, expected two units such as"),
    ("generate", "UNITS furlongs", 1, "unknown units: found 'furlongs', expected two units such as"),
    ("predict", "UNITS eV", 1, "unknown units: found 'eV'"),
    ("train", "TESTPERCENT 100", 1, "not a percentage for testing: found 100.0, expected 0 ≤ p < 100"),
    ("train", "TESTPERCENT -1", 1, "not a percentage for testing"),
    ("train", "ITERATIONS -1", 1, "ITERATIONS negative: found -1"),
    ("train", "ITERATIONS ten", 1, "not an integer: found 'ten'"),
    ("train", "ITERATIONS", 1, "ITERATIONS without a value, expected epochs"),
    ("train", "ITERATIONS 10 TESTPERCENT 5", 1, "second value: found 'TESTPERCENT'"),
    ("train", "ITERATION 10", 1, "unknown keyword: found 'ITERATION', expected ITERATIONS"),
    ("train", "MAXENERGY 1,5", 1, "not a number: found '1,5'"),
    ("train", "SAMPLING all", 1, "unknown value: found 'all', expected one of sequential random"),
    ("train", "METHOD", 1, "METHOD without a name"),
    ("train", "METHOD bfgs", 1, "METHOD without a name"),
    ("train", "METHOD\nm=20", 1, "METHOD without a name"),
    ("train", "METHOD\nbfsg", 2, "unknown method: found 'bfsg', expected bfgs"),
    ("train", "METHOD\nbfgs 20", 2, "not an option: found '20', expected key=value"),
    ("train", "METHOD\nbfgs m=0", 2, "m out of range: found 0"),
    ("train", "METHOD\nbfgs alpha=0.1", 2, "unknown option: found 'alpha'"),
    ("train", "METHOD\nlm batchsize=0", 2, "batchsize not positive: found 0"),
    ("train", "METHOD\nlm learnrate=0", 2, "learnrate not positive"),
    ("train", "METHOD\nlm conv=-1", 2, "conv out of range"),
    ("train", "METHOD\nlm adjust=1", 2, "adjust does not adjust"),
    ("train", "METHOD\nlm batch_size=3", 2, "unknown option: found 'batch_size', expected batchsize"),
    ("train", "METHOD\nekf lambda=0", 2, "lambda out of range: found 0"),
    ("train", "METHOD\nekf lambda0=1.5", 2, "lambda0 out of range: found 1.5"),
    ("train", "METHOD\nekf wgroup=0", 2, "wgroup not positive"),
    ("train", "METHOD\nekf pnoise=-1", 2, "pnoise out of range"),
    ("train", "METHOD\nadam b1=1", 2, "b1 out of range: found 1"),
    ("train", "METHOD\nadam mu=nan", 2, "not finite"),
    ("train", "METHOD\nadam batchsize=1.5", 2, "not an integer"),
    ("train", "METHOD\nonline_sd alpha=1", 2, "alpha out of range"),
    ("train", "METHOD\nonline_gd gamma=0", 2, "gamma not positive"),
    ("train", "SEED -1", 1, "SEED negative"),
    ("train", "SEED " + "9" * 5000, 1, "not an integer"),
    ("train", "PATIENCE -1", 1, "PATIENCE negative"),
    ("train", "THREADS -1", 1, "THREADS negative"),
    ("train", "CHECKPOINT -1", 1, "CHECKPOINT negative"),
    ("train", "VALIDATIONEVERY -1", 1, "VALIDATIONEVERY negative"),
    ("train", "COPYWEIGHT -1", 1, "COPYWEIGHT negative"),
    ("train", "LOSS eq3", 1, "unknown value: found 'eq3', expected one of aenet total"),
    ("train", "TAYLORSET", 1, "TAYLORSET without a name"),
    ("train", "VALIDATION", 1, "VALIDATION without files"),
    ("train", "VALIDATION\n2\na.xsf", 2, "VALIDATION announces 2 paths but 1 follow"),
    ("predict", "FILES", 1, "FILES without files"),
    ("predict", "FILES\n0", 2, "FILES with this count: found '0'"),
    ("predict", "FILES\n-1\na", 2, "FILES with this count: found '-1'"),
    ("predict", "FILES\n3\na\nb", 2, "FILES announces 3 paths but 2 follow"),
    ("predict", "FILES\n3\na\nb\n\nFORCES\nTIMING", 2, "FILES announces 3 paths but 2 follow"),
    ("predict", "FILES\n1\na\nb\nc\n\nFORCES", 2, "FILES announces 1 paths but 3 follow"),
    ("predict", "FILES\n1\na\n\nFORCE", 5, "unknown keyword: found 'FORCE', expected FORCES"),
    ("predict", "FILES\n''\n", 2, "empty name"),
    ("predict", "RELAX\nsteps=-1", 2, "steps negative"),
    ("predict", "RELAX\nf_conv=1", 2, "unknown option: found 'f_conv', expected F_conv"),
    ("predict", "RELAX\nF_conv=0", 2, "f_conv not positive"),
    ("predict", "RELAX\ndmax=0", 2, "dmax not positive"),
]


@pytest.mark.parametrize(("kind", "lines", "at", "pattern"), APPENDED)
def test_wrong_lines(kind: str, lines: str, at: int, pattern: str, tmp_path: Path) -> None:
    check(kind, BASES[kind] + lines, BASES[kind].count("\n") + at, pattern, tmp_path)


REPLACED = [
    # kind, text in the base, instead, line of the error, pattern
    ("generate", "TYPES\n2", "TYPES\n3", 2, "TYPES announces 3 species but 2 follow"),
    ("generate", "TYPES\n2", "TYPES\n1", 2, "TYPES announces 1 species but 2 follow"),
    ("generate", "TYPES\n2\n", "TYPES\n", 2, "not an integer: found 'Ti'"),
    ("generate", "Ti -1604.6", "Ti", 3, "no atomic energy: found 'Ti', expected symbol energy"),
    ("generate", "-1604.6", "*******", 3, "Fortran overflow"),
    ("generate", "O -432.5", "Ti -432.5", 1, "species given twice: found 'Ti'"),
    ("generate", "O -432.5", "Oxy -432.5", 4, "not a species: found 'Oxy'"),
    ("generate", "O O.stp\n", "", 6, "no setup for a species: found 'O'"),
    ("generate", "O O.stp", "O O.stp\nN N.stp", 6, "setup for a species not in TYPES: found 'N'"),
    ("generate", "O O.stp", "Ti O.stp", 8, "species given twice: found 'Ti'"),
    ("generate", "O O.stp", "O", 8, "no file for this species: found 'O'"),
    ("generate", "O O.stp", "O O.stp 3", 8, "unexpected text: found '3'"),
    ("generate", "Ti Ti.stp\nO O.stp\n", "", 6, "SETUPS without species"),
    ("generate", "FILES\n1\na.xsf\n", "", None, "FILES is missing"),
    ("train", "TRAININGSET a.train", "", None, "TRAININGSET is missing"),
    ("train", "O.nn 1 3:twist", "O.nn 2 3:twist", 5, "2 hidden layers announced but 1 follow"),
    ("train", "O.nn 1 3:twist", "O.nn 0 3:twist", 5, "0 hidden layers announced but 1 follow"),
    ("train", "3:twist", "3:twst", 5, "unknown activation: found '3:twst', expected twist"),
    ("train", "3:twist", "3:Tanh", 5, "unknown activation: found '3:Tanh', expected tanh"),
    ("train", "3:twist", "0:tanh", 5, "hidden layer without nodes"),
    ("train", "3:twist", "x:tanh", 5, "not an integer: found 'x'"),
    ("train", "3:twist", "tanh", 5, "not a hidden layer: found 'tanh', expected nodes:activation"),
    ("train", "O O.nn", "Ti O.nn", 3, "species given twice"),
    ("train", "O O.nn", "O Ti.nn", 3, "two networks in one file: found 'Ti.nn'"),
    ("train", "O O.nn 1 3:twist", "O", 5, "no network for this species"),
    ("train", "Ti Ti.nn 2 5:tanh 6:l\nO O.nn 1 3:twist\n", "", 3, "NETWORKS without species"),
    ("predict", "O O.nn\n", "", 6, "no network for a species: found 'O'"),
    ("predict", "O O.nn", "O O.nn\nH H.nn", 6, "network for a species not in TYPES: found 'H'"),
    ("predict", "TYPES\n2\nTi\nO\n", "", None, "TYPES is missing"),
    ("predict", "TYPES\n2\nTi\nO\n", "TYPES\n", 1, "TYPES without species"),
    ("predict", "NETWORKS", "NETWORK", 6, "unknown keyword: found 'NETWORK', expected NETWORKS"),
]


@pytest.mark.parametrize(("kind", "old", "new", "line", "pattern"), REPLACED)
def test_wrong_block(kind: str, old: str, new: str, line: int | None, pattern: str, tmp_path: Path) -> None:
    assert old in BASES[kind]
    check(kind, BASES[kind].replace(old, new, 1), line, pattern, tmp_path)


def check(kind: str, text: str, line: int | None, pattern: str, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.in"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        READERS[kind](path)
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert (caught.value.file, caught.value.line) == (str(path), line), message
    assert "\n" not in message


CONTENTS = [
    (b"", "empty file"),
    (b" \n\t\n", "empty file"),
    (b"! only\n# comments\n", "empty file"),
    (b"\x1c\x00\x00\x00binary", "binary file"),
    (b"TYPES\n\x02", "line 2: control character"),
]


@pytest.mark.parametrize("reader", READERS.values())
@pytest.mark.parametrize(("content", "pattern"), CONTENTS)
def test_not_a_keyword_file(reader: object, content: bytes, pattern: str, tmp_path: Path) -> None:
    (tmp_path / "x.in").write_bytes(content)
    with pytest.raises(FormatError, match=pattern):
        reader(tmp_path / "x.in")  # type: ignore[operator]


@pytest.mark.parametrize("reader", READERS.values())
def test_unreadable_file(reader: object, tmp_path: Path) -> None:
    for path in (tmp_path / "none.in", tmp_path, "nul\0.in"):
        with pytest.raises(InputError, match="cannot be read"):
            reader(path)  # type: ignore[operator]


ONE = (NetworkSpec("H", "H.nn", ()),)
CONSTRUCTED = [
    lambda: GenerateInput((), {}, ("a",)),
    lambda: GenerateInput((("H", 0.0),), {"H": "s"}, ()),
    lambda: GenerateInput((("H", 0.0),), {"H": "s"}, ("",)),
    lambda: GenerateInput((("H", 0.0),), {"H": "s"}, ("a",), verbosity="loud"),
    lambda: TaylorOptions(delta=float("nan")),
    lambda: TaylorOptions(method="finite"),
    lambda: TaylorOptions(atoms=(0,)),
    lambda: TaylorOptions(species=()),
    lambda: TrainInput("a", ()),
    lambda: TrainInput("a", ONE, testpercent=100),
    lambda: TrainInput("a", ONE, loss="mse"),
    lambda: TrainInput("a", ONE, maxenergy=float("nan")),
    lambda: NetworkSpec("H", "H.nn", ((0, "tanh"),)),
    lambda: NetworkSpec("H", "H.nn", ((1, "relu"),)),
    lambda: PredictInput((), {}),
    lambda: PredictInput(("H",), {}),
    lambda: PredictInput(("Hyd",), {"Hyd": "H.nn"}),
]


@pytest.mark.parametrize("construct", CONSTRUCTED)
def test_validation_on_construction(construct: object) -> None:
    with pytest.raises(InputError):
        construct()  # type: ignore[operator]


WORDS = sorted(
    {word for base in BASES.values() for word in base.split()}
    | {key for cls in (GenerateInput, TrainInput, PredictInput, TaylorOptions) for key in options_of(cls)}
    | {*METHODS, "=", '"', "'", "!", "#", "\n", "\n\n", "-1"}
    | {"delta=0.1", "delta_O=1", "atoms=1-9", "m=3", "\t", "1e400", ".", "\\", "\u00a0", "η", "\r"}
)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(READERS)),
    pieces=st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from([" ", "\n", ""])), max_size=25),
    at=st.integers(0, 100),
)
def test_mutated_input_gives_a_result_or_a_clear_error(
    kind: str, pieces: list[tuple[str, str]], at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    inserted = "".join(word + blank for word, blank in pieces)
    content = (BASES[kind][:at] + inserted + BASES[kind][at:]).encode()
    check_survives(kind, content, tmp_path_factory)


@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from(sorted(READERS)), content=st.binary(max_size=300), keep=st.integers(0, 90))
def test_garbage_gives_a_clear_error(
    kind: str, content: bytes, keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_survives(kind, BASES[kind][:keep].encode() + content, tmp_path_factory)


def check_survives(kind: str, content: bytes, factory: pytest.TempPathFactory) -> None:
    path = factory.getbasetemp() / "fuzz.in"
    path.write_bytes(content)
    try:
        READERS[kind](path)
    except TaylorfitError as error:
        assert "\n" not in str(error) and str(path) in str(error)
